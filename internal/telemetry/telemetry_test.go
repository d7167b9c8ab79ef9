package telemetry_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/systest"
	"carob/internal/telemetry"
)

// book is a watch that notes what it sees; open are steps without an end.
type book struct {
	mu    sync.Mutex
	steps []telemetry.Step
	errs  []error
	open  int
}

func (b *book) watch(ctx context.Context, s telemetry.Step) (context.Context, func(error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open++
	return ctx, func(err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.open--
		b.steps = append(b.steps, s)
		if err != nil {
			b.errs = append(b.errs, err)
		}
	}
}

func (b *book) find(name string) []telemetry.Step {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.steps), func(s telemetry.Step) bool { return s.Name != name })
}

func engine(t *testing.T, m *systest.Machine, w telemetry.Watch) *pod.Engine {
	t.Helper()
	d := m.Deps()
	d.Log = slog.New(slog.DiscardHandler)
	e := pod.New(telemetry.Steps(d, w))
	t.Cleanup(func() { _ = e.Close() })
	if err := e.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestSteps: a pod's life is seen, each step with what it is about.
func TestSteps(t *testing.T) {
	var b book
	e := engine(t, systest.New(t.TempDir()), b.watch)
	p, err := e.RunPod(t.Context(), spec.Pod{Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.CreateContainer(t.Context(), p.ID, spec.Container{Name: "c", Image: "toolbox"})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.StartContainer(t.Context(), c.ID, pod.Streams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Exec(t.Context(), c.ID, spec.Exec{Command: []string{"sleep"}}, pod.Streams{}); err != nil {
		t.Fatal(err)
	}
	if err := e.StopPod(t.Context(), p.ID, new(time.Duration)); err != nil {
		t.Fatal(err)
	}
	if err := e.RemovePod(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []telemetry.Step{
		{Name: telemetry.SandboxRun, Handler: "native", Pod: p.ID},
		{Name: telemetry.NetworkAttach, Pod: p.ID},
		{Name: telemetry.RootCreate, Container: c.ID},
		{Name: telemetry.RootMount},
		{Name: telemetry.ProcessPrepare, Handler: "native", Pod: p.ID, Container: c.ID},
		{Name: telemetry.ProcessStart, Handler: "native", Pod: p.ID, Container: c.ID},
		{Name: telemetry.ProcessExec, Handler: "native", Pod: p.ID, Container: c.ID},
		{Name: telemetry.SandboxStop, Handler: "native", Pod: p.ID},
		{Name: telemetry.NetworkDetach, Pod: p.ID},
		{Name: telemetry.RootRemove, Container: c.ID},
	} {
		if got := b.find(want.Name); !slices.Contains(got, want) {
			t.Errorf("%s: %+v, want %+v", want.Name, got, want)
		}
	}
	if len(b.find(telemetry.CgroupCreate)) == 0 || len(b.find(telemetry.CgroupRemove)) == 0 {
		t.Errorf("no cgroups among %+v", b.steps)
	}
	if b.open != 0 || len(b.errs) != 0 {
		t.Errorf("%d steps did not end; errors %v", b.open, b.errs)
	}
}

// TestErrorsPass: whichever call fails, the engine gets its error, and the watch sees it.
func TestErrorsPass(t *testing.T) {
	seen := 0
	for n := 1; ; n++ {
		var b book
		m := systest.New(t.TempDir())
		e := engine(t, m, b.watch)
		m.FailAt(n)
		p, err := e.RunPod(t.Context(), spec.Pod{Name: "p"})
		if !m.Failed() {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		_ = e.StopPod(t.Context(), p.ID, new(time.Duration)) // if the failed call has left one
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if b.open != 0 {
			t.Errorf("call %d: %d steps did not end", n, b.open)
		}
		for _, err := range b.errs {
			if !errors.Is(err, systest.ErrInjected) {
				t.Errorf("call %d: %v", n, err)
			}
			seen++
		}
	}
	if seen < 3 {
		t.Errorf("%d failed steps seen, want those of sandbox, cgroup and network", seen)
	}
}

// TestFailedRunIsForgotten: nothing is kept of pods that never ran.
func TestFailedRunIsForgotten(t *testing.T) {
	var b book
	m := systest.New(t.TempDir())
	d := telemetry.Steps(m.Deps(), b.watch)
	m.FailAt(1)
	if _, err := d.Sandboxes.RunSandbox(t.Context(), pod.Sandbox{PodID: "p", Handler: "h"}); !errors.Is(err, systest.ErrInjected) {
		t.Fatal(err)
	}
	if err := d.Sandboxes.StopSandbox(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	if got := b.find(telemetry.SandboxStop); len(got) != 1 || got[0].Handler != "" {
		t.Errorf("its handler is still known: %+v", got)
	}
}

type key struct{}

// TestTogether: each watch has the context of the one before, and all see the end.
func TestTogether(t *testing.T) {
	if telemetry.Together() != nil || telemetry.Together(nil, nil) != nil {
		t.Error("nobody watches, and something is there")
	}
	if d := (pod.Deps{Sandboxes: systest.New(t.TempDir()).Deps().Sandboxes}); telemetry.Steps(d, nil).Sandboxes != d.Sandboxes {
		t.Error("something stands in the way without a watch")
	}
	var ends []string
	mark := func(name string) telemetry.Watch {
		return func(ctx context.Context, s telemetry.Step) (context.Context, func(error)) {
			before, _ := ctx.Value(key{}).(string)
			return context.WithValue(ctx, key{}, before+name), func(err error) { ends = append(ends, name+err.Error()) }
		}
	}
	ctx, end := telemetry.Together(mark("a"), nil, mark("b"))(t.Context(), telemetry.Step{})
	end(errors.New("!"))
	if ctx.Value(key{}) != "ab" || !slices.Equal(ends, []string{"a!", "b!"}) {
		t.Errorf("%v, %v", ctx.Value(key{}), ends)
	}
}
