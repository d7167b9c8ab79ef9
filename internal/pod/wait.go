package pod

import (
	"context"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/status"
)

// WaitContainer waits for a condition and returns the latest exit. A container that
// is removed while somebody waits for its exit ends the wait with what is known, and one
// that removed itself is known by its ID for a minute more. It takes no lock.
func (e *Engine) WaitContainer(ctx context.Context, ref string, cond status.WaitCondition) (status.Exit, error) {
	wait, err := e.Waiter(ref, cond)
	if err != nil {
		return status.Exit{}, err
	}
	return wait(ctx)
}

// Waiter is WaitContainer in two steps: what is waited for counts from this call on, so
// that a container that is started after it, ends and is removed is not missed. It
// holds nothing; the wait need not be called.
func (e *Engine) Waiter(ref string, cond status.WaitCondition) (wait func(context.Context) (status.Exit, error), err error) {
	c, err := registry{e}.findContainer(ref)
	if fault.Is(err, fault.NotFound) {
		c = e.leavers.find(ref)
	}
	if c == nil {
		return nil, err
	}
	var until func(*containerView) bool
	switch cond {
	case status.WaitExit:
		until = func(v *containerView) bool {
			return v.gone || v.status.State != lifecycle.ContainerRunning && !v.starting
		}
	case status.WaitNextExit:
		before := c.view.Load().exits
		until = func(v *containerView) bool { return v.gone || v.exits > before }
	case status.WaitRemoved:
		until = func(v *containerView) bool { return v.gone }
	default:
		return nil, fault.New(fault.Invalid, "wait condition \""+string(cond)+"\": unknown (next-exit, removed)")
	}
	return func(ctx context.Context) (status.Exit, error) { return e.await(ctx, c, until) }, nil
}

// farewell is how long the end of a container that removed itself can be waited for by
// its ID: whoever lost the daemon while it ran asks the next one, which may have found
// it ended and removed it by then.
const farewell = time.Minute

// leavers are containers that remove themselves, and have done so a short while ago.
type leavers struct{ byID sync.Map }

func (l *leavers) add(c *container) {
	l.byID.Store(c.id, c)
	time.AfterFunc(farewell, func() { l.byID.Delete(c.id) })
}

func (l *leavers) find(id string) *container {
	c, _ := l.byID.Load(id)
	found, _ := c.(*container) // nil when there is none
	return found
}

func (e *Engine) await(ctx context.Context, c *container, until func(*containerView) bool) (status.Exit, error) {
	ctx, cancel := e.withEngine(ctx)
	defer cancel()
	v, err := c.view.Wait(ctx, until)
	if err != nil {
		return status.Exit{}, fault.Wrap(fault.Unavailable, "container "+c.title()+": wait", err)
	}
	if v.exits == 0 { // it ended in the time of an earlier daemon, or never ran
		s := &v.status
		return status.Exit{Code: s.ExitCode, OOMKilled: s.OOMKilled, At: s.FinishedAt}, nil
	}
	return v.last, nil
}

// withEngine is a ctx that also ends with the engine.
func (e *Engine) withEngine(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(e.ctx, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil) }
}
