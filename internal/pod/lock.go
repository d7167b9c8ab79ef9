package pod

import (
	"context"
	"time"

	"carob/internal/fault"
)

var errInterrupted = fault.New(fault.Conflict, "interrupted: it is being stopped")

// begin takes the pod's lock for an operation, waiting as long as ctx allows, and
// returns the operation's own context: it also ends when somebody interrupts. about
// is the container the operation is for, nil for the pod. The caller calls end,
// which releases the lock.
func (p *pod) begin(ctx context.Context, about *container) (op context.Context, end func(), err error) {
	if err := p.acquire(ctx); err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping > 0 {
		<-p.op
		return nil, nil, p.fault(fault.Conflict, "is being stopped")
	}
	op, cancel := context.WithCancelCause(ctx)
	p.interrupt, p.owner = cancel, about
	return op, func() {
		p.mu.Lock()
		p.interrupt, p.owner = nil, nil
		p.mu.Unlock()
		cancel(nil)
		if about != nil {
			about.step.Done()
		}
		p.step.Done()
		<-p.op
	}, nil
}

func (p *pod) acquire(ctx context.Context) error {
	select {
	case p.op <- struct{}{}:
		return nil
	default:
	}
	select {
	case p.op <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, "pod "+p.title()+": busy with "+p.busyWith(), context.Cause(ctx))
	}
}

// busyWith says which step holds the pod's lock.
func (p *pod) busyWith() string {
	name, since := p.step.Load()
	p.mu.Lock()
	owner := p.owner
	p.mu.Unlock()
	if owner != nil {
		if s, at := owner.step.Load(); s != "" {
			name, since = owner.name+": "+s, at
		}
	}
	if name == "" {
		return "another operation"
	}
	return name + " for " + time.Since(since).Round(time.Millisecond).String()
}

// seize is begin for operations that end others: what holds the lock is
// interrupted, and nothing new begins until end is called. With about, only an
// operation about that container is interrupted, and others may come in between.
func (p *pod) seize(ctx context.Context, about *container) (end func(), err error) {
	p.mu.Lock()
	if about == nil {
		p.stopping++
	}
	if p.interrupt != nil && (about == nil || p.owner == about) {
		p.interrupt(errInterrupted)
	}
	p.mu.Unlock()
	release := func() {
		if about == nil {
			p.mu.Lock()
			p.stopping--
			p.mu.Unlock()
		}
	}
	if err := p.acquire(ctx); err != nil {
		release()
		return nil, err
	}
	return func() {
		release()
		if about != nil {
			about.step.Done()
		}
		p.step.Done()
		<-p.op
	}, nil
}
