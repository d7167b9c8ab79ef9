package pod_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"carob/internal/lifecycle"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/systest"
)

// scene is an operation, what must be there before it, and how it is told that it
// has been done.
type scene struct {
	name string
	// before makes what the operation needs.
	before func(ctx context.Context, e *pod.Engine) error
	// do is the operation; it is repeated after a fault.
	do func(ctx context.Context, e *pod.Engine) error
	// undone says that a failed do has to leave the machine as before left it.
	undone bool
}

func nothing(context.Context, *pod.Engine) error { return nil }

func withPod(ctx context.Context, e *pod.Engine) error {
	_, err := e.RunPod(ctx, podSpec("web"))
	return err
}

func withContainer(ctx context.Context, e *pod.Engine) error {
	if err := withPod(ctx, e); err != nil {
		return err
	}
	c := container("app", "sleep")
	c.Mounts = []spec.Mount{{Type: spec.Volume, Target: "/data"}}
	_, err := e.CreateContainer(ctx, "web", c)
	return err
}

func withRunning(ctx context.Context, e *pod.Engine) error {
	return errors.Join(withContainer(ctx, e), e.StartContainer(ctx, "app", pod.Streams{}))
}

func withSolo(ctx context.Context, e *pod.Engine) error {
	c := container("app", "sleep")
	c.Mounts = []spec.Mount{{Type: spec.Volume, Target: "/data"}}
	_, err := e.CreateSolo(ctx, spec.Pod{}, c)
	return err
}

func soloInSlice(ctx context.Context, e *pod.Engine) error {
	_, err := e.CreateSolo(ctx, spec.Pod{CgroupParent: "a.slice"}, container("app", "sleep"))
	return err
}

func runningSolo(ctx context.Context, e *pod.Engine) error {
	return errors.Join(withSolo(ctx, e), e.StartContainer(ctx, "app", pod.Streams{}))
}

func stoppedPod(ctx context.Context, e *pod.Engine) error {
	return errors.Join(withRunning(ctx, e), e.StopPod(ctx, "web", zero()))
}

func scenes() []scene {
	return []scene{
		{"run pod", nothing, withPod, true},
		{"create container", withPod, func(ctx context.Context, e *pod.Engine) error {
			c := container("app", "sleep")
			c.Mounts = []spec.Mount{{Type: spec.Volume, Target: "/data"}, {Type: spec.Image, Source: c.Image, Target: "/image"}}
			_, err := e.CreateContainer(ctx, "web", c)
			return err
		}, true},
		{"create solo", nothing, withSolo, true},
		{"run pod in a slice", nothing, func(ctx context.Context, e *pod.Engine) error {
			_, err := e.RunPod(ctx, spec.Pod{Name: "web", CgroupParent: "a.slice"})
			return err
		}, true},
		{"start solo in a slice", soloInSlice, func(ctx context.Context, e *pod.Engine) error { return e.StartContainer(ctx, "app", pod.Streams{}) }, true},
		{"start", withContainer, func(ctx context.Context, e *pod.Engine) error { return e.StartContainer(ctx, "app", pod.Streams{}) }, true},
		{"start solo", withSolo, func(ctx context.Context, e *pod.Engine) error { return e.StartContainer(ctx, "app", pod.Streams{}) }, true},
		{"exec", withRunning, func(ctx context.Context, e *pod.Engine) error {
			id, err := e.Exec(ctx, "app", spec.Exec{Command: []string{"true"}, User: "1:1"}, pod.Streams{})
			if err == nil {
				_, err = e.WaitExec(ctx, id)
			}
			return err
		}, true},
		{"stop", withRunning, func(ctx context.Context, e *pod.Engine) error { return e.StopContainer(ctx, "app", nil) }, false},
		{"kill", withRunning, func(ctx context.Context, e *pod.Engine) error { return e.StopContainer(ctx, "app", zero()) }, false},
		{"pause", withRunning, func(ctx context.Context, e *pod.Engine) error { return e.PauseContainer(ctx, "app") }, false},
		{"update", withRunning, func(ctx context.Context, e *pod.Engine) error {
			return e.UpdateContainer(ctx, "app", nil, &spec.Restart{Policy: spec.RestartAlways})
		}, false},
		{"remove by force", withRunning, func(ctx context.Context, e *pod.Engine) error {
			return removed(e, e.RemoveContainer(ctx, "app", pod.RemoveOptions{Force: true}))
		}, false},
		{"remove solo by force", runningSolo, func(ctx context.Context, e *pod.Engine) error {
			return removed(e, e.RemoveContainer(ctx, "app", pod.RemoveOptions{Force: true}))
		}, false},
		{"stop pod", withRunning, func(ctx context.Context, e *pod.Engine) error { return e.StopPod(ctx, "web", zero()) }, false},
		{"remove pod", stoppedPod, func(ctx context.Context, e *pod.Engine) error { return removed(e, e.RemovePod(ctx, "web")) }, false},
	}
}

