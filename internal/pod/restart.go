package pod

import (
	"time"

	"carob/internal/lifecycle"
	"carob/internal/spec"
)

// restartDue decides whether an exited container is started again. Stopped ones are
// not: always and unless-stopped differ in Docker only after a restart of its
// daemon, which for carob is no event in a container's life.
func restartDue(rec *containerRecord) bool {
	if rec.Stopped || rec.Removing || rec.Status.State != lifecycle.ContainerExited {
		return false
	}
	r := rec.Status.Spec.Restart
	switch r.Policy {
	case spec.RestartAlways, spec.RestartUnlessStopped:
		return true
	case spec.RestartOnFailure:
		return rec.Status.ExitCode != 0 && (r.MaxRetries == 0 || rec.Status.RestartCount < r.MaxRetries)
	}
	return false
}

// scheduleRestart sets the timer of c's restart if one is due. A pod that is not
// solo restarts nothing once its sandbox is gone.
func (e ender) scheduleRestart(c *container) bool {
	if !c.pod.spec.Solo && c.pod.view.Load().status.State != lifecycle.PodReady {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !restartDue(&c.rec) {
		return false
	}
	s := &c.rec.Status
	c.backoff = lifecycle.NextDelay(c.backoff, s.FinishedAt.Sub(s.StartedAt))
	if c.pending != nil {
		c.pending.timer.Stop()
	}
	next := &pendingRestart{}
	next.timer = e.after(c.backoff, func() { e.restart(c, next) })
	c.pending = next
	return true
}

// pendingRestart is a restart that is due. Its timer is guarded by container.mu.
type pendingRestart struct{ timer *time.Timer }

// restart is the timer's end. Whoever stopped, removed or started the container in
// the meantime has taken the timer away.
func (e ender) restart(c *container, own *pendingRestart) {
	ctx, end, err := c.pod.lock.Begin(e.ctx, &c.step)
	if err != nil {
		return
	}
	c.mu.Lock()
	due := c.pending == own && restartDue(&c.rec)
	if due {
		c.pending = nil
	}
	c.mu.Unlock()
	if !due {
		end()
		return
	}
	err = starter(e).start(ctx, c, startOptions{})
	end()
	if err != nil && e.ctx.Err() == nil {
		e.d.Log.Warn("restart", "container", c.id, "cause", err)
		e.settle(c) // counts as one more failed run
	}
}

func (c *container) cancelRestart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending != nil {
		c.pending.timer.Stop()
		c.pending = nil
	}
}
