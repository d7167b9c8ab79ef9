package pod_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/systest"
)

// TestReadersNeverWait holds a pod at each call that can hang and asks everything
// that only reads, and what must get through.
func TestReadersNeverWait(t *testing.T) {
	for _, tt := range []struct {
		call   string
		before func(context.Context, *pod.Engine) error
		do     func(context.Context, *pod.Engine) error
		step   string
	}{
		{"RunSandbox", nothing, withPod, "sandbox: run"},
		{"Network.Attach", nothing, withPod, "network: attach"},
		{"CreateGroup", withPod, func(ctx context.Context, e *pod.Engine) error {
			_, err := e.CreateContainer(ctx, "web", container("app"))
			return err
		}, "cgroup and root file system"},
		{"MountRoot", withContainer, func(ctx context.Context, e *pod.Engine) error { return e.StartContainer(ctx, "app", pod.Streams{}) }, "root file system: mount"},
		{"Start", withContainer, func(ctx context.Context, e *pod.Engine) error { return e.StartContainer(ctx, "app", pod.Streams{}) }, "process: start"},
		{"RemoveGroup", withContainer, func(ctx context.Context, e *pod.Engine) error {
			return e.RemoveContainer(ctx, "app", pod.RemoveOptions{})
		}, "cgroup: remove"},
		{"StopSandbox", withRunning, func(ctx context.Context, e *pod.Engine) error { return e.StopPod(ctx, "web", zero()) }, "sandbox: stop"},
	} {
		t.Run(tt.call, func(t *testing.T) {
			m := systest.New(t.TempDir())
			e := newEngine(t, m)
			ctx := t.Context()
			ok(t, tt.before(ctx, e))
			reached, release := m.Stick(tt.call)
			done := make(chan error, 1)
			go func() { done <- tt.do(ctx, e) }()
			<-reached
			short, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			ok(t, withSolo(short, e)) // another pod does not notice
			pods, containers := e.Pods(status.Filter{}), e.Containers(status.Filter{})
			if len(pods) != 2 || len(containers) == 0 {
				t.Errorf("%d pods, %d containers", len(pods), len(containers))
			}
			var steps []string
			for _, p := range pods {
				steps = append(steps, p.Step)
			}
			for _, c := range containers {
				steps = append(steps, c.Step)
			}
			if !slices.Contains(steps, tt.step) {
				t.Errorf("steps %q, want %q among them", steps, tt.step)
			}
			must[status.Pod](t)(e.Pod("web"))
			must[[]status.Stats](t)(e.Stats(short))
			if short.Err() != nil {
				t.Error("waited")
			}
			release()
			ok(t, <-done)
			tearDown(t, e)
			clean(t, m)
		})
	}
}

func TestBusyPodSaysWithWhat(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ok(t, withContainer(t.Context(), e))
	reached, release := m.Stick("Start")
	done := make(chan error, 1)
	go func() { done <- e.StartContainer(t.Context(), "app", pod.Streams{}) }()
	<-reached
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	refused(t, e.PauseContainer(ctx, "app"), fault.Unavailable, "busy with app: process: start")
	release()
	ok(t, <-done)
}

func TestSlowStopDoesNotHoldKill(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("app", "stubborn")))
	ok(t, e.StartContainer(ctx, "app", pod.Streams{}))
	hour := time.Hour
	done := make(chan error, 1)
	go func() { done <- e.StopContainer(ctx, "app", &hour) }()
	eventually(t, "step", func() bool { c, _ := e.Container("app"); return c.Step == "stop: asked to end" })
	ok(t, e.KillContainer(ctx, "app", 9))
	ok(t, <-done)
	if c := inState(t, e, "app", lifecycle.ContainerExited); c.ExitCode != 137 {
		t.Errorf("exit code %d", c.ExitCode)
	}
}

func TestStopKillsAfterGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := systest.New(t.TempDir())
		e := newEngine(t, m)
		seconds := 3
		c := container("app", "stubborn")
		c.StopTimeout = &seconds
		must[status.Container](t)(e.CreateSolo(t.Context(), spec.Pod{}, c))
		ok(t, e.StartContainer(t.Context(), "app", pod.Streams{}))
		begin := time.Now()
		ok(t, e.StopContainer(t.Context(), "app", nil))
		if d := time.Since(begin); d < 3*time.Second || d > 4*time.Second {
			t.Errorf("took %v", d)
		}
		if c := inState(t, e, "app", lifecycle.ContainerExited); c.ExitCode != 137 {
			t.Errorf("exit code %d", c.ExitCode)
		}
	})
}

// A program that has just been started has no handlers yet, and the kernel drops what
// PID 1 has no handler for.
func TestStopOfOneThatCannotHearYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := systest.New(t.TempDir())
		e := newEngine(t, m)
		must[status.Container](t)(e.CreateSolo(t.Context(), spec.Pod{}, container("app", "late")))
		ok(t, e.StartContainer(t.Context(), "app", pod.Streams{}))
		begin := time.Now()
		ok(t, e.StopContainer(t.Context(), "app", nil))
		if d := time.Since(begin); d < systest.Lateness || d > 2*systest.Lateness {
			t.Errorf("took %v", d)
		}
		if c := inState(t, e, "app", lifecycle.ContainerExited); c.ExitCode != 143 {
			t.Errorf("exit code %d", c.ExitCode)
		}
	})
}

func TestStopPodInterruptsAStart(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	ok(t, withContainer(ctx, e))
	reached, _ := m.Hold("Start")
	done := make(chan error, 1)
	go func() { done <- e.StartContainer(ctx, "app", pod.Streams{}) }()
	<-reached
	ok(t, e.StopPod(ctx, "web", zero()))
	refused(t, <-done, fault.Conflict, "being stopped")
	ok(t, e.RemovePod(ctx, "web"))
	clean(t, m)
}

func TestRetryJoinsTheRunningAttempt(t *testing.T) {
	for _, call := range []string{"RunSandbox", "Resolve"} {
		t.Run(call, func(t *testing.T) {
			m := systest.New(t.TempDir())
			e := newEngine(t, m)
			do := func(ctx context.Context) (string, error) {
				if call == "RunSandbox" {
					p, err := e.RunPod(ctx, podSpec("web"))
					return p.ID, err
				}
				c, err := e.CreateContainer(ctx, "web", container("app"))
				return c.ID, err
			}
			if call != "RunSandbox" {
				ok(t, withPod(t.Context(), e))
			}
			reached, release := m.Hold(call)
			first, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			_, err := do(first)
			refused(t, err, fault.Unavailable, "joins it")
			<-reached
			if call == "RunSandbox" {
				other := podSpec("web")
				other.Hostname = "other"
				_, err := e.RunPod(t.Context(), other)
				refused(t, err, fault.Exists, "right now", "different")
			}
			ids := make(chan string, 2)
			for range 2 {
				go func() {
					id, err := do(t.Context())
					if err != nil {
						t.Error(err)
					}
					ids <- id
				}()
			}
			time.Sleep(10 * time.Millisecond)
			release()
			if a, b := <-ids, <-ids; a != b || a == "" {
				t.Errorf("ids %q and %q", a, b)
			}
		})
	}
}

func TestResultWaitsForTheRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := systest.New(t.TempDir())
		e := newEngine(t, m)
		_, release := m.Hold("RunSandbox")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := e.RunPod(ctx, podSpec("web"))
		refused(t, err, fault.Unavailable, "web")
		release()
		synctest.Wait()
		p := must[status.Pod](t)(e.RunPod(t.Context(), podSpec("web")))
		if p.State != lifecycle.PodReady {
			t.Errorf("pod is %s", p.State)
		}
		// Nobody comes back for a container: it is taken back.
		_, release = m.Hold("Resolve")
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = e.CreateContainer(ctx, "web", container("app"))
		refused(t, err, fault.Unavailable)
		release()
		synctest.Wait()
		if n := len(e.Containers(status.Filter{})); n != 1 {
			t.Errorf("%d containers", n)
		}
		time.Sleep(3 * time.Minute)
		if n := len(e.Containers(status.Filter{})); n != 0 {
			t.Errorf("%d containers that nobody wants", n)
		}
		ok(t, e.StopPod(t.Context(), "web", nil))
		ok(t, e.RemovePod(t.Context(), "web"))
		clean(t, m)
	})
}

