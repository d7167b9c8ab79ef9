package pod_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/plan/cgroup"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/systest"
)

// newEngine starts a daemon on m and ends it with the test.
func newEngine(t testing.TB, m *systest.Machine) *pod.Engine {
	t.Helper()
	e := start(m)
	t.Cleanup(func() { _ = e.Close() })
	if err := e.Recover(t.Context()); err != nil {
		t.Fatal("recover:", err)
	}
	return e
}

func start(m *systest.Machine) *pod.Engine {
	d := m.Deps()
	d.Log = slog.New(slog.DiscardHandler)
	d.Cgroups.Driver = cgroup.Systemd // a pod may ask for a slice
	return pod.New(d)
}

func podSpec(name string) spec.Pod { return spec.Pod{Name: name, Owner: "cli"} }

func container(name string, command ...string) spec.Container {
	return spec.Container{Name: name, Image: "toolbox", Command: command}
}

func zero() *time.Duration { return new(time.Duration) }

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	if !systest.Eventually(f) {
		t.Fatal("never:", what)
	}
}

// clean fails the test unless the machine has nothing left, at once or soon.
func clean(t testing.TB, m *systest.Machine) {
	t.Helper()
	if !systest.Eventually(func() bool { return len(m.Live()) == 0 }) {
		t.Errorf("left behind:\n%s", strings.Join(m.Live(), "\n"))
	}
}

func refused(t testing.TB, err error, kind fault.Kind, words ...string) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("error %v (%v), want %v", err, fault.KindOf(err), kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has more than a line", err)
	}
}

func inState(t testing.TB, e *pod.Engine, ref string, want lifecycle.ContainerState) status.Container {
	t.Helper()
	c := must[status.Container](t)(e.Container(ref))
	if c.State != want {
		t.Errorf("container %s is %q, want %q", ref, c.State, want)
	}
	return c
}

func TestLifeOfAPod(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	p := must[status.Pod](t)(e.RunPod(ctx, podSpec("web")))
	if p.State != lifecycle.PodReady || p.Pid == 0 || len(p.IPs) != 1 || p.UserMapping.Size == 0 || p.Cgroup != "/carob/"+p.ID {
		t.Errorf("pod %+v", p)
	}
	c := must[status.Container](t)(e.CreateContainer(ctx, "web", container("app", "sleep", "9")))
	if c.State != lifecycle.ContainerCreated || c.Cgroup != p.Cgroup+"/"+c.ID || !slices.Equal(c.Command, []string{"sleep", "9"}) {
		t.Errorf("container %+v", c)
	}
	refused(t, e.KillContainer(ctx, "app", 9), fault.Conflict, "created")
	ok(t, e.StartContainer(ctx, "web/app", pod.Streams{}))
	c = inState(t, e, "app", lifecycle.ContainerRunning)
	if c.Pid == 0 || c.StartedAt.IsZero() {
		t.Errorf("container %+v", c)
	}
	var illegal *lifecycle.TransitionError
	if err := e.StartContainer(ctx, c.ID[:9], pod.Streams{}); !errors.As(err, &illegal) {
		t.Errorf("second start: %v", err)
	}
	refused(t, e.RemovePod(ctx, "web"), fault.Conflict, "web", "stop it first")
	refused(t, e.RemoveContainer(ctx, "app", pod.RemoveOptions{}), fault.Conflict, "runs")
	ok(t, e.StopContainer(ctx, "app", nil))
	c = inState(t, e, "app", lifecycle.ContainerExited)
	if c.ExitCode != 143 || c.Reason != "Error" || c.FinishedAt.IsZero() {
		t.Errorf("container %+v", c)
	}
	ok(t, e.StartContainer(ctx, "app", pod.Streams{}))
	ok(t, e.StopPod(ctx, "web", nil))
	ok(t, e.StopPod(ctx, "web", nil))
	if _, err := e.CreateContainer(ctx, "web", container("late")); !fault.Is(err, fault.Conflict) {
		t.Error("create in a stopped pod:", err)
	}
	refused(t, e.StartContainer(ctx, "app", pod.Streams{}), fault.Conflict, "pod is exited")
	ok(t, e.RemovePod(ctx, "web"))
	ok(t, e.RemovePod(ctx, p.ID))
	ok(t, e.StopPod(ctx, p.ID, nil))
	ok(t, e.StopContainer(ctx, c.ID, nil))
	ok(t, e.RemoveContainer(ctx, c.ID, pod.RemoveOptions{}))
	refused(t, e.RemovePod(ctx, "web"), fault.NotFound, "web")
	clean(t, m)
}

