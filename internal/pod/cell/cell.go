// Package cell holds values that one writes and many read without a lock.
package cell

import (
	"context"
	"sync/atomic"
	"time"
)

// Cell holds a value that one writes and many read without a lock. Each value
// comes with a channel that is closed when a newer one is there, so that nobody
// polls and no change is missed.
type Cell[T any] struct {
	current atomic.Pointer[version[T]]
}

type version[T any] struct {
	value T
	next  chan struct{}
}

// Load returns the present value, which nobody changes.
func (c *Cell[T]) Load() *T { return &c.current.Load().value }

// Publish replaces the value. The caller holds the lock of the value's owner.
func (c *Cell[T]) Publish(v T) {
	if old := c.current.Swap(&version[T]{value: v, next: make(chan struct{})}); old != nil {
		close(old.next)
	}
}

// Wait returns the first value that satisfies until, beginning with the present
// one, or the cause of ctx's end.
func (c *Cell[T]) Wait(ctx context.Context, until func(*T) bool) (*T, error) {
	for {
		v := c.current.Load()
		if until(&v.value) {
			return &v.value, nil
		}
		select {
		case <-v.next:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// slowStep is how long a step lasts before an event tells of it.
const slowStep = 200 * time.Millisecond

// Progress says what an operation is doing right now. Readers see it at once;
// Tell is called once for each step that lasts longer than slowStep.
type Progress struct {
	// Of is whose progress it is, for those who wait for it.
	Of      string
	current atomic.Pointer[step]
	timer   atomic.Pointer[time.Timer]
	Tell    func(name string)
}

type step struct {
	name  string
	since time.Time
}

// Set begins a step.
func (p *Progress) Set(name string) {
	s := &step{name, time.Now()}
	p.current.Store(s)
	if t := p.timer.Load(); t != nil {
		t.Reset(slowStep)
		return
	}
	t := time.AfterFunc(slowStep, func() {
		if s := p.current.Load(); s != nil {
			p.Tell(s.name)
		}
	})
	if !p.timer.CompareAndSwap(nil, t) {
		t.Stop()
	}
}

// Done ends the last step.
func (p *Progress) Done() {
	p.current.Store(nil)
	if t := p.timer.Load(); t != nil {
		t.Stop()
	}
}

// Load returns the present step and when it began; "" between operations.
func (p *Progress) Load() (string, time.Time) {
	if s := p.current.Load(); s != nil {
		return s.name, s.since
	}
	return "", time.Time{}
}
