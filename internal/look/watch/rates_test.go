package watch

import (
	"math"
	"testing"
	"time"

	"carob/internal/look"
	"carob/internal/look/group"
	"carob/internal/look/sample"
)

func to[T any](v T) *T { return &v }

// The host's namespaces in the samples.
func hostNS() look.NS { return look.NS{1, 2, 3, 4, 5, 6, 7, 8} }

const evil = "evil\x1b[2J\u202e\nname"

// at is a sample n seconds after the first: a pod of carob with a busy and an idle
// container, a container of Docker in the host's network, one that shares the pod's
// network from outside, carob's pod around a single container, and a hostile group.
func at(n int) *sample.Sample {
	sec := uint64(n)
	s := &sample.Sample{
		At: time.Date(2026, 11, 30, 6, 0, n, 0, time.UTC), Nets: map[uint64]sample.Net{14: {Received: 1000 * sec, Sent: 50 * sec}, 64: {}, 5: {Received: 4096 * sec}},
		Machine: sample.Machine{
			Name: "box", CPUs: 4, Busy: 100 * sec, Total: 400 * sec, Memory: 8 << 30, Available: 6 << 30, Load: "0.50 0.40 0.30", Processes: 42,
			Pressure: group.Pressure{CPU: &group.Stall{Some10: 12.3}, Memory: &group.Stall{}, IO: &group.Stall{Some10: 1.5}}, NS: hostNS(),
		},
	}
	in := func(change ...uint64) look.NS { // pairs of kind and inode
		ns := hostNS()
		for i := 0; i < len(change); i += 2 {
			ns[change[i]] = change[i+1]
		}
		return ns
	}
	const mnt, uts, ipc, pid, net, user = uint64(look.Mnt), uint64(look.UTS), uint64(look.IPC), uint64(look.PID), uint64(look.Net), uint64(look.User)
	pod := in(mnt, 11, uts, 12, ipc, 13, net, 14, user, 15)
	s.Things = []sample.Thing{
		{Key: "pod:d", Kind: sample.ThingPod, Name: "foo", ID: "dddd", Engine: look.Carob, PID: 30, State: sample.Running, Processes: 3, NS: pod, Use: sample.Use{
			From: "/carob/d", CPU: to(600_000_000 * sec), Memory: to(uint64(200 << 20)), Limit: to(uint64(256 << 20)), Read: to(uint64(0)), Written: to(1 << 20 * sec), Pids: to(uint64(9)),
			Pressure: &group.Pressure{CPU: &group.Stall{Some10: 33}},
		}},
		{Key: "sandbox:d", Pod: "pod:d", Kind: look.ClassSandbox, Name: "sandbox", Engine: look.Carob, PID: 30, State: sample.Running, Processes: 1, NS: pod, Use: sample.Use{
			CPU: to(uint64(0)), Memory: to(uint64(1 << 20)), Pids: to(uint64(4)),
		}},
		{Key: "container:a", Pod: "pod:d", Kind: look.ClassContainer, Name: "app", ID: "aaaa", Engine: look.Carob, PID: 31, State: sample.Running, Processes: 1,
			NS: in(mnt, 21, uts, 12, ipc, 13, pid, 22, net, 14, user, 15), Use: sample.Use{
				From: "/carob/d/a", CPU: to(500_000_000 * sec), Quota: to(0.5), Periods: 10 * sec, Throttled: 4 * sec,
				Memory: to(uint64(120 << 20)), Limit: to(uint64(128 << 20)), Read: to(uint64(0)), Written: to(1 << 20 * sec), Pids: to(uint64(4)), PidsLimit: to(uint64(5)),
				Pressure: &group.Pressure{CPU: &group.Stall{Some10: 60}, Memory: &group.Stall{Some10: 2}},
			}},
		{Key: "container:b", Pod: "pod:d", Kind: look.ClassContainer, Name: "sidecar", ID: "bbbb", Engine: look.Carob, PID: 32, State: sample.Paused, Processes: 1,
			NS: in(mnt, 31, uts, 12, ipc, 13, pid, 32, net, 14, user, 15), Use: sample.Use{From: "/carob/d/b", CPU: to(uint64(7)), Memory: to(uint64(80 << 20)), Pids: to(uint64(1))}},
		{Key: "pod:e", Kind: sample.ThingPod, Name: "solo", ID: "eeee", Engine: look.Carob, PID: 60, State: sample.Running, Solo: true, Processes: 2, NS: in(mnt, 61, uts, 62, ipc, 63, net, 64)},
		{Key: "sandbox:e", Pod: "pod:e", Kind: look.ClassSandbox, Name: "sandbox", Engine: look.Carob, PID: 60, State: sample.Running, Processes: 1, NS: in(mnt, 61, uts, 62, ipc, 63, net, 64)},
		{Key: "container:e", Pod: "pod:e", Kind: look.ClassContainer, Name: "solo", ID: "e0e0", Engine: look.Carob, PID: 61, State: sample.Running, Processes: 1,
			NS: in(mnt, 65, uts, 62, ipc, 63, pid, 66, net, 64), Use: sample.Use{From: "/carob/e", CPU: to(10_000_000 * sec), Memory: to(uint64(3 << 20)), Limit: to(uint64(64 << 20)), Pids: to(uint64(1))}},
		{Key: "container:c", Kind: look.ClassContainer, Name: "web", ID: "cccc", Engine: look.Docker, PID: 50, State: sample.Running, Processes: 5,
			NS: in(mnt, 51, uts, 52, ipc, 53, pid, 54), Use: sample.Use{From: "/docker/c", CPU: to(1_500_000_000 * sec), Memory: to(uint64(1500 << 20)), Pids: to(uint64(40))}},
		{Key: "container:f", Kind: look.ClassContainer, Name: "spy", ID: "ffff", Engine: look.Docker, PID: 55, State: sample.Running, Processes: 1,
			NS: in(mnt, 56, net, 14), Use: sample.Use{From: "/docker/f", CPU: to(uint64(0)), Memory: to(uint64(2 << 20))}},
		{Key: "group:70@1", Kind: look.ClassGroup, Name: evil, PID: 70, State: sample.Running, Processes: 1, NS: in(mnt, 71), Use: sample.Use{Memory: to(uint64(1 << 20)), Pids: to(uint64(1))}},
	}
	return s
}

