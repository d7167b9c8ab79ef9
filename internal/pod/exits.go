package pod

import (
	"context"
	"time"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/pod/record"
	"carob/internal/status"
	"carob/internal/undo"
)

// codeLost is the exit code of a process whose own could not be learned.
const codeLost = 255

// receiveExits takes every exit as soon as it comes. Those of one pod are handled
// in order, those of different pods do not wait for each other.
func (e *Engine) receiveExits() {
	for {
		select {
		case x := <-e.d.Processes.Exits():
			e.mu.Lock()
			p := e.pods[x.PodID]
			if p == nil && !e.recovered {
				e.early = append(e.early, x)
			}
			e.mu.Unlock()
			if p != nil {
				p.enqueue(x)
			}
		case <-e.ctx.Done():
			return
		}
	}
}

func (p *pod) enqueue(x ProcessExit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exits = append(p.exits, x)
	if !p.draining {
		p.draining = p.e.spawn(p.drain)
	}
}

func (p *pod) drain() {
	for {
		p.mu.Lock()
		if len(p.exits) == 0 || p.e.ctx.Err() != nil {
			p.draining = false
			p.mu.Unlock()
			return
		}
		x := p.exits[0]
		p.exits = p.exits[1:]
		p.mu.Unlock()
		ender{p.e}.exited(p, x)
	}
}

func (e ender) exited(p *pod, x ProcessExit) {
	if x.Exit.At.IsZero() {
		x.Exit.At = time.Now()
	}
	if x.ProcessID == "" {
		e.sandboxDied(p, x.Exit)
		return
	}
	e.mu.Lock()
	c := p.containers[x.ProcessID]
	e.mu.Unlock()
	if c == nil {
		e.execs.Ended(x.ProcessID, x.Exit)
		return
	}
	e.containerExited(c, x.Exit)
}

// containerExited records the end of c's process, once: ends are delivered until
// they are forgotten, and one of an earlier process is older than the present one.
func (e ender) containerExited(c *container, x status.Exit) {
	c.mu.Lock()
	if c.rec.Starting {
		if !x.At.Before(c.rec.Since) {
			c.parked = &x
		}
		c.mu.Unlock()
		return
	}
	if c.rec.Status.State != lifecycle.ContainerRunning || x.At.Before(c.rec.Since) {
		c.mu.Unlock()
		return
	}
	next := c.rec
	err := next.Exit(x, x.Reason())
	if err == nil {
		// While the end is not stored, the sandbox keeps it for the next daemon.
		err = c.putLocked(next)
		c.unsaved = err != nil
		if x.OOMKilled {
			c.tell("oom", nil, nil)
		}
		c.tell("exit", exitAttributes(x, next.Status.Reason), func() { c.publishLocked(next, &x) })
	}
	c.mu.Unlock()
	if err != nil {
		e.d.Log.Error("container ended, its record was not written", "container", c.id, "cause", err)
	}
	c.log("exit", exitAttributes(x, next.Status.Reason))
	e.spawn(func() { e.settle(c) })
}

// settle does what follows a container's end: the sandbox forgets the process, the
// container is started again, or removed, and a solo pod rests.
func (e ender) settle(c *container) {
	ctx, end, err := c.pod.lock.Begin(e.ctx, &c.step)
	if err != nil {
		return // the pod is being stopped, or the engine closed; both see to the rest
	}
	defer end()
	if v := c.view.Load(); v.gone || v.status.State != lifecycle.ContainerExited {
		return
	}
	if err := starter(e).forget(ctx, c); err != nil && ctx.Err() == nil { // else who came in between forgets it
		e.d.Log.Warn("ended process is not forgotten", "container", c.id, "cause", err)
	}
	if e.scheduleRestart(c) {
		return
	}
	if c.record().Status.Spec.AutoRemove {
		e.leavers.add(c)
		if err := remover(e).remove(ctx, c); err != nil {
			e.d.Log.Error("automatic removal", "container", c.id, "cause", err)
		}
		return
	}
	if c.pod.spec.Solo {
		if err := e.rest(ctx, c.pod); err != nil {
			e.d.Log.Error("sandbox of an exited container stays", "pod", c.pod.id, "cause", err)
		}
	}
}

