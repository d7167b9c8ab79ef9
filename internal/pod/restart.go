package pod

import (
	"time"

	"carob/internal/lifecycle"
)

// scheduleRestart sets the timer of c's restart if one is due. A pod that is not
// solo restarts nothing once its sandbox is gone.
func (e ender) scheduleRestart(c *container) bool {
	if !c.pod.spec.Solo && c.pod.view.Load().status.State != lifecycle.PodReady {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.rec.RestartDue() {
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
	due := c.pending == own && c.rec.RestartDue()
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
