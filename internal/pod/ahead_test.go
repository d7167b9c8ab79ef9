package pod_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"carob/internal/fault"
	"carob/internal/plan/cgroup"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/systest"
)

// prepared waits for a sandbox that the engine makes ahead, and returns its pod's ID.
func prepared(t testing.TB, m *systest.Machine) string {
	t.Helper()
	eventually(t, "a sandbox made ahead", func() bool { return len(systest.Prepared(m)) == 1 })
	return systest.Prepared(m)[0]
}

// foresighted is a machine that can make sandboxes ahead.
func foresighted(t testing.TB) *systest.Machine {
	m := systest.New(t.TempDir())
	systest.Ahead(m)
	return m
}

// ended takes everything down and checks that nothing stays on the machine.
func ended(t *testing.T, e *pod.Engine, m *systest.Machine) {
	t.Helper()
	tearDown(t, e)
	ok(t, e.Close())
	clean(t, m)
}

func TestSandboxMadeAhead(t *testing.T) {
	m := foresighted(t)
	e := newEngine(t, m)
	ctx := t.Context()
	first := must[status.Pod](t)(e.RunPod(ctx, podSpec("first")))
	id := prepared(t, m)

	other := podSpec("other")
	other.Namespaces.Net = spec.Host
	if p := must[status.Pod](t)(e.RunPod(ctx, other)); p.ID == id {
		t.Error("a pod in the host's network took a sandbox with one of its own")
	}
	next := podSpec("next")
	next.Sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
	p := must[status.Pod](t)(e.RunPod(ctx, next))
	if p.ID != id {
		t.Errorf("pod %s, %s was made ahead", p.ID, id)
	}
	if a, b := p.UserMapping, first.UserMapping; a.Size == 0 || a.HostID == b.HostID {
		t.Errorf("mappings %v and %v", a, b)
	}
	ended(t, e, m)
}

// TestAheadRefused: a pod that is refused takes nothing that nobody would give back.
func TestAheadRefused(t *testing.T) {
	m := foresighted(t)
	e := newEngine(t, m)
	must[status.Pod](t)(e.RunPod(t.Context(), podSpec("first")))
	id := prepared(t, m)
	wrong := podSpec("wrong")
	wrong.CgroupParent = "/elsewhere/a.slice"
	_, err := e.RunPod(t.Context(), wrong)
	refused(t, err, fault.Invalid, "/elsewhere/a.slice")
	if p := must[status.Pod](t)(e.RunPod(t.Context(), podSpec("next"))); p.ID != id {
		t.Errorf("pod %s, %s was made ahead", p.ID, id)
	}
	ended(t, e, m)
}

// TestAheadOfAScope: where each pod has a scope, what is made ahead is not in one yet.
func TestAheadOfAScope(t *testing.T) {
	m := foresighted(t)
	d := m.Deps()
	d.Log = slog.New(slog.DiscardHandler)
	d.Facts.CgroupMode, d.Facts.Systemd = "v2", true
	d.Cgroups = must[cgroup.Placement](t)(cgroup.Place(cgroup.Systemd, d.Facts))
	e := pod.New(d)
	t.Cleanup(func() { _ = e.Close() })
	ok(t, e.Recover(t.Context()))
	must[status.Pod](t)(e.RunPod(t.Context(), podSpec("first")))
	id := prepared(t, m)
	p := must[status.Pod](t)(e.RunPod(t.Context(), podSpec("next")))
	if _, scoped := cgroup.Scope(p.Cgroup); p.ID != id || !scoped {
		t.Errorf("pod %s in %s, %s was made ahead", p.ID, p.Cgroup, id)
	}
	ended(t, e, m)
}

// TestAheadCannotBeMade: what a failure leaves is taken back, the cgroup that the sandbox
// was to begin in, too.
func TestAheadCannotBeMade(t *testing.T) {
	m := foresighted(t)
	d := m.Deps()
	d.Log = slog.New(slog.DiscardHandler)
	d.Facts.CgroupMode = "v2"
	broken := &brokenAhead{Sandboxes: d.Sandboxes, groups: d.Groups, failed: make(chan struct{})}
	d.Sandboxes = broken
	e := pod.New(d)
	ok(t, e.Recover(t.Context()))
	must[status.Pod](t)(e.RunPod(t.Context(), podSpec("first")))
	<-broken.failed
	ended(t, e, m)
}

// brokenAhead fails when the cgroup is there already.
type brokenAhead struct {
	pod.Sandboxes
	groups pod.Groups
	failed chan struct{}
}

func (b *brokenAhead) PrepareSandbox(ctx context.Context, s pod.Sandbox) (pod.SandboxState, error) {
	defer close(b.failed)
	return pod.SandboxState{}, errors.Join(errors.New("no process"), b.groups.CreateGroup(ctx, s.Cgroup, nil))
}

// TestRangesRunOut: what was made ahead gives its range of ids to a pod that has another
// shape and finds no other.
func TestRangesRunOut(t *testing.T) {
	m := foresighted(t)
	d := m.Deps()
	d.Log, d.Ranges.Size = slog.New(slog.DiscardHandler), 2*d.Ranges.Count
	e := pod.New(d)
	ok(t, e.Recover(t.Context()))
	ctx := t.Context()
	must[status.Pod](t)(e.RunPod(ctx, podSpec("first")))
	prepared(t, m)
	other := podSpec("other")
	other.ShmSize = 1 << 20
	must[status.Pod](t)(e.RunPod(ctx, other))
	_, err := e.RunPod(ctx, podSpec("third"))
	refused(t, err, fault.Unavailable, "no 65536 free ids")
	ended(t, e, m)
}

