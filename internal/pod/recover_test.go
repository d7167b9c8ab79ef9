package pod_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/systest"
)

func TestContainersOutliveTheDaemon(t *testing.T) {
	m := systest.New(t.TempDir())
	e := start(m)
	ctx := t.Context()
	ok(t, e.Recover(ctx))
	ok(t, withRunning(ctx, e))
	p := must[status.Pod](t)(e.Pod("web"))
	gone := must[status.Container](t)(e.CreateContainer(ctx, "web", container("gone", "sleep")))
	ok(t, e.StartContainer(ctx, "gone", pod.Streams{}))
	must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("solo", "sleep")))
	ok(t, e.StartContainer(ctx, "solo", pod.Streams{}))
	lost := must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("lost", "sleep")))
	ok(t, e.StartContainer(ctx, "lost", pod.Streams{}))
	runs := must[string](t)(e.Exec(ctx, "app", spec.Exec{Command: []string{"sleep"}}, pod.Streams{}))
	ended := must[string](t)(e.Exec(ctx, "app", spec.Exec{Command: []string{"sleep"}}, pod.Streams{}))
	ok(t, e.Close())
	ok(t, e.Close())

	m.End(gone.ID, status.Exit{Code: 7}) // with nobody there to hear it
	m.End(ended, status.Exit{Code: 9})
	m.Crash(lost.PodID)
	m.Revive()
	e = newEngine(t, m)
	if c := inState(t, e, "gone", lifecycle.ContainerExited); c.ExitCode != 7 || c.Reason != "Error" {
		t.Errorf("container %+v", c)
	}
	if c := inState(t, e, "lost", lifecycle.ContainerExited); c.Reason != "Lost" || c.ExitCode != 255 {
		t.Errorf("container %+v", c)
	}
	inState(t, e, "app", lifecycle.ContainerRunning)
	inState(t, e, "solo", lifecycle.ContainerRunning)
	got := must[status.Pod](t)(e.Pod("web"))
	if got.State != lifecycle.PodReady || got.UserMapping != p.UserMapping || len(got.Containers) != 2 {
		t.Errorf("pod %+v", got)
	}
	if x := must[status.Exit](t)(e.WaitExec(ctx, ended)); x.Code != 9 {
		t.Errorf("the exec that ended: %+v", x)
	}
	m.End(runs, status.Exit{Code: 3})
	if x := must[status.Exit](t)(e.WaitExec(ctx, runs)); x.Code != 3 {
		t.Errorf("the exec that ran on: %+v", x)
	}
	other := must[status.Pod](t)(e.RunPod(ctx, podSpec("other")))
	if other.UserMapping == p.UserMapping {
		t.Error("a range was given out twice")
	}
	id := must[string](t)(e.Exec(ctx, "app", spec.Exec{Command: []string{"true"}}, pod.Streams{}))
	must[status.Exit](t)(e.WaitExec(ctx, id))
	ok(t, e.StartContainer(ctx, "lost", pod.Streams{}))
	m.Repeat()
	tearDown(t, e)
	clean(t, m)
}

// Whoever waited for a container that removes itself asks the next daemon for its end,
// and comes too late to find the container.
func TestEndOfOneThatRemovedItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := systest.New(t.TempDir())
		e := start(m)
		ok(t, e.Recover(t.Context()))
		ask := container("once", "sleep")
		ask.AutoRemove = true
		c := must[status.Container](t)(e.CreateSolo(t.Context(), spec.Pod{}, ask))
		ok(t, e.StartContainer(t.Context(), "once", pod.Streams{}))
		ok(t, e.Close())

		m.End(c.ID, status.Exit{Code: 7})
		m.Revive()
		e = newEngine(t, m)
		synctest.Wait()
		clean(t, m)
		for _, cond := range []status.WaitCondition{status.WaitExit, status.WaitRemoved} {
			if x := must[status.Exit](t)(e.WaitContainer(t.Context(), c.ID, cond)); x.Code != 7 {
				t.Errorf("%q: %+v", cond, x)
			}
		}
		_, err := e.WaitContainer(t.Context(), "once", status.WaitExit)
		refused(t, err, fault.NotFound, "once") // the name is free again
		time.Sleep(2 * time.Minute)
		_, err = e.WaitContainer(t.Context(), c.ID, status.WaitExit)
		refused(t, err, fault.NotFound)
	})
}

