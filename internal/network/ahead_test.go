package network

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/spec"
)

// ready is a daemon whose host has a pod already, and its process: what comes next is
// prepared for.
func ready(t testing.TB, m machine) (*Builtin, int) {
	t.Helper()
	n := m.daemon(t)
	first := sandbox(t)
	_, err := n.Attach(t.Context(), attachment("first", first))
	must(t, err)
	t.Cleanup(func() { must(t, n.Detach(context.Background(), "first", "")) })
	return n, first
}

// prepared is a sandbox with what was prepared for it.
func prepared(t testing.TB, n *Builtin, id string) (pid int, k leasedLink) {
	t.Helper()
	pid = sandbox(t)
	must(t, n.Prepare(t.Context(), id, pid))
	n.mu.Lock()
	defer n.mu.Unlock()
	return pid, n.ahead[id]
}

// interfaces is what a process's network namespace has besides loopback: one line each.
func interfaces(t testing.TB, pid int) (lines []string) {
	t.Helper()
	out, err := exec.Command("nsenter", "-t", fmt.Sprint(pid), "-n", "ip", "-o", "link").Output()
	must(t, err)
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "LOOPBACK") {
			lines = append(lines, line)
		}
	}
	return lines
}

func linkIsThere(name string) bool { return run("ip", "link", "show", name) == nil }

// TestPrepared: a pod gets the pair that was made for it and is connected as any other.
// Until then it is no member of the network, has no lease, and nothing leads to it.
func TestPrepared(t *testing.T) {
	m := newMachine(t)
	n, first := ready(t, m)
	before := m.look(t)
	pid, k := prepared(t, n, "next")
	if one, err := n.Network(Default); err != nil || len(one.Members) != 1 {
		t.Errorf("members %+v, %v", one.Members, err)
	}
	after := m.look(t)
	for _, ip := range k.Addresses {
		if strings.Contains(after, ip.String()+" ") || strings.Contains(after, ip.String()+"/") {
			t.Errorf("the host knows %s of a pod that nobody has asked for:\n%s", ip, after)
		}
	}
	if strings.Count(after, "lease") != strings.Count(before, "lease") {
		t.Errorf("it has a lease:\n%s", after)
	}
	links := interfaces(t, pid)

	a := attachment("next", pid, spec.Port{ContainerPort: 80, HostPort: 20090})
	a.Spec.Annotations = map[string]string{"kubernetes.io/ingress-bandwidth": "40M"}
	got, err := n.Attach(t.Context(), a)
	must(t, err)
	if !slices.Equal(got[0].IPs, texts(k.Addresses)) || !slices.Equal(interfaces(t, pid), links) {
		t.Errorf("connected by %+v and %q, prepared were %+v and %q", got, interfaces(t, pid), k, links)
	}
	for _, ip := range got[0].IPs {
		newWay(t, first, pid, ip)
	}
	newWay(t, pid, first, n.leases["first"].Links[0].Addresses[0].String())
	if ports := published(t); !slices.Equal(ports, []int{20090}) {
		t.Errorf("published: %v", ports)
	}
	if out, err := exec.Command("tc", "qdisc", "show", "dev", k.Host).CombinedOutput(); err != nil || !strings.Contains(string(out), "tbf") {
		t.Errorf("limits: %s, %v", out, err)
	}
	if v, err := read("ipv4/conf/" + k.Host + "/route_localnet"); v != "1" {
		t.Errorf("route_localnet is %q, %v", v, err)
	}
	must(t, n.Detach(t.Context(), "next", ""))
}