// TestAheadOfASolo: a container that is created and never started does not keep what was
// made ahead for it.
func TestAheadOfASolo(t *testing.T) {
	m := foresighted(t)
	e := newEngine(t, m)
	ctx := t.Context()
	ok(t, runningSolo(ctx, e))
	id := prepared(t, m)
	c := must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("never", "sleep")))
	if c.PodID != id {
		t.Errorf("pod %s, %s was made ahead", c.PodID, id)
	}
	ok(t, e.RemoveContainer(ctx, "never", pod.RemoveOptions{}))
	if m.HasSandbox(id) {
		t.Error("the sandbox is there after its container was removed")
	}
	ended(t, e, m)
}

// TestAheadForeseesNoLinks: a sandbox that is connected ahead is for pods whose connection
// could be foreseen.
func TestAheadForeseesNoLinks(t *testing.T) {
	for name, differ := range map[string]func(*spec.Pod){
		"another network":       func(s *spec.Pod) { s.Networks = []spec.Join{{Network: "front"}} },
		"settings of new links": func(s *spec.Pod) { s.Sysctls = map[string]string{"net.ipv4.conf.default.rp_filter": "1"} },
	} {
		m := foresighted(t)
		e := newEngine(t, m)
		must[status.Pod](t)(e.RunPod(t.Context(), podSpec("first")))
		id := prepared(t, m)
		other := podSpec("other")
		differ(&other)
		if p := must[status.Pod](t)(e.RunPod(t.Context(), other)); p.ID == id {
			t.Errorf("%s: the pod took a sandbox with the default network's link", name)
		}
		ended(t, e, m)
	}
}

// unprepared is a network that can do nothing ahead.
type unprepared struct{ pod.Network }

func (unprepared) Prepare(context.Context, string, int) error { return systest.ErrInjected }

// told is a log whose lines can be waited for.
type told chan string

func (c told) Write(line []byte) (int, error) {
	c <- string(line)
	return len(line), nil
}

// TestAheadUnconnected: a sandbox that could not be connected ahead is taken all the same.
func TestAheadUnconnected(t *testing.T) {
	m := foresighted(t)
	d := m.Deps()
	log := make(told, 100)
	d.Network, d.Log = unprepared{d.Network}, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	e := pod.New(d)
	ok(t, e.Recover(t.Context()))
	must[status.Pod](t)(e.RunPod(t.Context(), podSpec("first")))
	line := <-log // written once the sandbox can be taken
	p := must[status.Pod](t)(e.RunPod(t.Context(), podSpec("next")))
	if !strings.Contains(line, p.ID) || !strings.Contains(line, systest.ErrInjected.Error()) || len(p.Connections) == 0 {
		t.Errorf("pod %s with %v; the log: %s", p.ID, p.Connections, line)
	}
	ended(t, e, m)
}

// TestAheadFails lets every call fail, or the daemon die at it, when a pod takes what was
// made ahead.
func TestAheadFails(t *testing.T) {
	fail := func(m *systest.Machine, n int) { m.FailAt(n) }
	die := func(after bool) func(*systest.Machine, int) {
		return func(m *systest.Machine, n int) { m.KillAt(n, after) }
	}
	for name, breaks := range map[string]func(*systest.Machine, int){"fault": fail, "death before": die(false), "death after": die(true)} {
		t.Run(name, func(t *testing.T) {
			for n := 1; takenWith(t, n, breaks); n++ {
			}
		})
	}
}

// TestAheadInVain lets every call fail when a pod takes what was made ahead: the daemon itself
// takes all of it back, not only the next one.
func TestAheadInVain(t *testing.T) {
	for n, hit := 1, true; hit; n++ {
		m := foresighted(t)
		e := newEngine(t, m)
		must[status.Pod](t)(e.RunPod(t.Context(), podSpec("first")))
		prepared(t, m)
		m.FailAt(n)
		_, err := e.RunPod(t.Context(), podSpec("web"))
		step := m.Last()
		if hit = m.Failed(); !hit {
			ok(t, err)
		}
		m.FailAt(0)
		tearDown(t, e)
		ok(t, e.Close())
		if !systest.Eventually(func() bool { return len(m.Live()) == 0 }) {
			t.Errorf("step %d (%s): left behind:\n%s", n, step, slices.Sorted(slices.Values(m.Live())))
		}
	}
}

func takenWith(t *testing.T, n int, breaks func(*systest.Machine, int)) bool {
	m := foresighted(t)
	e := start(m)
	ok(t, e.Recover(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	must[status.Pod](t)(e.RunPod(ctx, podSpec("first")))
	prepared(t, m)
	breaks(m, n)
	_, err := e.RunPod(ctx, podSpec("web"))
	step, hit := fmt.Sprintf("step %d (%s)", n, m.Last()), m.Failed()
	if !hit {
		ok(t, err)
	}
	_ = e.Close() // a dead one takes nothing back
	m.Revive()
	e = newEngine(t, m)
	if _, err := e.RunPod(ctx, podSpec("web")); err != nil && !fault.Is(err, fault.Exists) {
		t.Errorf("%s: retry: %v", step, err)
	}
	tearDown(t, e)
	ok(t, e.Close())
	if !systest.Eventually(func() bool { return len(m.Live()) == 0 }) {
		t.Errorf("%s: left behind:\n%s", step, slices.Sorted(slices.Values(m.Live())))
	}
	return hit
}