func TestSandboxDies(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ok(t, withRunning(t.Context(), e))
	p := must[status.Pod](t)(e.Pod("web"))
	m.Crash(p.ID)
	x := must[status.Exit](t)(e.WaitContainer(t.Context(), "app", status.WaitExit))
	if c := inState(t, e, "app", lifecycle.ContainerExited); x.Code != 255 || c.Reason != "Lost" {
		t.Errorf("exit %+v, container %+v", x, c)
	}
	if p := must[status.Pod](t)(e.Pod("web")); p.State != lifecycle.PodExited || p.Pid != 0 {
		t.Errorf("pod %+v", p)
	}
	ok(t, e.RemovePod(t.Context(), "web"))
	clean(t, m)
}

func TestRepeatedExitsCountOnce(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	ok(t, withRunning(ctx, e))
	c := must[status.Container](t)(e.Container("app"))
	events := e.Events(ctx, 0)
	m.End(c.ID, status.Exit{Code: 3})
	m.Repeat()
	must[status.Exit](t)(e.WaitContainer(ctx, "app", status.WaitExit))
	ok(t, e.StartContainer(ctx, "app", pod.Streams{}))
	ok(t, e.StopPod(ctx, "web", nil))
	var actions []string
	for len(events) > 0 {
		ev := <-events
		actions = append(actions, ev.Type+" "+ev.Action)
	}
	if want := []string{"container exit", "container start", "container exit", "pod stop"}; !slices.Equal(actions, want) {
		t.Errorf("events %q, want %q", actions, want)
	}
}

func TestLitterIsSwept(t *testing.T) {
	m := systest.New(t.TempDir())
	d := m.Deps()
	id := strings.Repeat("ab", 32)
	for _, dir := range []string{filepath.Join(d.LibDir, "volumes", id), filepath.Join(d.LibDir, "volumes", "mine"), filepath.Join(d.LibDir, "logs", id), filepath.Join(d.RunDir, "pods", id)} {
		ok(t, os.MkdirAll(dir, 0o700))
	}
	newEngine(t, m)
	clean(t, m)
	if _, err := os.Stat(filepath.Join(d.LibDir, "volumes", "mine")); err != nil {
		t.Error("a named volume was swept")
	}
}

func TestJoinedNamespaces(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	first := must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("first", "sleep")))
	joiner := spec.Pod{Namespaces: spec.Namespaces{Net: spec.OfContainer("first"), IPC: spec.OfContainer("first")}}
	second := must[status.Container](t)(e.CreateSolo(ctx, joiner, container("second", "sleep")))
	refused(t, e.StartContainer(ctx, "second", pod.Streams{}), fault.Conflict, "first", "does not run")
	ok(t, e.StartContainer(ctx, "first", pod.Streams{}))
	ok(t, e.StartContainer(ctx, "second", pod.Streams{}))
	a, b := must[status.Pod](t)(e.Pod(first.PodID)), must[status.Pod](t)(e.Pod(second.PodID))
	if a.UserMapping != b.UserMapping || !slices.Equal(a.IPs, b.IPs) {
		t.Errorf("mappings %v and %v, addresses %v and %v", a.UserMapping, b.UserMapping, a.IPs, b.IPs)
	}
	ok(t, e.RemoveContainer(ctx, "first", pod.RemoveOptions{Force: true}))
	third := must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("third", "sleep")))
	if c := must[status.Pod](t)(e.Pod(third.PodID)); c.UserMapping == b.UserMapping {
		t.Error("a shared range was given out while one still uses it")
	}
	_, err := e.CreateSolo(ctx, spec.Pod{Namespaces: spec.Namespaces{Net: spec.OfContainer("nobody")}}, container("x"))
	refused(t, err, fault.NotFound, "nobody")
	tearDown(t, e)
	clean(t, m)
}

