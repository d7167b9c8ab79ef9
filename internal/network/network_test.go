package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/capability"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/spec"
)

func BenchmarkAttachDetach(b *testing.B) {
	m := newMachine(b)
	n := m.daemon(b)
	keeper := sandbox(b)
	if _, err := n.Attach(b.Context(), attachment("keeper", keeper)); err != nil {
		b.Fatal(err)
	}
	var attach, detach []time.Duration
	for i := range b.N {
		id := fmt.Sprint("pod", i)
		pid := sandbox(b)
		begin := time.Now()
		if _, err := n.Attach(b.Context(), attachment(id, pid)); err != nil {
			b.Fatal(err)
		}
		attach = append(attach, time.Since(begin))
		begin = time.Now()
		if err := n.Detach(context.Background(), id, ""); err != nil {
			b.Fatal(err)
		}
		detach = append(detach, time.Since(begin))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for name, all := range map[string][]time.Duration{"attach": attach, "detach": detach} {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-median-µs")
	}
}

// TestNothingStays attaches and detaches, several at once: no address is given out
// twice, and afterwards the host is as it was.
func TestNothingStays(t *testing.T) {
	m := newMachine(t)
	before := m.look(t)
	n := m.daemon(t)
	const atOnce = 6
	pods := 60
	if *long {
		pods = 500
	}
	seen := make(chan []string, pods)
	next := make(chan int)
	done := make(chan error, atOnce)
	for range atOnce {
		go func() {
			for i := range next {
				c := holder()
				if err := c.Start(); err != nil {
					done <- err
					return
				}
				id := fmt.Sprint("pod", i)
				got, err := n.Attach(context.Background(), attachment(id, c.Process.Pid, spec.Port{ContainerPort: 80, HostPort: 20000 + i}))
				if err == nil {
					seen <- got[0].IPs
					err = n.Detach(context.Background(), id, "")
				}
				_ = c.Process.Kill()
				_ = c.Wait()
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for i := range pods {
		next <- i
	}
	close(next)
	for range atOnce {
		must(t, <-done)
	}
	given := map[string]bool{}
	for range pods {
		for _, ip := range <-seen {
			if given[ip] {
				t.Errorf("%s was given out twice in a short time", ip)
			}
			given[ip] = true
		}
	}
	must(t, n.Close())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("before:\n%s\nafter:\n%s", before, m.look(t))
		}
	})
	eventually(t, "the host as it was", func() bool { return m.look(t) == before })
}

// TestNextDaemon: what lives goes on with its addresses, ports and rules, what does not
// is released, whatever the daemon before was doing when it died.
func TestNextDaemon(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprint("record lost ", lost), func(t *testing.T) { nextDaemon(t, lost) })
	}
}

func nextDaemon(t *testing.T, lost bool) {
	m := newMachine(t)
	n := m.daemon(t)
	lives, ends := sandbox(t), sandbox(t)
	port := spec.Port{ContainerPort: 80, HostPort: 20080}
	got, err := n.Attach(t.Context(), attachment("lives", lives, port))
	must(t, err)
	_, err = n.Attach(t.Context(), attachment("ends", ends, spec.Port{ContainerPort: 80, HostPort: 20081}))
	must(t, err)
	must(t, run("ip", "link", "add", n.names.prefix+"litter", "type", "veth", "peer", "name", "other"))
	n.cancel() // it dies
	n.work.Wait()
	must(t, n.table.Drop())
	if lost {
		must(t, m.leases.Delete(leaseKind, n.leases["lives"].ID))
		must(t, m.leases.Put(leaseKind, "damaged", "nonsense"))
		must(t, m.leases.Delete(hostKind, "host"))
	}

	next := m.daemon(t)
	a := attachment("lives", lives, port)
	a.Connections = got
	must(t, next.Keep(t.Context(), []pod.Attachment{a}))
	if ports := published(t); !slices.Equal(ports, []int{20080}) {
		t.Errorf("published: %v", ports)
	}
	if err := run("ip", "link", "show", next.names.prefix+"litter"); err == nil {
		t.Error("a link of nobody stays")
	}
	if _, err := next.Attach(t.Context(), attachment("third", sandbox(t), port)); !fault.Is(err, fault.Exists) {
		t.Errorf("a port that is in use: %v", err)
	}
	third, err := next.Attach(t.Context(), attachment("fourth", sandbox(t), spec.Port{ContainerPort: 80, HostPort: 20081}))
	must(t, err)
	if slices.Equal(third[0].IPs, got[0].IPs) {
		t.Errorf("%v given out twice", got[0].IPs)
	}
	for _, id := range []string{"lives", "fourth"} {
		must(t, next.Detach(t.Context(), id, ""))
		must(t, next.Detach(t.Context(), id, ""))
	}
	must(t, next.Close())
	must(t, m.leases.Delete(leaseKind, "damaged"))
	if left := m.look(t); strings.Contains(left, "lease") || strings.Contains(left, next.names.table) {
		t.Errorf("stays:\n%s", left)
	}
}