// rest ends the sandbox of a pod: an exited container keeps no namespaces. It is
// idempotent. The caller holds the pod's lock.
func (e ender) rest(ctx context.Context, p *pod) error {
	if p.view.Load().status.State != lifecycle.PodReady {
		return nil
	}
	p.step.Set("sandbox: stop")
	if err := e.dropSandbox(ctx, p); err != nil {
		return err
	}
	err := p.note(func(r *record.Pod) error { return r.Exit() })
	p.event("stop", nil)
	return err
}

// sandboxDied brings a pod whose sandbox has ended by itself into order: what ran
// in it is lost.
func (e ender) sandboxDied(p *pod, x status.Exit) {
	p.mu.Lock()
	stale := p.rec.Status.State != lifecycle.PodReady || x.At.Before(p.rec.Since)
	p.mu.Unlock()
	if stale {
		return
	}
	e.d.Log.Warn("sandbox died", "pod", p.id, "code", x.Code)
	e.spawn(func() { e.bury(p, x) })
}

func (e ender) bury(p *pod, x status.Exit) {
	end, err := p.lock.Seize(e.ctx, nil)
	if err != nil {
		return
	}
	since := p.record().Since
	if p.view.Load().status.State != lifecycle.PodReady || x.At.Before(since) {
		end()
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, undo.Timeout)
	defer cancel()
	if err := e.dropSandbox(ctx, p); err != nil {
		e.d.Log.Error("remains of a dead sandbox stay", "pod", p.id, "cause", err)
	}
	if err := p.note(func(r *record.Pod) error { return r.Exit() }); err != nil {
		e.d.Log.Error("pod ended, its record was not written", "pod", p.id, "cause", err)
	}
	p.event("exit", map[string]string{"reason": "Lost"})
	end()
	for _, c := range registry(e).containersOf(p) {
		e.lose(c, x.At)
	}
}

// lose records that nobody knows how c's process ended; without its supervisor it
// may run on, and a restart would make it two.
func (e ender) lose(c *container, at time.Time) {
	ctx, cancel := context.WithTimeout(e.ctx, undo.Timeout)
	defer cancel()
	if err := e.d.Groups.KillGroup(ctx, c.record().Status.Cgroup); err != nil {
		e.d.Log.Error("what is left of a lost container stays", "container", c.id, "cause", err)
	}
	x := status.Exit{Code: codeLost, At: at}
	c.mu.Lock()
	if c.rec.Status.State != lifecycle.ContainerRunning {
		c.mu.Unlock()
		return
	}
	next := c.rec
	err := next.Lose(x)
	if err == nil {
		err = c.putLocked(next)
		c.tell("exit", exitAttributes(x, record.Lost), func() { c.publishLocked(next, &x) })
	}
	c.mu.Unlock()
	if err != nil {
		e.d.Log.Error("container lost, its record was not written", "container", c.id, "cause", err)
	}
	c.log("exit", exitAttributes(x, record.Lost))
	e.spawn(func() { e.settle(c) })
}

// dropSandbox disconnects and ends a sandbox. Both steps are idempotent, so that
// whoever fails in the middle repeats both.
func (e ender) dropSandbox(ctx context.Context, p *pod) error {
	if err := e.d.Network.Detach(ctx, p.id, ""); err != nil {
		return fault.Wrap(fault.KindOf(err), "pod "+p.title()+": network: detach", err)
	}
	if err := e.d.Sandboxes.StopSandbox(ctx, p.id); err != nil {
		return fault.Wrap(fault.KindOf(err), "pod "+p.title()+": sandbox: stop", err)
	}
	for _, c := range registry(e).containersOf(p) {
		e.execs.EndAll(c.id)
	}
	return nil
}
