package network

import (
	"strings"
	"testing"

	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/link"
)

// TestDiedWhileLeaving: a daemon dies while it takes connections of a pod back, and the engine
// never hears of it. The next one finds a pod that is ready, which is connected again.
func TestDiedWhileLeaving(t *testing.T) {
	for name, died := range map[string]func(t *testing.T, n *Builtin, l *lease){
		"before anything": func(*testing.T, *Builtin, *lease) {},
		"with the routes gone": func(t *testing.T, _ *Builtin, l *lease) {
			for _, k := range l.Links {
				must(t, link.Unroute(k.Host, k.Addresses))
			}
		},
		"with a link gone": func(t *testing.T, _ *Builtin, l *lease) {
			must(t, link.Delete(l.Links[1].Host))
		},
		"with the record of a whole detach": func(t *testing.T, n *Builtin, l *lease) {
			for _, k := range l.Links {
				must(t, link.Unroute(k.Host, k.Addresses))
			}
			leaving := *l
			leaving.Leaving = true
			must(t, n.c.Leases.Put(leaseKind, l.ID, leaving))
		},
		"with the record of one network's detach": func(t *testing.T, n *Builtin, l *lease) {
			must(t, link.Delete(l.Links[1].Host))
			rest, _ := l.without("back")
			must(t, n.c.Leases.Put(leaseKind, l.ID, rest))
		},
		"with nothing left but the links": func(t *testing.T, n *Builtin, l *lease) {
			for _, k := range l.Links {
				must(t, link.Unroute(k.Host, k.Addresses))
			}
			must(t, n.c.Leases.Delete(leaseKind, l.ID))
		},
	} {
		t.Run(name, func(t *testing.T) { diedWhileLeaving(t, died) })
	}
}

func diedWhileLeaving(t *testing.T, died func(*testing.T, *Builtin, *lease)) {
	m := newMachine(t)
	uplink(t)
	n := m.daemon(t)
	_, err := n.Create(t.Context(), spec.Network{Name: "back"})
	must(t, err)
	other, pid := sandbox(t), sandbox(t)
	a := attachment("a", pid, spec.Port{ContainerPort: 80, HostPort: 20085})
	a.Joins = []spec.Join{{Network: Default}, {Network: "back", Aliases: []string{"db"}}}
	a.Connections, err = n.Attach(t.Context(), a)
	must(t, err)
	n.cancel()
	n.work.Wait()
	died(t, n, n.leases["a"])
	must(t, n.table.Drop())

	next := m.daemon(t)
	joining := attachment("other", other)
	joining.Joins = []spec.Join{{Network: Default}, {Network: "back"}}
	must(t, next.Keep(t.Context(), []pod.Attachment{a}))
	_, err = next.Attach(t.Context(), joining)
	must(t, err)
	for _, c := range a.Connections {
		newWay(t, other, pid, c.IPs[0])
	}
	if ports := published(t); len(ports) != 1 || ports[0] != 20085 {
		t.Errorf("published: %v", ports)
	}
	l := next.leases["a"]
	if got := l.connections(0); !sameIPs(got, a.Connections) {
		t.Errorf("the lease has %+v, the pod had %+v", got, a.Connections)
	}
	for _, k := range l.Links {
		if !strings.HasPrefix(k.Host, next.names.prefix) {
			t.Errorf("%s is no link of the network's", k.Host)
		}
	}
	for _, id := range []string{"a", "other"} {
		must(t, next.Detach(t.Context(), id, ""))
	}
	must(t, next.Close())
	must(t, next.Remove(t.Context(), "back"))
	if left := m.look(t); strings.Contains(left, "lease") || !linkIsThere("uplink0") {
		t.Errorf("stays:\n%s", left)
	}
}

func sameIPs(a, b []status.Connection) bool {
	text := func(all []status.Connection) (s string) {
		for _, c := range all {
			s += c.Network + " " + strings.Join(c.IPs, " ") + "\n"
		}
		return s
	}
	return text(a) == text(b)
}

// uplink is a link with the host's default route, which leads to whatever has no route.
func uplink(t *testing.T) {
	t.Helper()
	must(t, run("ip", "link", "add", "uplink0", "type", "veth", "peer", "name", "uplink1"))
	t.Cleanup(func() { _ = run("ip", "link", "del", "uplink0") })
	must(t, run("ip", "link", "set", "uplink1", "up"))
	must(t, run("ip", "link", "set", "uplink0", "up"))
	must(t, run("ip", "address", "add", "192.0.2.2/24", "dev", "uplink0"))
	must(t, run("ip", "route", "add", "default", "via", "192.0.2.1"))
}