// TestPreparedForAnother: a pod that turns out to be another than was prepared for is
// connected as it wishes, by one pair.
func TestPreparedForAnother(t *testing.T) {
	m := newMachine(t)
	n, first := ready(t, m)
	_, err := n.Create(t.Context(), spec.Network{Name: "front"})
	must(t, err)
	t.Cleanup(func() { must(t, n.Remove(context.Background(), "front")) })
	free := n.leases["first"].Links[0].Gateways[0]
	for range 200 {
		free = free.Next()
	}
	for name, tt := range map[string]struct {
		joins  []spec.Join
		happen func(k leasedLink)
		same   bool // addresses
	}{
		"another network":  {joins: []spec.Join{{Network: "front"}}},
		"two networks":     {joins: []spec.Join{{Network: Default}, {Network: "front"}}},
		"an address":       {joins: []spec.Join{{Network: Default, IPs: []string{free.String()}}}},
		"a MAC":            {joins: []spec.Join{{Network: Default, MAC: "02:00:00:00:00:07"}}},
		"an alias":         {joins: []spec.Join{{Network: Default, Aliases: []string{"db"}}}, same: true},
		"the pair is gone": {happen: func(k leasedLink) { must(t, run("ip", "link", "del", k.Host)) }, same: true},
		"another MTU": {same: true, happen: func(leasedLink) {
			must(t, run("ip", "link", "add", "up0", "mtu", "1400", "type", "veth", "peer", "name", "up1"))
			must(t, run("ip", "addr", "add", "198.18.9.1/24", "dev", "up0"))
			must(t, run("ip", "link", "set", "up0", "up"))
			must(t, run("ip", "route", "add", "default", "via", "198.18.9.2", "dev", "up0"))
			t.Cleanup(func() { must(t, run("ip", "link", "del", "up0")) })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			pid, k := prepared(t, n, "next")
			if tt.happen != nil {
				tt.happen(k)
			}
			a := attachment("next", pid)
			a.Joins = tt.joins
			got, err := n.Attach(t.Context(), a)
			must(t, err)
			if tt.joins != nil && (len(got) != len(tt.joins) || got[0].Network != tt.joins[0].Network || !slices.Equal(got[0].Aliases, tt.joins[0].Aliases)) {
				t.Errorf("%+v", got)
			}
			if same := slices.Equal(got[0].IPs, texts(k.Addresses)); same != tt.same && got[0].Network == Default {
				t.Errorf("addresses %v, prepared were %v", got[0].IPs, k.Addresses)
			}
			if all := interfaces(t, pid); len(all) != len(got) {
				t.Errorf("%q", all)
			} else if name == "another MTU" && !strings.Contains(all[0], "mtu 1400") {
				t.Errorf("the uplink's MTU is 1400: %s", all[0])
			}
			if got[0].Network == Default {
				newWay(t, first, pid, got[0].IPs[0])
			}
			must(t, n.Detach(t.Context(), "next", ""))
			if len(n.ahead) > 0 {
				t.Errorf("still prepared: %v", n.ahead)
			}
		})
	}
}

// TestPreparedAddress: who asks for an address by its number gets it, though it is reserved
// for a pod that nobody has asked for.
func TestPreparedAddress(t *testing.T) {
	m := newMachine(t)
	n, _ := ready(t, m)
	pid, k := prepared(t, n, "next")
	a := attachment("fixed", sandbox(t))
	a.Joins = []spec.Join{{Network: Default, IPs: texts(k.Addresses)}}
	got, err := n.Attach(t.Context(), a)
	must(t, err)
	if !slices.Equal(got[0].IPs, texts(k.Addresses)) {
		t.Errorf("%+v", got)
	}
	next, err := n.Attach(t.Context(), attachment("next", pid))
	must(t, err)
	if next[0].IPs[0] == got[0].IPs[0] {
		t.Errorf("%s is two pods' address", got[0].IPs[0])
	}
	for _, id := range []string{"fixed", "next"} {
		must(t, n.Detach(t.Context(), id, ""))
	}
}

// TestNobodyTakesIt: what was prepared goes when the engine says so, with the last pod, and
// after a crash, though its namespace is held; and nothing is prepared where nothing can be.
func TestNobodyTakesIt(t *testing.T) {
	m := newMachine(t)
	before := m.look(t)
	n := m.daemon(t)
	if err := n.Prepare(t.Context(), "early", sandbox(t)); !fault.Is(err, fault.Unsupported) {
		t.Errorf("before the first pod: %v", err)
	}
	if now := m.look(t); now != before {
		t.Errorf("before the first pod the host was:\n%s\nand is:\n%s", before, now)
	}
	_, err := n.Attach(t.Context(), attachment("first", sandbox(t)))
	must(t, err)
	busy := sandbox(t)
	must(t, run("nsenter", "-t", fmt.Sprint(busy), "-n", "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x"))
	if err := n.Prepare(t.Context(), "busy", busy); !fault.Is(err, fault.Exists) || len(n.ahead) > 0 {
		t.Errorf("a namespace with an eth0: %v, %v", err, n.ahead)
	}

	_, k := prepared(t, n, "unasked")
	for range 2 {
		must(t, n.Detach(t.Context(), "unasked", ""))
	}
	if len(n.ahead) > 0 || linkIsThere(k.Host) {
		t.Error("it is still there")
	}
	must(t, n.networks[Default].rangeOf(k.Addresses[0]).Claim(k.Addresses[0])) // free again
	n.networks[Default].rangeOf(k.Addresses[0]).Release(k.Addresses[0])

	_, k = prepared(t, n, "of the dead")
	n.cancel() // it dies
	n.work.Wait()
	n = m.daemon(t)
	must(t, n.Keep(t.Context(), []pod.Attachment{attachment("first", 0)}))
	if linkIsThere(k.Host) {
		t.Error("a dead daemon's is still there")
	}

	_, k = prepared(t, n, "last")
	must(t, n.Detach(t.Context(), "first", ""))
	must(t, n.Close())
	if linkIsThere(k.Host) {
		t.Error("it is there without a pod")
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("before:\n%s\nafter:\n%s", before, m.look(t))
		}
	})
	eventually(t, "the host as it was", func() bool { return m.look(t) == before })
}
