// Package lock serialises the operations on one pod, and lets those that end it interrupt the
// others. Whoever waits in vain learns which step of which operation it waited for.
package lock

import (
	"context"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/pod/cell"
)

var errInterrupted = fault.New(fault.Conflict, "interrupted: it is being stopped")

// Lock is one pod's.
type Lock struct {
	title string
	step  *cell.Progress
	// op holds a value while there is an operation.
	op chan struct{}

	// mu guards what follows. It is a leaf.
	mu sync.Mutex
	// interrupt cancels the operation that holds op; owner is the progress of the container it
	// is about, nil for the pod. stopping counts those who want no operation to begin.
	interrupt context.CancelCauseFunc
	owner     *cell.Progress
	stopping  int
}

// New returns the lock of a pod, which the title names; step is what the pod's operations
// tell of themselves.
func New(title string, step *cell.Progress) *Lock {
	return &Lock{title: title, step: step, op: make(chan struct{}, 1)}
}

// Begin takes the lock for an operation, waiting as long as ctx allows, and returns the
// operation's own context: it also ends when somebody interrupts. about is the progress
// of the container the operation is for, nil for the pod. The caller calls end, which
// releases the lock.
func (l *Lock) Begin(ctx context.Context, about *cell.Progress) (op context.Context, end func(), err error) {
	if err := l.acquire(ctx); err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping > 0 {
		<-l.op
		return nil, nil, fault.New(fault.Conflict, "pod "+l.title+": is being stopped")
	}
	op, cancel := context.WithCancelCause(ctx)
	l.interrupt, l.owner = cancel, about
	return op, func() {
		l.mu.Lock()
		l.interrupt, l.owner = nil, nil
		l.mu.Unlock()
		cancel(nil)
		l.release(about)
	}, nil
}

// Seize is Begin for operations that end others: what holds the lock is interrupted, and
// nothing new begins until end is called. With about, only an operation about that
// container is interrupted, and others may come in between.
func (l *Lock) Seize(ctx context.Context, about *cell.Progress) (end func(), err error) {
	l.mu.Lock()
	if about == nil {
		l.stopping++
	}
	if l.interrupt != nil && (about == nil || l.owner == about) {
		l.interrupt(errInterrupted)
	}
	l.mu.Unlock()
	admit := func() {
		if about == nil {
			l.mu.Lock()
			l.stopping--
			l.mu.Unlock()
		}
	}
	if err := l.acquire(ctx); err != nil {
		admit()
		return nil, err
	}
	return func() {
		admit()
		l.release(about)
	}, nil
}

func (l *Lock) release(about *cell.Progress) {
	if about != nil {
		about.Done()
	}
	l.step.Done()
	<-l.op
}

func (l *Lock) acquire(ctx context.Context) error {
	select {
	case l.op <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.op <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, "pod "+l.title+": busy with "+l.busyWith(), context.Cause(ctx))
	}
}

// busyWith says which step holds the lock.
func (l *Lock) busyWith() string {
	name, since := l.step.Load()
	l.mu.Lock()
	owner := l.owner
	l.mu.Unlock()
	if owner != nil {
		if s, at := owner.Load(); s != "" {
			name, since = owner.Of+": "+s, at
		}
	}
	if name == "" {
		return "another operation"
	}
	return name + " for " + time.Since(since).Round(time.Millisecond).String()
}
