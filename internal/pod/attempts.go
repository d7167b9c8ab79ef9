package pod

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"carob/internal/fault"
)

// linger is how long an attempt goes on, and its result is kept, after the last
// caller's deadline has passed: longer than the kubelet's back-off between two
// tries of a create that timed out.
const linger = 2 * time.Minute

// attempt is a running create. A caller that asks for the same thing while it
// runs joins it, so that a client's time-out never turns into "name reserved".
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

	// Guarded by Engine.mu.
	waiters int
	// dead is set when the attempt was given up; a newcomer waits for its undo and
	// then begins anew.
	dead  bool
	timer *time.Timer
}

var errAbandoned = fault.New(fault.Unavailable, "nobody waits for it any more")

// request is one caller's wish for an attempt.
type request struct {
	key string
	// want is compared with the running attempt's by reflect.DeepEqual.
	want any
	// title names the thing in errors.
	title string
	// run does it, and discard takes back what run has made when nobody claimed it.
	run     func(ctx context.Context) (any, error)
	discard func(result any)
	// exists reports whether an unclaimed result is still there to be claimed.
	exists func(result any) bool
}

// attempt joins or begins the attempt that r describes and waits for its end.
func (e attempts) attempt(ctx context.Context, r request) (any, error) {
	for {
		a, err := e.enter(ctx, r)
		if err != nil {
			return nil, err
		}
		if a.dead {
			select {
			case <-a.done:
				continue
			case <-ctx.Done():
				return nil, fault.Wrap(fault.Unavailable, r.title+": waiting for an earlier attempt to be undone", context.Cause(ctx))
			}
		}
		select {
		case <-a.done:
			e.claim(r, a)
			return a.result, a.err
		case <-ctx.Done():
			return e.leave(ctx, r, a)
		}
	}
}

// enter returns the attempt for r, with the caller counted as waiting unless the
// attempt is dead. A dead one is a copy that only has the channel to wait for.
func (e attempts) enter(ctx context.Context, r request) (*attempt, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosed
	}
	if a := e.attempts[r.key]; a != nil {
		select {
		case <-a.done:
			if a.dead || a.err != nil || !r.exists(a.result) {
				delete(e.attempts, r.key)
				return e.beginLocked(ctx, r), nil
			}
		default:
		}
		switch {
		case a.dead:
			return &attempt{dead: true, done: a.done}, nil
		case !reflect.DeepEqual(a.want, r.want):
			return nil, fault.New(fault.Exists, r.title+": being created right now with a different specification; wait for that or choose another name")
		}
		a.waiters++
		if a.timer != nil {
			a.timer.Stop()
			a.timer = nil
		}
		return a, nil
	}
	return e.beginLocked(ctx, r), nil
}

func (e attempts) beginLocked(ctx context.Context, r request) *attempt {
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(e.ctx, func() { cancel(errClosed) })
	a := &attempt{want: r.want, cancel: cancel, done: make(chan struct{}), waiters: 1}
	e.attempts[r.key] = a
	e.work.Add(1)
	go func() {
		defer e.work.Done()
		a.result, a.err = r.run(run)
		stop()
		cancel(nil)
		e.finish(r, a)
	}()
	return a
}

// finish ends an attempt: with waiters they take the result; without, it stays for
// a caller that comes back, or is taken back at once when it was given up.
func (e attempts) finish(r request, a *attempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a.dead && a.err == nil {
		e.mu.Unlock()
		r.discard(a.result)
		e.mu.Lock()
	}
	if a.dead || a.waiters > 0 || a.err != nil {
		e.forgetAttemptLocked(r, a)
	}
	close(a.done)
}

func (e attempts) forgetAttemptLocked(r request, a *attempt) {
	if e.attempts[r.key] == a {
		delete(e.attempts, r.key)
	}
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

func (e attempts) claim(r request, a *attempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forgetAttemptLocked(r, a)
}

// leave takes a caller out of an attempt it does not wait for any longer. One that
// has just ended is the caller's all the same.
func (e attempts) leave(ctx context.Context, r request, a *attempt) (any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-a.done:
		e.forgetAttemptLocked(r, a)
		return a.result, a.err
	default:
	}
	cause := fmt.Errorf("%s: %w", r.title, context.Cause(ctx))
	_, comesBack := ctx.Deadline()
	a.waiters--
	switch {
	case a.waiters > 0 || e.closed:
	case comesBack:
		a.timer = e.after(linger, func() { e.giveUp(r, a) })
		cause = fmt.Errorf("%w; it goes on, and the same request again joins it", cause)
	default:
		e.giveUpLocked(r, a)
	}
	return nil, fault.Wrap(fault.Unavailable, "", cause)
}

func (e attempts) giveUp(r request, a *attempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a.waiters == 0 {
		e.giveUpLocked(r, a)
	}
}

// giveUpLocked cancels a running attempt or takes back a finished one's result.
func (e attempts) giveUpLocked(r request, a *attempt) {
	select {
	case <-a.done:
		if e.attempts[r.key] != a {
			return
		}
		e.forgetAttemptLocked(r, a)
		if a.err == nil && !e.closed {
			e.work.Add(1)
			go func() {
				defer e.work.Done()
				r.discard(a.result)
			}()
		}
	default:
		a.dead = true
		a.cancel(errAbandoned)
	}
}