// TestHostIsRestored: forwarding is as it was once the last pod is gone, unless somebody
// else has changed it since; what was on stays on.
func TestHostIsRestored(t *testing.T) {
	m := newMachine(t)
	value := func() string {
		v, err := read("ipv4/ip_forward")
		must(t, err)
		return v
	}
	for _, was := range []string{"0", "1"} {
		must(t, os.WriteFile(sysctls+"ipv4/ip_forward", []byte(was), 0))
		n := m.daemon(t)
		_, err := n.Attach(t.Context(), attachment("a", sandbox(t)))
		must(t, err)
		if v := value(); v != "1" {
			t.Errorf("forwarding is %s with a pod", v)
		}
		must(t, n.Detach(t.Context(), "a", ""))
		must(t, n.Close())
		if v := value(); v != was {
			t.Errorf("forwarding is %s, was %s", v, was)
		}
	}
}

// TestNetworks: what can be wished for and what not.
func TestNetworks(t *testing.T) {
	m := newMachine(t)
	n := m.daemon(t)
	ctx := t.Context()
	made, err := n.Create(ctx, spec.Network{Name: "back"})
	must(t, err)
	if len(made.Subnets) != 2 || len(made.Gateways) != 2 {
		t.Errorf("%+v", made)
	}
	_, err = n.Create(ctx, spec.Network{Name: "front", Subnets: []string{"10.250.0.0/24"}})
	must(t, err)
	for name, bad := range map[string]struct {
		w    spec.Network
		kind fault.Kind
	}{
		"again":           {spec.Network{Name: "back"}, fault.Exists},
		"reserved":        {spec.Network{Name: "host"}, fault.Invalid},
		"no name":         {spec.Network{Name: "../x"}, fault.Invalid},
		"another's":       {spec.Network{Name: "x", Subnets: []string{"10.250.0.128/25"}}, fault.Conflict},
		"the host's":      {spec.Network{Name: "x", Subnets: []string{"127.0.0.0/8"}}, fault.Invalid},
		"no subnet":       {spec.Network{Name: "x", Subnets: []string{"x"}}, fault.Invalid},
		"twice a family":  {spec.Network{Name: "x", Subnets: []string{"10.1.0.0/24", "10.2.0.0/24"}}, fault.Invalid},
		"host bits given": {spec.Network{Name: "x", Subnets: []string{"10.1.0.1/24"}}, fault.Invalid},
	} {
		if _, err := n.Create(ctx, bad.w); !fault.Is(err, bad.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := attachment("a", sandbox(t))
	a.Joins = []spec.Join{{Network: "front", IPs: []string{"10.250.0.9"}, MAC: "02:00:00:00:00:09", Aliases: []string{"db"}}, {Network: "back"}}
	got, err := n.Attach(ctx, a)
	must(t, err)
	if len(got) != 2 || !slices.Equal(got[0].IPs, []string{"10.250.0.9"}) || got[0].MAC != "02:00:00:00:00:09" || got[1].Interface != "eth1" {
		t.Errorf("%+v", got)
	}
	for name, bad := range map[string]struct {
		j    spec.Join
		kind fault.Kind
	}{
		"taken":           {spec.Join{Network: "front", IPs: []string{"10.250.0.9"}}, fault.Exists},
		"the gateway":     {spec.Join{Network: "front", IPs: []string{"10.250.0.1"}}, fault.Invalid},
		"elsewhere":       {spec.Join{Network: "front", IPs: []string{"10.1.1.1"}}, fault.Invalid},
		"other family":    {spec.Join{Network: "front", IPs: []string{"fd00::1"}}, fault.Invalid},
		"unknown":         {spec.Join{Network: "nowhere"}, fault.NotFound},
		"no address":      {spec.Join{Network: "front", IPs: []string{"x"}}, fault.Invalid},
		"two in a family": {spec.Join{Network: "front", IPs: []string{"10.250.0.3", "10.250.0.4"}}, fault.Invalid},
	} {
		b := attachment("b", sandbox(t))
		b.Joins = []spec.Join{bad.j}
		if _, err := n.Attach(ctx, b); !fault.Is(err, bad.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := n.Remove(ctx, "front"); !fault.Is(err, fault.Conflict) {
		t.Errorf("in use: %v", err)
	}
	if err := n.Detach(ctx, "a", "front"); !fault.Is(err, fault.Conflict) {
		t.Errorf("the default route's: %v", err)
	}
	must(t, n.Detach(ctx, "a", "back"))
	if one, err := n.Network("back"); err != nil || len(one.Members) != 0 {
		t.Errorf("%+v, %v", one, err)
	}
	must(t, n.Detach(ctx, "a", ""))
	for _, name := range []string{"front", "back"} {
		must(t, n.Remove(ctx, name))
	}
	for _, name := range []string{"front", "", Default} {
		if err := n.Remove(ctx, name); err == nil {
			t.Errorf("removed %q", name)
		}
	}
	// A fixed address can be had again at once.
	a = attachment("again", sandbox(t))
	_, err = n.Create(ctx, spec.Network{Name: "front", Subnets: []string{"10.250.0.0/24"}})
	must(t, err)
	a.Joins = []spec.Join{{Network: "front", IPs: []string{"10.250.0.9"}}}
	for range 3 {
		a.Pid = sandbox(t)
		_, err = n.Attach(ctx, a)
		must(t, err)
		must(t, n.Detach(ctx, "again", ""))
	}
}

// TestFailedAttach leaves nothing: at a namespace that is gone, and at a record that
// cannot be written.
func TestFailedAttach(t *testing.T) {
	m := newMachine(t)
	n := m.daemon(t)
	pid := sandbox(t)
	if _, err := n.Attach(t.Context(), attachment("gone", 1<<22-1)); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
	wrong := attachment("wrong", pid)
	wrong.Joins = []spec.Join{{Network: Default, IPs: []string{"192.0.2.1"}}}
	if _, err := n.Attach(t.Context(), wrong); err == nil {
		t.Error("an address of no network")
	}
	n.mu.Lock()
	if n.idle == nil {
		t.Error("the host stays prepared for nobody")
	}
	n.mu.Unlock()
	must(t, run("nsenter", "-t", fmt.Sprint(pid), "-n", "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x"))
	if _, err := n.Attach(t.Context(), attachment("a", pid)); !fault.Is(err, fault.Exists) {
		t.Errorf("a namespace with an eth0: %v", err)
	}
	must(t, n.Detach(t.Context(), "a", ""))
	if one, err := n.Network(Default); err != nil || len(one.Members) != 0 {
		t.Errorf("%+v, %v", one, err)
	}
}

// failing is a store that fails to write one kind of record, if there is one.
type failing struct {
	Store
	kind string
}

var errFull = errors.New("no space left")

func (f *failing) Put(kind, id string, value any) error {
	if kind == f.kind {
		return errFull
	}
	return f.Store.Put(kind, id, value)
}

// TestFailedHost: what of the host could not be made is made when the next pod comes, and
// what was made is taken back though no pod has come.
func TestFailedHost(t *testing.T) {
	m := newMachine(t)
	before := m.look(t)
	records := &failing{Store: m.leases}
	n := m.with(t, records)
	_, err := n.Create(t.Context(), spec.Network{Name: "lan", Subnets: []string{"10.77.0.0/24"}})
	must(t, err)
	a := attachment("a", sandbox(t))
	a.Joins = []spec.Join{{Network: "lan"}}
	for range 2 {
		records.kind = hostKind
		if _, err := n.Attach(t.Context(), a); !errors.Is(err, errFull) {
			t.Errorf("without a record of the host: %v", err)
		}
		if h := n.host; h.Up || len(h.Settings)+len(h.Uplinks)+len(h.Claims) > 0 {
			t.Errorf("the host is %+v", h)
		}
	}
	records.kind = ""
	_, err = n.Attach(t.Context(), attachment("b", sandbox(t)))
	must(t, err)
	records.kind = hostKind
	if _, err := n.Attach(t.Context(), a); !errors.Is(err, errFull) {
		t.Errorf("without a record of the claim: %v", err)
	}
	records.kind = ""
	_, err = n.Attach(t.Context(), a)
	must(t, err)
	if !strings.Contains(m.look(t), "unreachable 10.77.0.0/24") {
		t.Errorf("the subnet is not claimed:\n%s", m.look(t))
	}
	must(t, n.Detach(t.Context(), "a", ""))
	must(t, n.Detach(t.Context(), "b", ""))
	must(t, n.Remove(t.Context(), "lan"))
	must(t, n.Close())
	if after := m.look(t); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

// TestWithoutIPv6: on a host without, pods have IPv4, and who asks for more is told.
func TestWithoutIPv6(t *testing.T) {
	m := newMachine(t)
	for _, name := range []string{"all", "default"} {
		file := sysctls + "ipv6/conf/" + name + "/disable_ipv6"
		must(t, os.WriteFile(file, []byte("1"), 0))
		t.Cleanup(func() { must(t, os.WriteFile(file, []byte("0"), 0)) })
	}
	n := m.daemon(t)
	got, err := n.Attach(t.Context(), attachment("a", sandbox(t), spec.Port{ContainerPort: 80, HostPort: 20080}))
	must(t, err)
	if len(got[0].IPs) != 1 || !netip.MustParseAddr(got[0].IPs[0]).Is4() {
		t.Errorf("%+v", got)
	}
	if _, err := n.Create(t.Context(), spec.Network{Name: "six", Subnets: []string{"fd01::/64"}}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("a network of IPv6: %v", err)
	}
	b := attachment("b", sandbox(t))
	b.Joins = []spec.Join{{Network: Default, IPs: []string{"fd01::5"}}}
	if _, err := n.Attach(t.Context(), b); !fault.Is(err, fault.Invalid) {
		t.Errorf("an IPv6 address: %v", err)
	}
	must(t, n.Detach(t.Context(), "a", ""))
}

// TestWithoutPrivilege: a host that lets carob change nothing says so, with the way out.
func TestWithoutPrivilege(t *testing.T) {
	m := newMachine(t)
	pid := sandbox(t)
	// The capability goes from one thread, and with the thread.
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		set, err := capability.NewPid2(0)
		if err == nil {
			err = set.Load()
		}
		if err == nil {
			set.Unset(capability.EFFECTIVE, capability.CAP_NET_ADMIN)
			err = set.Apply(capability.CAPS)
		}
		if err == nil {
			_, err = m.daemon(t).Attach(t.Context(), attachment("a", pid))
		}
		done <- err
	}()
	err := <-done
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "--network none") {
		t.Errorf("%v", err)
	}
}
