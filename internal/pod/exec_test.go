package pod_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/systest"
)

func TestExecDeadlineKillsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := systest.New(t.TempDir())
		e := newEngine(t, m)
		ok(t, withRunning(t.Context(), e))
		for _, stuck := range []bool{false, true} {
			if stuck {
				_, release := m.Stick("KillExec")
				time.AfterFunc(time.Minute, release)
			}
			id := must[string](t)(e.Exec(t.Context(), "app", spec.Exec{Command: []string{"sleep"}, Timeout: int64(time.Second)}, pod.Streams{}))
			begin := time.Now()
			x, err := e.WaitExec(t.Context(), id)
			var late *status.DeadlineError
			if !errors.As(err, &late) || x.Code != 137 {
				t.Errorf("exit %+v, error %v", x, err)
			}
			if d := time.Since(begin); !stuck && d != time.Second {
				t.Errorf("took %v", d)
			}
			if _, err := e.WaitExec(t.Context(), id); !fault.Is(err, fault.NotFound) {
				t.Error("second wait:", err)
			}
		}
		ok(t, e.StopPod(t.Context(), "web", nil))
	})
}

func TestExecErrors(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	ok(t, withContainer(ctx, e))
	run := func(x spec.Exec) error { _, err := e.Exec(ctx, "app", x, pod.Streams{}); return err }
	refused(t, run(spec.Exec{Command: []string{"true"}}), fault.Conflict, "is created")
	ok(t, e.StartContainer(ctx, "app", pod.Streams{}))
	refused(t, run(spec.Exec{}), fault.Invalid, "no command")
	refused(t, run(spec.Exec{Command: []string{"nosuch"}}), fault.NotFound, "command not found")
	refused(t, run(spec.Exec{Command: []string{"noexec"}}), fault.Denied)
	refused(t, run(spec.Exec{Command: []string{"true"}, User: "nobody-here"}), fault.NotFound, "nobody-here")
	id := must[string](t)(e.Exec(ctx, "app", spec.Exec{Command: []string{"sleep"}, TTY: true}, pod.Streams{}))
	ok(t, e.Resize(ctx, id, 24, 80))
	ok(t, e.SignalExec(ctx, id, 15))
	if x := must[status.Exit](t)(e.WaitExec(ctx, id)); x.Code != 143 {
		t.Errorf("exit %+v", x)
	}
	refused(t, e.SignalExec(ctx, id, 15), fault.NotFound)
	ok(t, e.PauseContainer(ctx, "app"))
	refused(t, e.PauseContainer(ctx, "app"), fault.Conflict, "already paused")
	refused(t, run(spec.Exec{Command: []string{"true"}}), fault.Conflict, "paused")
	ok(t, e.UnpauseContainer(ctx, "app"))
	refused(t, e.UnpauseContainer(ctx, "app"), fault.Conflict, "not paused")
	ok(t, e.Attach(ctx, "app", pod.Streams{}))
	ok(t, e.Resize(ctx, "app", 24, 80))
	ok(t, e.ReopenLog(ctx, "app"))
	must[[]status.Process](t)(e.Top(ctx, "app"))
	must[[]status.Stats](t)(e.Stats(ctx, "app"))
	f := must[interface{ Close() error }](t)(e.RootDir(ctx, "app"))
	ok(t, f.Close())
	ok(t, e.StopContainer(ctx, "app", nil))
	refused(t, e.Attach(ctx, "app", pod.Streams{}), fault.Conflict, "is exited")
	f = must[interface{ Close() error }](t)(e.RootDir(ctx, "app"))
	ok(t, f.Close())
	tearDown(t, e)
	clean(t, m)
}

func TestTenThousandExecsLeaveNothing(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ok(t, withRunning(t.Context(), e))
	before, live := runtime.NumGoroutine(), m.Live()
	x := spec.Exec{Command: []string{"true"}, Timeout: int64(time.Hour)}
	n := 10000
	if testing.Short() {
		n = 500
	}
	for range n {
		id := must[string](t)(e.Exec(t.Context(), "app", x, pod.Streams{}))
		must[status.Exit](t)(e.WaitExec(t.Context(), id))
	}
	eventually(t, "goroutines as before", func() bool { return runtime.NumGoroutine() <= before+2 })
	eventually(t, "nothing left behind", func() bool { return same(m.Live(), live) })
}

func BenchmarkList1000Pods(b *testing.B) {
	m := systest.New(b.TempDir())
	e := newEngine(b, m)
	for i := range 1000 {
		must[status.Pod](b)(e.RunPod(b.Context(), podSpec(fmt.Sprintf("p%d", i))))
	}
	for b.Loop() {
		if len(e.Pods(status.Filter{})) != 1000 {
			b.Fatal("pods are missing")
		}
	}
	if perList := b.Elapsed() / time.Duration(b.N); perList > 10*time.Millisecond {
		b.Errorf("a list took %v, budget 10 ms", perList)
	}
}

func BenchmarkStart(b *testing.B) {
	m := systest.New(b.TempDir())
	e := newEngine(b, m)
	ok(b, withContainer(b.Context(), e))
	for b.Loop() {
		ok(b, e.StartContainer(b.Context(), "app", pod.Streams{}))
		b.StopTimer()
		ok(b, e.StopContainer(b.Context(), "app", zero()))
		b.StartTimer()
	}
}
