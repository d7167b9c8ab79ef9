// Package attempt lets whoever asks for the same thing while it is being made wait for
// the one attempt that is running, so that a client's time-out never turns into "name
// reserved". It knows nothing of what is made.
package attempt

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"carob/internal/fault"
)

// linger is how long an attempt goes on, and its result is kept, after the last
// caller's deadline has passed: longer than the kubelet's back-off between two
// tries of a create that timed out.
const linger = 2 * time.Minute

// attempt is a running create. A caller that asks for the same thing while it
// runs joins it.
//
// It is detached from its callers: it is cancelled and undone only when nobody
// waits for it any more. A caller with a deadline is a program that will try
// again (the kubelet), so when that one leaves, the attempt waits linger for it to
// come back; what nobody claimed by then is taken back. A caller without a
// deadline (a person's Ctrl-C) leaves for good.
type attempt struct {
	want   any
	cancel context.CancelCauseFunc
	done   chan struct{}
	// result and err are set before done is closed.
	result any
	err    error

	// Guarded by Group.mu.
	waiters int
	// dead is set when the attempt was given up; a newcomer waits for its undo and
	// then begins anew.
	dead  bool
	timer *time.Timer
}

var errAbandoned = fault.New(fault.Unavailable, "nobody waits for it any more")

// Group is all attempts of one owner, who closes it.
type Group struct {
	ctx  context.Context
	work sync.WaitGroup

	mu      sync.Mutex
	closed  error
	running map[string]*attempt
}

// New returns a group whose attempts end with ctx.
func New(ctx context.Context) *Group { return &Group{ctx: ctx, running: map[string]*attempt{}} }

// Close lets nobody in any more, who gets cause, and waits for the attempts; the context
// that was given to New has been cancelled before.
func (g *Group) Close(cause error) {
	g.mu.Lock()
	g.closed = cause
	g.mu.Unlock()
	g.work.Wait()
}

// Request is one caller's wish for an attempt.
type Request struct {
	// Key is the same for wishes for one thing.
	Key string
	// Want is compared with the running attempt's by reflect.DeepEqual.
	Want any
	// Title names the thing in errors.
	Title string
	// Run does it, and Discard takes back what Run has made when nobody claimed it.
	Run     func(ctx context.Context) (any, error)
	Discard func(result any)
	// Exists reports whether an unclaimed result is still there to be claimed. It must
	// not wait.
	Exists func(result any) bool
}

// Do joins or begins the attempt that r describes and waits for its end.
func (g *Group) Do(ctx context.Context, r Request) (any, error) {
	for {
		a, err := g.enter(ctx, r)
		if err != nil {
			return nil, err
		}
		if a.dead {
			select {
			case <-a.done:
				continue
			case <-ctx.Done():
				return nil, fault.Wrap(fault.Unavailable, r.Title+": waiting for an earlier attempt to be undone", context.Cause(ctx))
			}
		}
		select {
		case <-a.done:
			g.claim(r, a)
			return a.result, a.err
		case <-ctx.Done():
			return g.leave(ctx, r, a)
		}
	}
}

// enter returns the attempt for r, with the caller counted as waiting unless the
// attempt is dead. A dead one is a copy that only has the channel to wait for.
func (g *Group) enter(ctx context.Context, r Request) (*attempt, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return nil, g.closed
	}
	if a := g.running[r.Key]; a != nil {
		select {
		case <-a.done:
			if a.dead || a.err != nil || !r.Exists(a.result) {
				delete(g.running, r.Key)
				return g.beginLocked(ctx, r), nil
			}
		default:
		}
		switch {
		case a.dead:
			return &attempt{dead: true, done: a.done}, nil
		case !reflect.DeepEqual(a.want, r.Want):
			return nil, fault.New(fault.Exists, r.Title+": being created right now with a different specification; wait for that or choose another name")
		}
		a.waiters++
		if a.timer != nil {
			a.timer.Stop()
			a.timer = nil
		}
		return a, nil
	}
	return g.beginLocked(ctx, r), nil
}

func (g *Group) beginLocked(ctx context.Context, r Request) *attempt {
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(g.ctx, func() { cancel(context.Cause(g.ctx)) })
	a := &attempt{want: r.Want, cancel: cancel, done: make(chan struct{}), waiters: 1}
	g.running[r.Key] = a
	g.work.Add(1)
	go func() {
		defer g.work.Done()
		a.result, a.err = r.Run(run)
		stop()
		cancel(nil)
		g.finish(r, a)
	}()
	return a
}

// finish ends an attempt: with waiters they take the result; without, it stays for
// a caller that comes back, or is taken back at once when it was given up.
func (g *Group) finish(r Request, a *attempt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.dead && a.err == nil {
		g.mu.Unlock()
		r.Discard(a.result)
		g.mu.Lock()
	}
	if a.dead || a.waiters > 0 || a.err != nil {
		g.forgetAttemptLocked(r, a)
	}
	close(a.done)
}

func (g *Group) forgetAttemptLocked(r Request, a *attempt) {
	if g.running[r.Key] == a {
		delete(g.running, r.Key)
	}
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

func (g *Group) claim(r Request, a *attempt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forgetAttemptLocked(r, a)
}

// leave takes a caller out of an attempt it does not wait for any longer. One that
// has just ended is the caller's all the same.
func (g *Group) leave(ctx context.Context, r Request, a *attempt) (any, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-a.done:
		g.forgetAttemptLocked(r, a)
		return a.result, a.err
	default:
	}
	cause := fmt.Errorf("%s: %w", r.Title, context.Cause(ctx))
	_, comesBack := ctx.Deadline()
	a.waiters--
	switch {
	case a.waiters > 0 || g.closed != nil:
	case comesBack:
		a.timer = time.AfterFunc(linger, func() { g.giveUp(r, a) })
		cause = fmt.Errorf("%w; it goes on, and the same request again joins it", cause)
	default:
		g.giveUpLocked(r, a)
	}
	return nil, fault.Wrap(fault.Unavailable, "", cause)
}

func (g *Group) giveUp(r Request, a *attempt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.waiters == 0 && g.closed == nil {
		g.giveUpLocked(r, a)
	}
}

// giveUpLocked cancels a running attempt or takes back a finished one's result.
func (g *Group) giveUpLocked(r Request, a *attempt) {
	select {
	case <-a.done:
		if g.running[r.Key] != a {
			return
		}
		g.forgetAttemptLocked(r, a)
		if a.err == nil && g.closed == nil {
			g.work.Add(1)
			go func() {
				defer g.work.Done()
				r.Discard(a.result)
			}()
		}
	default:
		a.dead = true
		a.cancel(errAbandoned)
	}
}