func TestSoloRestsAndWakes(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	c := must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("", "true")))
	if m.HasSandbox(c.PodID) {
		t.Error("a created container holds a sandbox")
	}
	for range 3 {
		ok(t, e.StartContainer(ctx, c.Name, pod.Streams{}))
		x := must[status.Exit](t)(e.WaitContainer(ctx, c.Name, status.WaitExit))
		if x.Code != 0 {
			t.Error("exit", x)
		}
		eventually(t, "sandbox gone", func() bool {
			p, err := e.Pod(c.PodID)
			return err == nil && p.State == lifecycle.PodExited
		})
	}
	if got := inState(t, e, c.ID, lifecycle.ContainerExited); got.Reason != "Completed" {
		t.Errorf("reason %q", got.Reason)
	}
	ok(t, e.RemoveContainer(ctx, c.Name, pod.RemoveOptions{}))
	clean(t, m)
}

// TestPodInASlice: the pod's group is made when its scope is there, and not before.
func TestPodInASlice(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	reached, release := m.Stick("RunSandbox")
	done := make(chan error, 1)
	go func() {
		_, err := e.RunPod(ctx, spec.Pod{Name: "web", CgroupParent: "a-b.slice"})
		done <- err
	}()
	<-reached
	release()
	ok(t, <-done)
	p := must[status.Pod](t)(e.Pod("web"))
	want := "/a.slice/a-b.slice/carob-" + p.ID + ".scope/" + p.ID
	if p.Cgroup != want || !slices.Contains(m.Live(), "cgroup "+want) {
		t.Errorf("the pod's cgroup is %s, want %s among\n%s", p.Cgroup, want, strings.Join(m.Live(), "\n"))
	}
	c := must[status.Container](t)(e.CreateContainer(ctx, "web", container("app", "sleep")))
	if c.Cgroup != want+"/"+c.ID {
		t.Errorf("the container's cgroup is %s", c.Cgroup)
	}
	own := container("b", "sleep")
	own.CgroupParent = "c.slice"
	_, err := e.CreateContainer(ctx, "web", own)
	refused(t, err, fault.Unsupported, "c.slice", "one scope")
	ok(t, e.StopPod(ctx, "web", zero()))
	ok(t, e.RemovePod(ctx, "web"))
	clean(t, m)
}

// TestSoloInASlice: the groups of a solo pod in a scope go with each run, and come with
// the next. In between its limits can be changed.
func TestSoloInASlice(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	ok(t, soloInSlice(ctx, e))
	for range 3 {
		pids := int64(5)
		ok(t, e.UpdateContainer(ctx, "app", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &pids}}, nil))
		ok(t, e.StartContainer(ctx, "app", pod.Streams{}))
		ok(t, e.StopContainer(ctx, "app", zero()))
		eventually(t, "no cgroup", func() bool { return !strings.Contains(strings.Join(m.Live(), "\n"), "cgroup") })
	}
	ok(t, e.RemoveContainer(ctx, "app", pod.RemoveOptions{}))
	clean(t, m)
}

func TestAutoRemove(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	for _, command := range []string{"true", "false", "nosuch"} {
		c := container("once", command)
		c.AutoRemove = true
		made := must[status.Container](t)(e.CreateSolo(t.Context(), spec.Pod{}, c))
		err := e.StartContainer(t.Context(), "once", pod.Streams{})
		if command == "nosuch" {
			var failed *status.StartError
			if !errors.As(err, &failed) || failed.Code != 127 || !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", command, err)
			}
		} else {
			ok(t, err)
			if _, err := e.WaitContainer(t.Context(), made.ID, status.WaitRemoved); err != nil && !fault.Is(err, fault.NotFound) {
				t.Error(err)
			}
		}
		clean(t, m)
	}
}