func TestNobodyWaitsCancels(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	reached, release := m.Hold("RunSandbox")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := e.RunPod(ctx, podSpec("web")); done <- err }()
	<-reached
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	clean(t, m)
	release()
	must[status.Pod](t)(e.RunPod(t.Context(), podSpec("web")))
}

func TestSlowStepIsAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := systest.New(t.TempDir())
		e := newEngine(t, m)
		events := e.Events(t.Context(), 0)
		_, release := m.Hold("Network.Attach")
		go func() { _ = withPod(t.Context(), e) }()
		time.Sleep(time.Second)
		release()
		synctest.Wait()
		var got []string
		for len(events) > 0 {
			ev := <-events
			got = append(got, ev.Action+" "+ev.Attributes["step"])
		}
		if want := []string{"create ", "step network: attach", "start "}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		ok(t, e.StopPod(t.Context(), "web", nil))
	})
}

func TestSlowSubscriberIsCutOff(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ok(t, withRunning(t.Context(), e))
	events := e.Events(t.Context(), 0)
	for range 1500 {
		ok(t, e.KillContainer(t.Context(), "app", 1))
	}
	var last, before status.Event
	for ev := range events {
		before, last = last, ev
	}
	if last.Action != "lost" || before.Action != "kill" {
		t.Errorf("last events %q, %q", before.Action, last.Action)
	}
	var seen int
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for ev := range e.Events(ctx, before.Seq+1) {
		if seen++; ev.Seq != before.Seq+uint64(seen) {
			t.Fatalf("event %d follows %d", ev.Seq, before.Seq)
		}
		if ev.Seq >= before.Seq+100 {
			break
		}
	}
}

func TestRestartBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := systest.New(t.TempDir())
		e := newEngine(t, m)
		c := container("app", "false")
		c.Restart = spec.Restart{Policy: spec.RestartAlways}
		made := must[status.Container](t)(e.CreateSolo(t.Context(), spec.Pod{}, c))
		begin := time.Now()
		ok(t, e.StartContainer(t.Context(), "app", pod.Streams{}))
		time.Sleep(6*time.Second + 350*time.Millisecond) // 0.1+0.2+0.4+0.8+1.6+3.2 = 6.3
		if got := must[status.Container](t)(e.Container("app")); got.RestartCount != 6 {
			t.Errorf("%d restarts after %v", got.RestartCount, time.Since(begin))
		}
		if !m.HasSandbox(made.PodID) {
			t.Error("the sandbox went while a restart is due")
		}
		ok(t, e.StopContainer(t.Context(), "app", nil))
		time.Sleep(time.Hour)
		if got := inState(t, e, "app", lifecycle.ContainerExited); got.RestartCount != 6 {
			t.Errorf("restarted after a stop: %d", got.RestartCount)
		}
		ok(t, e.RemoveContainer(t.Context(), "app", pod.RemoveOptions{}))
		clean(t, m)
	})
}

func TestRestartPolicies(t *testing.T) {
	for _, tt := range []struct {
		command string
		restart spec.Restart
		want    int
	}{
		{"false", spec.Restart{}, 0},
		{"false", spec.Restart{Policy: spec.RestartOnFailure, MaxRetries: 3}, 3},
		{"true", spec.Restart{Policy: spec.RestartOnFailure}, 0},
		{"true", spec.Restart{Policy: spec.RestartUnlessStopped}, 9},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := systest.New(t.TempDir())
				e := newEngine(t, m)
				c := container("app", tt.command)
				c.Restart = tt.restart
				made := must[status.Container](t)(e.CreateSolo(t.Context(), spec.Pod{}, c))
				ok(t, e.StartContainer(t.Context(), "app", pod.Streams{}))
				time.Sleep(time.Minute) // 0.1 × (2⁹−1) = 51.1 s
				if got := must[status.Container](t)(e.Container("app")); got.RestartCount != tt.want {
					t.Errorf("%d restarts, want %d", got.RestartCount, tt.want)
				}
				if m.HasSandbox(made.PodID) != (tt.want == 9) {
					t.Error("sandbox there:", m.HasSandbox(made.PodID))
				}
			})
		})
	}
}

func TestRestartAfterAGoodRunBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := systest.New(t.TempDir())
		e := newEngine(t, m)
		ok(t, withPod(t.Context(), e))
		c := container("app", "sleep")
		c.Restart = spec.Restart{Policy: spec.RestartAlways}
		made := must[status.Container](t)(e.CreateContainer(t.Context(), "web", c))
		ok(t, e.StartContainer(t.Context(), "app", pod.Streams{}))
		for range 5 {
			time.Sleep(11 * time.Second)
			m.End(made.ID, status.Exit{Code: 1})
			time.Sleep(150 * time.Millisecond)
			inState(t, e, "app", lifecycle.ContainerRunning)
		}
		m.FailAt(1) // the restart itself fails, and is repeated
		m.End(made.ID, status.Exit{Code: 1})
		time.Sleep(time.Second)
		if !m.Failed() {
			t.Error("no call failed")
		}
		time.Sleep(time.Second)
		inState(t, e, "app", lifecycle.ContainerRunning)
		ok(t, e.StopPod(t.Context(), "web", nil))
		time.Sleep(time.Hour)
		inState(t, e, "app", lifecycle.ContainerExited)
	})
}

func TestWaitConditions(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	c := must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("app", "sleep")))
	must[status.Exit](t)(e.WaitContainer(ctx, "app", status.WaitExit)) // never started: at once
	ok(t, e.StartContainer(ctx, "app", pod.Streams{}))
	got := make(chan status.Exit, 3)
	for _, cond := range []status.WaitCondition{status.WaitExit, status.WaitNextExit, status.WaitRemoved} {
		go func() {
			x, err := e.WaitContainer(ctx, "app", cond)
			if err != nil {
				t.Error(cond, err)
			}
			got <- x
		}()
	}
	time.Sleep(10 * time.Millisecond)
	m.End(c.ID, status.Exit{Code: 137, Signal: 9, OOMKilled: true})
	for range 2 {
		if x := <-got; x.Code != 137 || !x.OOMKilled {
			t.Errorf("exit %+v", x)
		}
	}
	if c := inState(t, e, "app", lifecycle.ContainerExited); c.Reason != "OOMKilled" || !c.OOMKilled {
		t.Errorf("container %+v", c)
	}
	ok(t, e.RemoveContainer(ctx, "app", pod.RemoveOptions{}))
	if x := <-got; x.Code != 137 {
		t.Errorf("exit %+v", x)
	}
	_, err := e.WaitContainer(ctx, "app", "forever")
	refused(t, err, fault.NotFound)
}

func TestManyAtOnce(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	ok(t, withPod(ctx, e))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			name := fmt.Sprintf("c%d", i)
			c := container(name, []string{"true", "sleep"}[i%2])
			var err error
			if i%4 < 2 {
				_, err = e.CreateContainer(ctx, "web", c)
			} else {
				_, err = e.CreateSolo(ctx, spec.Pod{}, c)
			}
			if err == nil {
				err = e.StartContainer(ctx, name, pod.Streams{})
			}
			if err == nil && i%2 == 1 {
				id, err := e.Exec(ctx, name, spec.Exec{Command: []string{"true"}}, pod.Streams{})
				if err != nil {
					t.Error(err)
				}
				must[status.Exit](t)(e.WaitExec(ctx, id))
			}
			err = errors.Join(err, e.StopContainer(ctx, name, nil), e.RemoveContainer(ctx, name, pod.RemoveOptions{Force: true}))
			if err != nil && !strings.Contains(err.Error(), "no such") {
				t.Error(name, err)
			}
		})
		wg.Go(func() {
			e.Containers(status.Filter{})
			e.Pods(status.Filter{})
		})
	}
	wg.Wait()
	tearDown(t, e)
	clean(t, m)
}
