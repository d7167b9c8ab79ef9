package port

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
	"carob/internal/spec"
)

func TestParse(t *testing.T) {
	one := func(p spec.Port) []spec.Port { return []spec.Port{p} }
	for in, want := range map[string][]spec.Port{
		"80":                    one(spec.Port{ContainerPort: 80, HostPort: spec.AnyPort, Protocol: "TCP"}),
		"8080:80":               one(spec.Port{ContainerPort: 80, HostPort: 8080, Protocol: "TCP"}),
		"8080:80/udp":           one(spec.Port{ContainerPort: 80, HostPort: 8080, Protocol: "UDP"}),
		"127.0.0.1:8080:80":     one(spec.Port{ContainerPort: 80, HostPort: 8080, HostIP: "127.0.0.1", Protocol: "TCP"}),
		"127.0.0.1::80/sctp":    one(spec.Port{ContainerPort: 80, HostPort: spec.AnyPort, HostIP: "127.0.0.1", Protocol: "SCTP"}),
		"[::1]:8080:80":         one(spec.Port{ContainerPort: 80, HostPort: 8080, HostIP: "::1", Protocol: "TCP"}),
		":80":                   one(spec.Port{ContainerPort: 80, HostPort: spec.AnyPort, Protocol: "TCP"}),
		"8000-8001:80-81":       {{ContainerPort: 80, HostPort: 8000, Protocol: "TCP"}, {ContainerPort: 81, HostPort: 8001, Protocol: "TCP"}},
		"0.0.0.0:1-2:1-2/TCP":   {{ContainerPort: 1, HostPort: 1, HostIP: "0.0.0.0", Protocol: "TCP"}, {ContainerPort: 2, HostPort: 2, HostIP: "0.0.0.0", Protocol: "TCP"}},
		"65535:65535":           one(spec.Port{ContainerPort: 65535, HostPort: 65535, Protocol: "TCP"}),
		"[fe80::1]:1:65535/Udp": one(spec.Port{ContainerPort: 65535, HostPort: 1, HostIP: "fe80::1", Protocol: "UDP"}),
	} {
		got, err := Parse(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
	for _, bad := range []string{"", "0", "65536", "a", "80/icmp", "1:2:3", "a:1:2", "1-2:3", "3-2:3-2", "1:-2", "80/", "1-65535", "127.0.0.1:80", "+1:2", "[::1:80:80:1"} {
		if got, err := Parse(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"80", "[::1]:1-2:1-2/udp", "1.2.3.4::80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ports, err := Parse(s)
		if err != nil {
			return
		}
		if len(ports) == 0 || len(ports) > most {
			t.Fatalf("%d ports", len(ports))
		}
		if err := Check(ports); err != nil {
			t.Errorf("%q was parsed, then refused: %v", s, err)
		}
	})
}

// TestTable: a port of the host is one pod's, whichever of them named an address.
func TestTable(t *testing.T) {
	p := func(ip string, n int, protocol string) spec.Port {
		return spec.Port{ContainerPort: 1, HostPort: n, HostIP: ip, Protocol: protocol}
	}
	for _, c := range []struct {
		a, b  spec.Port
		clash bool
	}{
		{p("", 80, "TCP"), p("", 80, ""), true},
		{p("", 80, "TCP"), p("", 81, "TCP"), false},
		{p("", 80, "TCP"), p("", 80, "UDP"), false},
		{p("", 80, "TCP"), p("127.0.0.1", 80, "TCP"), true},
		{p("127.0.0.1", 80, "TCP"), p("127.0.0.2", 80, "TCP"), false},
		{p("127.0.0.1", 80, "TCP"), p("0.0.0.0", 80, "TCP"), true},
		{p("::", 80, "TCP"), p("0.0.0.0", 80, "TCP"), false},
		{p("::", 80, "TCP"), p("::1", 80, "TCP"), true},
		{p("::ffff:1.2.3.4", 80, "TCP"), p("1.2.3.4", 80, "TCP"), true},
	} {
		var table Table
		if err := table.Claim("a", c.a); err != nil {
			t.Fatal(err)
		}
		if err := table.Claim("b", c.b); fault.Is(err, fault.Exists) != c.clash {
			t.Errorf("%+v beside %+v: %v", c.a, c.b, err)
		}
		table.Release("a", c.a)
		if err := table.Claim("c", c.a); c.clash && err != nil {
			t.Errorf("%+v after release: %v", c.a, err)
		}
	}
	if err := Check([]spec.Port{p("", 80, ""), p("1.2.3.4", 80, "TCP")}); !fault.Is(err, fault.Exists) {
		t.Errorf("twice in one pod: %v", err)
	}
	for _, bad := range []spec.Port{{}, p("x", 1, ""), p("", 70000, ""), p("", 1, "ICMP"), p("", -2, "")} {
		if err := Check([]spec.Port{bad}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestWays(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")
	pod := []netip.Addr{v4, v6}
	for ip, want := range map[string][]Way{
		"":        {{6, netip.Addr{}, 8080, v4, 80}, {6, netip.Addr{}, 8080, v6, 80}},
		"0.0.0.0": {{6, netip.Addr{}, 8080, v4, 80}},
		"::":      {{6, netip.Addr{}, 8080, v6, 80}},
		"1.2.3.4": {{6, netip.MustParseAddr("1.2.3.4"), 8080, v4, 80}},
	} {
		got := Ways(spec.Port{ContainerPort: 80, HostPort: 8080, HostIP: ip}, pod)
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("%q: %s", ip, d)
		}
	}
}

func TestShown(t *testing.T) {
	pod := []string{"10.0.0.2", "fd00::2"}
	for _, c := range []struct {
		name        string
		ports       []spec.Port
		text, lines string
	}{
		{"none", nil, "", ""},
		{"not published", []spec.Port{{ContainerPort: 80}, {ContainerPort: 81, HostPort: spec.AnyPort}}, "", ""},
		{"both families", []spec.Port{{ContainerPort: 80, HostPort: 8080}},
			"0.0.0.0:8080->80/tcp, [::]:8080->80/tcp", "80/tcp -> 0.0.0.0:8080|80/tcp -> [::]:8080"},
		{"one address", []spec.Port{{ContainerPort: 53, HostPort: 53, HostIP: "::1", Protocol: "UDP"}}, "[::1]:53->53/udp", "53/udp -> [::1]:53"},
		{"a range, out of order", []spec.Port{
			{Name: "b", ContainerPort: 91, HostPort: 9001, HostIP: "1.2.3.4", Protocol: "TCP"}, {Name: "a", ContainerPort: 90, HostPort: 9000, HostIP: "1.2.3.4"},
		}, "1.2.3.4:9000-9001->90-91/tcp", "91/tcp -> 1.2.3.4:9001|90/tcp -> 1.2.3.4:9000"},
		{"no range", []spec.Port{
			{ContainerPort: 80, HostPort: 8080, HostIP: "0.0.0.0"}, {ContainerPort: 81, HostPort: 8082, HostIP: "0.0.0.0"},
			{ContainerPort: 82, HostPort: 8083, HostIP: "0.0.0.0", Protocol: "SCTP"},
		}, "0.0.0.0:8083->82/sctp, 0.0.0.0:8080->80/tcp, 0.0.0.0:8082->81/tcp",
			"80/tcp -> 0.0.0.0:8080|81/tcp -> 0.0.0.0:8082|82/sctp -> 0.0.0.0:8083"},
	} {
		var all []spec.Port
		for _, p := range c.ports {
			all = append(all, Published(p, pod)...)
		}
		if got := Text(all); got != c.text {
			t.Errorf("%s: %q, want %q", c.name, got, c.text)
		}
		var lines []string
		for _, p := range all {
			lines = append(lines, Line(p))
		}
		if got := strings.Join(lines, "|"); got != c.lines {
			t.Errorf("%s: %q, want %q", c.name, got, c.lines)
		}
	}
}