func TestCreateErrors(t *testing.T) {
	m := systest.New(t.TempDir())
	m.AddImage("evil", v1.ImageConfig{Volumes: map[string]struct{}{"/../../etc": {}}, Cmd: []string{"x"}})
	e := newEngine(t, m)
	with := func(mount spec.Mount) spec.Container {
		c := container("app", "sleep")
		c.Mounts = []spec.Mount{mount}
		return c
	}
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		c    spec.Container
		kind fault.Kind
		word string
	}{
		{"image", spec.Container{Name: "app", Image: "nope"}, fault.NotFound, "image nope"},
		{"source", with(spec.Mount{Type: spec.Bind, Source: "/nope", Target: "/data"}), fault.NotFound, "mount /data: source /nope: no such file or directory (create it, or use a named volume)"},
		{"relative", with(spec.Mount{Type: spec.Bind, Source: "nope", Target: "/data"}), fault.Invalid, "not an absolute path"},
		{"create", with(spec.Mount{Type: spec.Bind, Source: dir + "/x", Target: "/data", Create: "socket"}), fault.Invalid, "create"},
		{"type", with(spec.Mount{Type: "npipe", Target: "/data"}), fault.Invalid, "npipe"},
		{"volume", with(spec.Mount{Type: spec.Volume, Source: "../x", Target: "/data"}), fault.Invalid, "volume name"},
		{"target", with(spec.Mount{Type: spec.Tmpfs, Target: "data"}), fault.Invalid, "data"},
		{"evil image", spec.Container{Name: "app", Image: "evil"}, fault.Invalid, "image volume"},
		{"device", spec.Container{Name: "app", Image: "toolbox", Devices: []spec.Device{{Source: "/nope"}}}, fault.NotFound, "device /nope"},
		{"capability", spec.Container{Name: "app", Image: "toolbox", Security: spec.Security{CapAdd: []string{"NOPE"}}}, fault.Invalid, "NOPE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := e.CreateSolo(t.Context(), spec.Pod{}, tt.c)
			refused(t, err, tt.kind, tt.word)
			clean(t, m)
		})
	}
	c := with(spec.Mount{Type: spec.Bind, Source: filepath.Join(dir, "a/file"), Target: "/data", Create: "file"})
	c.Mounts = append(c.Mounts, spec.Mount{Type: spec.Volume, Source: "mine", Target: "/v"}, spec.Mount{Type: spec.Bind, Source: filepath.Join(dir, "b"), Target: "/b", Create: "dir"})
	c.Devices = []spec.Device{{Source: "/dev/null", Target: "/dev/nothing"}}
	must[status.Container](t)(e.CreateSolo(t.Context(), spec.Pod{}, c))
	for _, p := range []string{filepath.Join(dir, "a/file"), filepath.Join(dir, "b"), filepath.Join(m.Deps().LibDir, "volumes/mine")} {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
	ok(t, e.RemoveContainer(t.Context(), "app", pod.RemoveOptions{}))
	clean(t, m)
}

func TestUpdate(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	ok(t, withRunning(ctx, e))
	limit, pids := int64(64<<20), int64(5)
	ok(t, e.UpdateContainer(ctx, "app", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}, nil))
	ok(t, e.UpdateContainer(ctx, "app", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &pids}}, &spec.Restart{Policy: spec.RestartAlways}))
	s := must[status.Container](t)(e.Container("app")).Spec
	if *s.Resources.Memory.Limit != limit || *s.Resources.Pids.Limit != pids || s.Restart.Policy != spec.RestartAlways {
		t.Errorf("spec %+v", s)
	}
	tiny := int64(5)
	refused(t, e.UpdateContainer(ctx, "app", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &tiny}}, nil), fault.Invalid, "memory")
	refused(t, e.UpdateContainer(ctx, "app", nil, &spec.Restart{Policy: "x"}), fault.Invalid, "restart policy")
}

