package pod

import (
	"context"
	"sync/atomic"
	"time"
)

// cell holds a value that one writes and many read without a lock. Each value
// comes with a channel that is closed when a newer one is there, so that nobody
// polls and no change is missed.
type cell[T any] struct {
	current atomic.Pointer[version[T]]
}

type version[T any] struct {
	value T
	next  chan struct{}
}

func (c *cell[T]) load() *T { return &c.current.Load().value }

// publish replaces the value. The caller holds the lock of the value's owner.
func (c *cell[T]) publish(v T) {
	if old := c.current.Swap(&version[T]{value: v, next: make(chan struct{})}); old != nil {
		close(old.next)
	}
}

// wait returns the first value that satisfies until, beginning with the present
// one, or the cause of ctx's end.
func (c *cell[T]) wait(ctx context.Context, until func(*T) bool) (*T, error) {
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

// progress says what an operation is doing right now. Readers see it at once;
// tell is called once for each step that lasts longer than slowStep.
type progress struct {
	current atomic.Pointer[step]
	timer   atomic.Pointer[time.Timer]
	tell    func(name string)
}

type step struct {
	name  string
	since time.Time
}

func (p *progress) set(name string) {
	s := &step{name, time.Now()}
	p.current.Store(s)
	if t := p.timer.Load(); t != nil {
		t.Reset(slowStep)
		return
	}
	t := time.AfterFunc(slowStep, func() {
		if s := p.current.Load(); s != nil {
			p.tell(s.name)
		}
	})
	if !p.timer.CompareAndSwap(nil, t) {
		t.Stop()
	}
}

func (p *progress) done() {
	p.current.Store(nil)
	if t := p.timer.Load(); t != nil {
		t.Stop()
	}
}

func (p *progress) load() (string, time.Time) {
	if s := p.current.Load(); s != nil {
		return s.name, s.since
	}
	return "", time.Time{}
}