func TestStartErrors(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	for _, tt := range []struct {
		name string
		c    spec.Container
		code int
		kind fault.Kind
		word string
	}{
		{"no command", container("a", "nosuch"), 127, fault.NotFound, "command not found"},
		{"not executable", container("a", "noexec"), 126, fault.Denied, "not executable"},
		{"no user", spec.Container{Name: "a", Image: "toolbox", User: "nobody-here"}, 125, fault.NotFound, "nobody-here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := must[status.Container](t)(e.CreateSolo(t.Context(), spec.Pod{}, tt.c))
			err := e.StartContainer(t.Context(), c.ID, pod.Streams{})
			refused(t, err, tt.kind, "container a", tt.word)
			var failed *status.StartError
			if !errors.As(err, &failed) || failed.Code != tt.code {
				t.Errorf("%T %v, want code %d", err, err, tt.code)
			}
			if got := inState(t, e, c.ID, lifecycle.ContainerCreated); got.Reason != "StartError" || got.ExitCode != tt.code || got.Message == "" {
				t.Errorf("container %+v", got)
			}
			if m.HasSandbox(c.PodID) {
				t.Error("its sandbox stays")
			}
			ok(t, e.RemoveContainer(t.Context(), c.ID, pod.RemoveOptions{}))
			clean(t, m)
		})
	}
}

func TestReferences(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	a := must[status.Pod](t)(e.RunPod(ctx, podSpec("a")))
	must[status.Pod](t)(e.RunPod(ctx, spec.Pod{Name: "a", Namespace: "other"}))
	must[status.Pod](t)(e.RunPod(ctx, podSpec("b")))
	inA := must[status.Container](t)(e.CreateContainer(ctx, "default/a", container("app")))
	must[status.Container](t)(e.CreateContainer(ctx, "b", container("app")))
	solo := must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("solo")))
	_, err := e.Pod("a")
	refused(t, err, fault.Invalid, "means several", "other/a")
	_, err = e.Container("app")
	refused(t, err, fault.Invalid, "means several", "b/app")
	_, err = e.Container("ffffffffffff0")
	refused(t, err, fault.NotFound, "no such container")
	for ref, want := range map[string]string{"default/a/app": inA.ID, inA.ID[:20]: inA.ID, "solo": solo.ID, "solo/solo": solo.ID} {
		if got := must[status.Container](t)(e.Container(ref)); got.ID != want {
			t.Errorf("%s is %s, want %s", ref, got.ID, want)
		}
	}
	if got := must[status.Pod](t)(e.Pod(a.ID[:16])); got.ID != a.ID {
		t.Error("prefix of a pod's ID")
	}
	var digits []string
	for range 20 { // some two of them share a first digit
		c := must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("")))
		digits = append(digits, c.ID[:1])
	}
	slices.Sort(digits)
	for i := 1; i < len(digits); i++ {
		if digits[i] == digits[i-1] {
			_, err := e.Container(digits[i])
			refused(t, err, fault.Invalid, "means several")
			return
		}
	}
	t.Error("no two IDs of 20 begin alike")
}

func TestNameIsTaken(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	first := must[status.Pod](t)(e.RunPod(ctx, podSpec("web")))
	again := must[status.Pod](t)(e.RunPod(ctx, podSpec("web")))
	if first.ID != again.ID {
		t.Error("the same request made a second pod")
	}
	other := podSpec("web")
	other.Hostname = "elsewhere"
	_, err := e.RunPod(ctx, other)
	refused(t, err, fault.Exists, "web", "remove that or choose another name")
	must[status.Container](t)(e.CreateContainer(ctx, "web", container("app")))
	_, err = e.CreateContainer(ctx, "web", container("app"))
	refused(t, err, fault.Exists, "web/app")
	must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("one")))
	_, err = e.CreateSolo(ctx, spec.Pod{}, container("one"))
	refused(t, err, fault.Exists, "one")
	retry := container("app")
	retry.Attempt = 1
	must[status.Container](t)(e.CreateContainer(ctx, "web", retry))
}