func TestInspect(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	ok(t, withContainer(ctx, e))
	in := must[status.ContainerInspection](t)(e.InspectContainer(ctx, "app"))
	if in.OCI == nil || in.OCI.Process.Args[0] != "sleep" || in.Observed.Namespaces != nil {
		t.Errorf("inspection %+v", in)
	}
	ok(t, e.StartContainer(ctx, "app", pod.Streams{}))
	m.Observe(func(int) (status.Observed, error) { return status.Observed{SeccompMode: 0}, nil })
	in = must[status.ContainerInspection](t)(e.InspectContainer(ctx, "app"))
	if len(in.Observed.Differences) == 0 {
		t.Error("no difference for a missing filter")
	}
	must[status.PodInspection](t)(e.InspectPod(ctx, "web"))
	// It has ended, and nobody has said so yet: what is known is shown, not that nothing is.
	m.Observe(func(int) (status.Observed, error) {
		return status.Observed{SeccompMode: 1}, fault.New(fault.NotFound, "process")
	})
	in = must[status.ContainerInspection](t)(e.InspectContainer(ctx, "app"))
	if in.Name != "app" || in.OCI == nil || in.Observed.SeccompMode != 0 {
		t.Errorf("inspection of one that has just ended: %+v", in)
	}
	if lost := must[status.PodInspection](t)(e.InspectPod(ctx, "web")); lost.Name != "web" {
		t.Errorf("inspection of one that has just been lost: %+v", lost)
	}
	ok(t, e.StopPod(ctx, "web", nil))
	must[status.PodInspection](t)(e.InspectPod(ctx, "web"))
}

func TestFilters(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	p := podSpec("web")
	p.Labels = map[string]string{"tier": "front"}
	must[status.Pod](t)(e.RunPod(ctx, p))
	must[status.Container](t)(e.CreateContainer(ctx, "web", container("app")))
	must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("one")))
	yes, no := true, false
	for i, tt := range []struct {
		f                status.Filter
		pods, containers int
	}{
		{status.Filter{}, 2, 2},
		{status.Filter{Solo: &yes}, 1, 1},
		{status.Filter{Solo: &no}, 1, 1},
		{status.Filter{Labels: map[string]string{"tier": "front"}}, 1, 0},
		{status.Filter{Labels: map[string]string{"tier": "back"}}, 0, 0},
		{status.Filter{States: []string{"ready"}}, 1, 0},
		{status.Filter{States: []string{"created"}}, 1, 2},
		{status.Filter{PodRef: "web"}, 1, 1},
		{status.Filter{PodRef: "nobody"}, 0, 0},
		{status.Filter{ID: "x"}, 0, 0},
	} {
		if p, c := len(e.Pods(tt.f)), len(e.Containers(tt.f)); p != tt.pods || c != tt.containers {
			t.Errorf("%d: %d pods, %d containers, want %d, %d", i, p, c, tt.pods, tt.containers)
		}
	}
}

func TestSharedPidNamespace(t *testing.T) {
	m := systest.New(t.TempDir())
	e := start(m)
	ctx := t.Context()
	ok(t, e.Recover(ctx))
	shared := podSpec("web")
	shared.Namespaces.PID = spec.OfPod
	must[status.Pod](t)(e.RunPod(ctx, shared))
	must[status.Container](t)(e.CreateContainer(ctx, "web", container("app", "sleep")))
	ok(t, e.StartContainer(ctx, "app", pod.Streams{}))
	ok(t, e.Close())
	m.Revive()
	e = newEngine(t, m)
	must[status.Container](t)(e.CreateContainer(ctx, "web", container("two", "sleep")))
	ok(t, e.StartContainer(ctx, "two", pod.Streams{}))
	joiner := podSpec("joiner")
	joiner.Namespaces.PID = spec.OfContainer("web/app")
	must[status.Pod](t)(e.RunPod(ctx, joiner))
	must[status.Container](t)(e.CreateContainer(ctx, "joiner", container("debug", "sleep")))
	ok(t, e.StartContainer(ctx, "debug", pod.Streams{}))
	host := podSpec("host")
	host.Namespaces.PID = spec.Host
	must[status.Pod](t)(e.RunPod(ctx, host))
	must[status.Container](t)(e.CreateContainer(ctx, "host", container("all", "sleep")))
	ok(t, e.StartContainer(ctx, "all", pod.Streams{}))
	tearDown(t, e)
	clean(t, m)
}
