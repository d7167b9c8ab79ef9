package names

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
)

// builtin gives every pod the connections it is asked for, all on addresses of the loopback.
type builtin struct{ detached []string }

func (b *builtin) Prepare(context.Context, string, int) error { return nil }

func (b *builtin) Attach(_ context.Context, a pod.Attachment) (links []status.Connection, err error) {
	for _, j := range a.Joins {
		links = append(links, status.Connection{Network: j.Network, Interface: "eth0", IPs: []string{"127.0.0.1"}, Gateways: []string{"127.0.0.1"}, Aliases: j.Aliases})
	}
	return links, nil
}

func (b *builtin) Detach(_ context.Context, podID, network string) error {
	b.detached = append(b.detached, podID+" "+network)
	return nil
}

func (b *builtin) Keep(context.Context, []pod.Attachment) error { return nil }

// decorated is a Network whose host has this resolv.conf.
func decorated(t *testing.T, resolv string) (Network, *builtin) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte(resolv), 0o600); err != nil {
		t.Fatal(err)
	}
	s := New(Config{Containers: func() map[string][]Container { return nil }, ResolvConf: path, Log: slog.New(slog.DiscardHandler)})
	s.port = 0
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &builtin{}
	return Network{b, s}, b
}

func attachment(networks ...string) pod.Attachment {
	a := pod.Attachment{PodID: webID, Name: "web", Spec: &spec.Pod{DNS: &spec.DNS{Policy: spec.DNSFill, Nameservers: []string{"9.9.9.9", "127.0.0.53"}}}}
	for _, n := range networks {
		a.Joins = append(a.Joins, spec.Join{Network: n, Aliases: []string{"www"}})
	}
	return a
}

// TestNetwork: names in named networks; in the default one only a way to the host's
// servers, where a pod does not reach them itself.
func TestNetwork(t *testing.T) {
	for _, c := range []struct {
		network, resolv string
		dns, names      bool
	}{
		{"lan", "nameserver 192.0.2.53\n", true, true},
		{"default", "nameserver 192.0.2.53\n", false, false},
		{"default", "nameserver 127.0.0.53\n", true, false},
	} {
		n, _ := decorated(t, c.resolv)
		if c.network == "default" && !c.dns && !n.reachable() {
			t.Error("a server outside is not reachable")
		}
		links, err := n.Attach(t.Context(), attachment(c.network))
		if err != nil {
			t.Fatal(err)
		}
		var want *spec.DNS
		if c.dns && (c.names || !n.reachable()) { // this machine itself may have systemd's servers
			want = &spec.DNS{Nameservers: []string{"127.0.0.1"}}
		}
		if diff := cmp.Diff(want, links[0].DNS); diff != "" || links[0].Names != c.names {
			t.Errorf("%s, %q: names %v, %s", c.network, c.resolv, links[0].Names, diff)
		}
	}
}

// TestKept: what the next daemon hears of pods that go on is enough.
func TestKept(t *testing.T) {
	n, _ := decorated(t, "")
	a := attachment("lan")
	links, err := n.Attach(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	before := n.Server.book.members
	next, _ := decorated(t, "")
	a.Joins, a.Connections = nil, links
	if err := next.Keep(t.Context(), []pod.Attachment{a}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, next.Server.book.members, cmp.AllowUnexported(member{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if m := next.Server.book.members[0]; !slices.Equal(m.servers, ips("9.9.9.9")) || !slices.Equal(m.aliases, []string{"www"}) {
		t.Errorf("%+v", m)
	}
	if err := next.Detach(t.Context(), webID, ""); err != nil || len(next.Server.book.members) > 0 {
		t.Errorf("%v, %+v", err, next.Server.book.members)
	}
}

// TestRefusedNetwork: a network whose names cannot be served is not attached, and what a
// pod had before stays.
func TestRefusedNetwork(t *testing.T) {
	n, b := decorated(t, "")
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at, err := strconv.Atoi(taken.LocalAddr().String()[len("127.0.0.1:"):])
	if err != nil {
		t.Fatal(err)
	}
	n.Server.port = uint16(at)
	a := attachment("lan")
	if _, err := n.Attach(t.Context(), a); err == nil || len(b.detached) > 0 {
		t.Errorf("a new pod: %v, detached %v", err, b.detached)
	}
	a.Connections = []status.Connection{{Network: "default"}}
	if _, err := n.Attach(t.Context(), a); err == nil {
		t.Error("attached")
	}
	if diff := cmp.Diff([]string{webID + " lan"}, b.detached); diff != "" {
		t.Error(diff)
	}
}
