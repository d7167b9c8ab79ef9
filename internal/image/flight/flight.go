// Package flight lets many wait for one piece of work: the first who wants it begins it, the
// last who gives up cancels it. It knows nothing of images.
package flight

import (
	"context"
	"sync"

	"carob/internal/fault"
)

// Group is work under way by its key. The zero value is ready for use.
type Group[T any] struct {
	mu  sync.Mutex
	all map[string]*flight[T]
}

// flight is one piece of work. It belongs to those who wait: the last one to leave cancels
// it.
type flight[T any] struct {
	cancel context.CancelFunc
	// done is closed when nothing of it runs any more.
	done chan struct{}
	// result and err are set before done is closed.
	result T
	err    error
	// waiting is guarded by Group.mu.
	waiting int
}

// Wait returns the result of the work with this key, which fly does if nobody does it yet;
// leads says that it was this caller's fly. fly's context ends when nobody waits any more,
// and Wait of the last one returns when fly has. Unavailable is a caller who gave up.
func (g *Group[T]) Wait(ctx context.Context, key string, fly func(context.Context) (T, error)) (result T, leads bool, err error) {
	g.mu.Lock()
	one, ok := g.all[key]
	if !ok {
		one = g.beginLocked(ctx, key, fly)
	}
	one.waiting++
	g.mu.Unlock()
	select {
	case <-one.done:
	case <-ctx.Done():
	}
	g.mu.Lock()
	one.waiting--
	last := one.waiting == 0
	if last && g.all[key] == one {
		delete(g.all, key) // nobody may join what is about to be cancelled
	}
	g.mu.Unlock()
	if last {
		one.cancel()
		<-one.done // what it made is gone
	}
	if ctx.Err() != nil {
		return result, !ok, fault.Wrap(fault.Unavailable, "", ctx.Err())
	}
	return one.result, !ok, one.err
}

func (g *Group[T]) beginLocked(ctx context.Context, key string, fly func(context.Context) (T, error)) *flight[T] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // others may join it
	one := &flight[T]{cancel: cancel, done: make(chan struct{})}
	if g.all == nil {
		g.all = map[string]*flight[T]{}
	}
	g.all[key] = one
	go func() {
		defer close(one.done)
		defer cancel()
		one.result, one.err = fly(ctx)
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.all[key] == one {
			delete(g.all, key)
		}
	}()
	return one
}