// TestRates holds what two samples say against numbers worked out by hand.
func TestRates(t *testing.T) {
	table := Rates(at(1), at(3)) // two seconds
	row := func(key string) *Row {
		if r := find(table.Rows, key); r != nil {
			return r
		}
		t.Fatalf("no row %s", key)
		return nil
	}
	near := func(what string, got *float64, want float64) {
		t.Helper()
		if got == nil || math.Abs(*got-want) > 1e-6 {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	app, pod, solo, web, spy := row("container:a"), row("pod:d"), row("container:e"), row("container:c"), row("container:f")
	near("app's cpu: half a second each second", app.CPU, 50)
	near("app's throttling: 8 of 20 periods", app.Throttled, 40)
	near("app's writes: 1 MiB each second", app.Written, 1<<20)
	near("app's reads", app.Read, 0)
	near("web's cpu", web.CPU, 150)
	near("pod's received", pod.Received, 1000)
	near("pod's sent", pod.Sent, 50)
	near("machine's cpu: a quarter of 4", table.Machine.CPU, 100)
	near("machine's received", table.Machine.Received, 4096)
	near("solo's received", solo.Received, 0)
	if web.Throttled != nil || web.Read != nil || web.Received != nil {
		t.Errorf("web has numbers that nobody counts: %+v", web)
	}
	for _, c := range []struct{ who, got, want string }{
		{"foo", pod.Network, NetOwn}, {"app", app.Network, NetPod}, {"web", web.Network, NetHost}, {"spy", spy.Network, "foo"}, {"solo", solo.Network, NetOwn},
	} {
		if c.got != c.want {
			t.Errorf("the network of %s is %q, want %q", c.who, c.got, c.want)
		}
	}
	if app.PodLimit || *app.Limit != 128<<20 {
		t.Errorf("app's limit is its own: %+v", app)
	}
	if side := row("container:b"); !side.PodLimit || *side.Limit != 256<<20 {
		t.Errorf("sidecar's limit is the pod's: %+v", side)
	}
	if find(table.Rows, "pod:e") != nil || len(solo.Rows) != 1 || solo.Rows[0].Kind != look.ClassSandbox {
		t.Errorf("carob's pod around one container is the container: %+v", table.Rows)
	}
	if table.Seconds != 2 {
		t.Errorf("%v seconds", table.Seconds)
	}
}

// TestShares holds every kind of the pod's and the spy's against the samples.
func TestShares(t *testing.T) {
	table := Rates(nil, at(1))
	for key, want := range map[string]Shares{
		//              mnt       uts        ipc        pid       net          user       cgroup    time
		"container:a": {Own, WithPod, WithPod, Own, WithOthers, WithPod, WithHost, WithHost},
		"pod:d":       {Own, WithPod, WithPod, Own, WithOthers, WithPod, WithHost, WithHost},
		"container:c": {Own, Own, Own, Own, WithHost, WithHost, WithHost, WithHost},
		"container:f": {Own, WithHost, WithHost, WithHost, WithOthers, WithHost, WithHost, WithHost},
		"container:e": {Own, WithPod, WithPod, Own, WithPod, WithHost, WithHost, WithHost},
	} {
		if got := find(table.Rows, key).Shares; got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
}

// TestFirstSample has no rates, and does not pretend to.
func TestFirstSample(t *testing.T) {
	table := Rates(nil, at(1))
	if r := find(table.Rows, "container:a"); r.CPU != nil || r.Written != nil || table.Machine.CPU != nil || r.Memory == nil {
		t.Errorf("%+v", r)
	}
}

// TestSumFalls: a process of a sandbox ends, and with it what it had counted.
func TestSumFalls(t *testing.T) {
	before, now := at(1), at(2)
	before.Things[1].Use.CPU, now.Things[1].Use.CPU = to(uint64(900)), to(uint64(100))
	if r := find(Rates(before, now).Rows, "sandbox:d"); *r.CPU != 0 {
		t.Errorf("%v", *r.CPU)
	}
}

// TestPodWithoutGroup sums up its containers.
func TestPodWithoutGroup(t *testing.T) {
	before, now := at(1), at(2)
	before.Things[0].Use, now.Things[0].Use = sample.Use{}, sample.Use{}
	r := find(Rates(before, now).Rows, "pod:d")
	if r.CPU == nil || math.Abs(*r.CPU-50) > 1e-6 || *r.Memory != (1+120+80)<<20 || *r.Pids != 9 {
		t.Errorf("%+v", r)
	}
	if *find(r.Rows, "container:a").CPU != *r.CPU {
		t.Error("the pod's number and the container's are one")
	}
	*r.CPU = 1
	if *find(r.Rows, "container:a").CPU == 1 {
		t.Error("the pod's number is the container's own")
	}
}

// TestSharesUnseen: what may not be seen is not called isolated.
func TestSharesUnseen(t *testing.T) {
	s := at(1)
	for i := range s.Things {
		s.Things[i].NS = look.NS{}
	}
	r := find(Rates(nil, s).Rows, "container:a")
	for _, cell := range []Line{sharedCell(nil, r, 8), hostsCell(nil, r, 8)} {
		if cell.text() != "?" {
			t.Errorf("%q", cell.text())
		}
	}
	r = find(Rates(nil, at(1)).Rows, "container:a")
	if got := sharedCell(nil, r, 8).text() + hostsCell(nil, r, 8).text(); got != "·ui·nU········"+"ct" {
		t.Errorf("%q", got)
	}
}