// removed takes "no such …" after a removal for its success.
func removed(e *pod.Engine, err error) error {
	if err != nil && len(e.Containers(status.Filter{})) == 0 && strings.Contains(err.Error(), "no such") {
		return nil
	}
	return err
}

// tearDown removes everything in the ways of a person.
func tearDown(t *testing.T, e *pod.Engine) {
	t.Helper()
	ctx := t.Context()
	for _, c := range e.Containers(status.Filter{}) {
		if err := e.RemoveContainer(ctx, c.ID, pod.RemoveOptions{Force: true}); err != nil {
			t.Errorf("remove %s: %v", c.Name, err)
		}
	}
	for _, p := range e.Pods(status.Filter{}) {
		if err := errors.Join(e.StopPod(ctx, p.ID, zero()), e.RemovePod(ctx, p.ID)); err != nil {
			t.Errorf("remove pod %s: %v", p.Name, err)
		}
	}
}

func TestFailAtEveryStep(t *testing.T) {
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			for n := 1; failAt(t, s, n); n++ {
			}
		})
	}
}

// failAt lets the nth call of a scene's operation fail; false says that there is no
// nth.
func failAt(t *testing.T, s scene, n int) bool {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	ok(t, s.before(ctx, e))
	before, asked := m.Live(), len(systest.Asked(m))
	m.FailAt(n)
	err := s.do(ctx, e)
	step := fmt.Sprintf("step %d (%s)", n, m.Last())
	hit := m.Failed()
	m.FailAt(0)
	if !hit {
		ok(t, err)
		if n == 1 {
			t.Error("no call at all")
		}
		tearDown(t, e)
		clean(t, m)
		return false
	}
	if err != nil && s.undone && !systest.Eventually(func() bool { return same(m.Live(), before) }) {
		t.Errorf("%s: before:\n%s\nafter:\n%s", step, strings.Join(before, "\n"), strings.Join(m.Live(), "\n"))
	}
	if got := len(systest.Asked(m)); err != nil && s.undone && got != asked {
		t.Errorf("%s: plugins are left with %d more than there are", step, got-asked)
	}
	if err != nil && !errors.Is(err, systest.ErrInjected) {
		t.Errorf("%s: %v", step, err)
	}
	if err != nil {
		if err := s.do(ctx, e); err != nil {
			t.Errorf("%s: retry: %v", step, err)
		}
	}
	tearDown(t, e)
	if !systest.Eventually(func() bool { return len(m.Live()) == 0 }) {
		t.Errorf("%s: left behind:\n%s", step, strings.Join(m.Live(), "\n"))
	}
	return true
}

func same(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }

func TestKillAtEveryStep(t *testing.T) {
	for _, s := range scenes() {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/after=%v", s.name, after), func(t *testing.T) {
				for n := 1; killAt(t, s, n, after); n++ {
				}
			})
		}
	}
}

// killAt kills the daemon at the nth call of a scene's operation, lets the next one
// in, and repeats the operation.
func killAt(t *testing.T, s scene, n int, after bool) bool {
	m := systest.New(t.TempDir())
	e := start(m)
	ok(t, e.Recover(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	ok(t, s.before(ctx, e))
	m.KillAt(n, after)
	err := s.do(ctx, e)
	step := fmt.Sprintf("step %d (%s)", n, m.Last())
	hit := m.Failed()
	_ = e.Close()
	m.Revive()
	e = newEngine(t, m) // recovers
	if !hit {
		ok(t, err)
	} else if err := s.do(ctx, e); err != nil && !done(s, err) {
		t.Errorf("%s: after the daemon's return: %v", step, err)
	}
	for _, c := range e.Containers(status.Filter{}) {
		if running := c.State == lifecycle.ContainerRunning; running != m.Running(c.ID) {
			t.Errorf("%s: container %s is %s, its process runs: %v", step, c.Name, c.State, m.Running(c.ID))
		}
		if c.Reason == "Lost" {
			t.Errorf("%s: container %s: exit code lost", step, c.Name)
		}
	}
	tearDown(t, e)
	if !systest.Eventually(func() bool { return len(m.Live()) == 0 }) {
		t.Errorf("%s: left behind:\n%s", step, strings.Join(m.Live(), "\n"))
	}
	return hit
}

// done accepts the refusals of an operation that had taken place before the daemon
// died.
func done(s scene, err error) bool {
	for op, words := range map[string]string{
		"create": "belongs to", "start": "cannot start while running", "pause": "already paused", "remove": "no such",
	} {
		if strings.HasPrefix(s.name, op) && strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}
