package pod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/plan/check"
	"carob/internal/pod/record"
	"carob/internal/pod/steps"
)

const (
	sigKill = 9
	// killPatience is how long a killed process may take to be gone: what is longer is
	// stuck in the kernel.
	killPatience = 10 * time.Second
	// firstHearing is when a process that could not hear its stop signal is looked at
	// again, and doubles from there.
	firstHearing = 20 * time.Millisecond
)

// StopContainer asks the container's process to end with its stop signal, and kills
// it when timeout has passed; nil is the container's own, 0 kills at once. It
// returns when the process has ended, takes no lock and so never holds up another
// call, and is idempotent. A restart that is due does not take place. An ID of
// nobody is success, as the CRI wants it.
func (e *Engine) StopContainer(ctx context.Context, ref string, timeout *time.Duration) error {
	c, err := registry{e}.findContainer(ref)
	if err != nil {
		return goneIsDone(ref, err)
	}
	return ender{e}.stop(ctx, c, timeout)
}

// goneIsDone makes NotFound for a full ID a success: it was there once.
func goneIsDone(ref string, err error) error {
	if check.ID(ref) && fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func (e ender) stop(ctx context.Context, c *container, timeout *time.Duration) error {
	if err := c.want(true); err != nil {
		return err
	}
	rec := c.record()
	wait := record.Grace(timeout, rec.Status.Spec.StopTimeout)
	if c.view.Load().starting {
		if err := e.awaitStart(ctx, c, wait); err != nil {
			return err
		}
	}
	if c.view.Load().status.State != lifecycle.ContainerRunning {
		return nil
	}
	defer c.step.Done()
	if wait > 0 {
		c.step.Set("stop: asked to end")
		if ended, err := e.askToEnd(ctx, c, rec, wait); ended || err != nil {
			return err
		}
	}
	return e.kill(ctx, c)
}

// want records that somebody asked for the end, so that no restart follows, also
// not by the next daemon.
func (c *container) want(stopped bool) error {
	c.cancelRestart()
	err := c.change(func(r *record.Container) error {
		if r.Stopped == stopped || r.Status.State == lifecycle.ContainerCreated {
			return errUnchanged
		}
		r.Stopped = stopped
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// awaitStart waits for a start under way, and interrupts it when that takes longer
// than a stop may.
func (e ender) awaitStart(ctx context.Context, c *container, wait time.Duration) error {
	short, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_, err := c.view.Wait(short, func(v *containerView) bool { return !v.starting })
	if err != nil && ctx.Err() == nil {
		end, err := c.pod.lock.Seize(ctx, &c.step)
		if err != nil {
			return err
		}
		end()
	}
	if ctx.Err() != nil {
		return fault.Wrap(fault.Unavailable, "container "+c.title()+": stop: is being started", context.Cause(ctx))
	}
	return c.want(true)
}

// askToEnd sends the stop signal to a process that can receive it, and waits for its
// end: a paused one is continued first. To PID 1 of a pid namespace a signal that it has
// no handler for is lost (pid_namespaces(7)), also when the handler comes a moment
// later, as it does in a program that has just been started. So a signal that cannot
// have arrived is sent again once it can; never twice to a process that had it.
func (e ender) askToEnd(ctx context.Context, c *container, rec record.Container, wait time.Duration) (ended bool, err error) {
	if rec.Status.Paused {
		if err := e.thaw(ctx, c); err != nil {
			return false, err
		}
	}
	over := time.Now().Add(wait)
	for pause := firstHearing; ; pause *= 2 {
		heard, err := e.tell(ctx, c, rec, pause == firstHearing)
		if err != nil {
			return false, fmt.Errorf("container %s: stop: %w", c.title(), err)
		}
		if heard {
			return c.awaitEnd(ctx, time.Until(over))
		}
		ended, err := c.awaitEnd(ctx, min(pause, time.Until(over)))
		if ended || err != nil || !time.Now().Before(over) {
			return ended, err
		}
	}
}

// tell sends the stop signal if it will be heard, or if it is the first.
func (e ender) tell(ctx context.Context, c *container, rec record.Container, first bool) (heard bool, err error) {
	sig := rec.EndSignal()
	heard, err = e.d.Observer.Handles(rec.Status.Pid, sig)
	if err == nil && (heard || first) {
		err = e.d.Processes.Signal(ctx, c.pod.id, c.id, sig)
	}
	if fault.Is(err, fault.NotFound) { // it has ended, and its end is on the way
		return true, nil
	}
	return heard, err
}

func (c *container) awaitEnd(ctx context.Context, wait time.Duration) (ended bool, err error) {
	short, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	exits := c.view.Load().exits
	_, err = c.view.Wait(short, func(v *containerView) bool {
		return v.exits > exits || v.gone || v.status.State != lifecycle.ContainerRunning
	})
	if err == nil {
		return true, nil
	}
	if ctx.Err() != nil {
		return false, fault.Wrap(fault.Unavailable, "container "+c.title()+": stop: waiting for its end", context.Cause(ctx))
	}
	return false, nil
}

// kill kills the container's process, and all others in its cgroup, and waits for
// the end.
func (e ender) kill(ctx context.Context, c *container) error {
	c.step.Set("stop: killed")
	err := e.d.Processes.Signal(ctx, c.pod.id, c.id, sigKill)
	if err != nil && !fault.Is(err, fault.NotFound) {
		// The supervisor does not answer; the cgroup does not need it.
		if err2 := e.d.Groups.KillGroup(ctx, c.record().Status.Cgroup); err2 != nil {
			return fmt.Errorf("container %s: kill: %w", c.title(), errors.Join(err, err2))
		}
	}
	if c.view.Load().status.Paused {
		if err := e.thaw(ctx, c); err != nil { // cgroup v1 delivers no SIGKILL to the frozen
			return err
		}
	}
	ended, err := c.awaitEnd(ctx, killPatience)
	if !ended && err == nil {
		err = c.fault(fault.Unavailable, fmt.Sprintf("kill: still there after %s, probably stuck in the kernel; try again", killPatience))
	}
	return err
}

// KillContainer sends a signal to the container's first process. It takes no lock.
// SIGKILL and the container's stop signal count as a wish for its end: no restart.
func (e *Engine) KillContainer(ctx context.Context, ref string, signal int) error {
	c, err := registry{e}.findContainer(ref)
	if err != nil {
		return err
	}
	if signal < 1 || signal > 64 {
		return c.fault(fault.Invalid, fmt.Sprintf("signal %d: not between 1 and 64", signal))
	}
	rec := c.record()
	if st := c.view.Load().status.State; st != lifecycle.ContainerRunning {
		return c.fault(fault.Conflict, fmt.Sprintf("cannot kill while %s", st))
	}
	if signal == sigKill || signal == rec.EndSignal() {
		if err := c.want(true); err != nil {
			return err
		}
	}
	if signal == sigKill && rec.Status.Paused {
		defer func() { _ = ender{e}.thaw(ctx, c) }()
	}
	if err := e.d.Processes.Signal(ctx, c.pod.id, c.id, signal); err != nil {
		return fmt.Errorf("container %s: kill: %w", c.title(), err)
	}
	c.event("kill", map[string]string{"signal": fmt.Sprint(signal)})
	return nil
}

// PauseContainer freezes all processes of a running container.
func (e *Engine) PauseContainer(ctx context.Context, ref string) error {
	return e.setPaused(ctx, ref, true)
}

// UnpauseContainer lets a paused container go on.
func (e *Engine) UnpauseContainer(ctx context.Context, ref string) error {
	return e.setPaused(ctx, ref, false)
}

func (e *Engine) setPaused(ctx context.Context, ref string, paused bool) error {
	c, err := registry{e}.findContainer(ref)
	if err != nil {
		return err
	}
	ctx, end, err := c.pod.lock.Begin(ctx, &c.step)
	if err != nil {
		return err
	}
	defer end()
	st := c.view.Load().status
	switch {
	case st.State != lifecycle.ContainerRunning:
		return c.fault(fault.Conflict, fmt.Sprintf("cannot be paused or continued while %s", st.State))
	case st.Paused == paused && paused:
		return c.fault(fault.Conflict, "is already paused")
	case st.Paused == paused:
		return c.fault(fault.Conflict, "is not paused")
	case !paused:
		return ender{e}.thaw(ctx, c)
	}
	c.step.Set("cgroup: freeze")
	if err := e.d.Groups.FreezeGroup(ctx, st.Cgroup, true); err != nil {
		return fmt.Errorf("container %s: pause: %w", c.title(), err)
	}
	if err := c.markPaused(true); err != nil {
		return errors.Join(err, e.d.Groups.FreezeGroup(context.WithoutCancel(ctx), st.Cgroup, false))
	}
	c.event("pause", nil)
	return nil
}

func (e ender) thaw(ctx context.Context, c *container) error {
	if err := e.d.Groups.FreezeGroup(ctx, c.record().Status.Cgroup, false); err != nil {
		return fmt.Errorf("container %s: unpause: %w", c.title(), err)
	}
	if err := c.markPaused(false); err != nil {
		return err
	}
	c.event("unpause", nil)
	return nil
}

func (c *container) markPaused(paused bool) error {
	return c.change(func(r *record.Container) error {
		r.Status.Paused = paused && r.Status.State == lifecycle.ContainerRunning
		return nil
	})
}

// StopPod stops a pod's containers, all at once, each as StopContainer does, then
// disconnects the pod and ends its sandbox. What is being created or started in it
// is interrupted. It is idempotent, also in its parts: after an error, repeat. An
// ID of nobody is success.
func (e *Engine) StopPod(ctx context.Context, ref string, timeout *time.Duration) error {
	p, err := registry{e}.findPod(ref)
	if err != nil {
		return goneIsDone(ref, err)
	}
	return ender{e}.stopPod(ctx, p, timeout)
}

func (e ender) stopPod(ctx context.Context, p *pod, timeout *time.Duration) error {
	end, err := p.lock.Seize(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		end()
		for _, c := range registry(e).containersOf(p) {
			e.spawn(func() { e.settle(c) })
		}
	}()
	if v := p.view.Load(); v.gone || v.status.State == lifecycle.PodExited {
		return nil
	}
	if timeout == nil {
		d := record.Grace(nil, p.spec.StopTimeout)
		timeout = &d
	}
	p.step.Set("containers: stop")
	var stops []func() error
	for _, c := range registry(e).containersOf(p) {
		stops = append(stops, func() error { return e.stop(ctx, c, timeout) })
	}
	if len(stops) > 0 {
		if err := errors.Join(steps.Parallel(stops...)...); err != nil {
			return err
		}
	}
	if p.view.Load().status.State == lifecycle.PodReady {
		return e.rest(ctx, p)
	}
	err = p.note(func(r *record.Pod) error { return r.Exit() })
	p.event("stop", nil)
	return err
}
