package execs

import (
	"context"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/status"
)

const (
	// kept is how long the end of an exec is kept for somebody to ask for it.
	kept = time.Minute
	// drainGrace is how long after its deadline an exec may take to be gone; its end is
	// reported without it then.
	drainGrace = 2 * time.Second

	sigKill = 9
)

// killed is the end of an exec of which no better is known.
func killed() status.Exit { return status.Exit{Code: 128 + sigKill, Signal: sigKill, At: time.Now()} }

// run is an exec in the table. It has no goroutine: an end is told, the deadline is a timer.
type run struct {
	Exec
	t *Table
	// done is closed when the process and all its output have ended.
	done chan struct{}

	// mu guards what follows.
	mu       sync.Mutex
	exit     *status.Exit
	expired  bool
	answered bool
	deadline *time.Timer
	// cleanup is the timer after which nobody is expected to ask.
	cleanup *time.Timer
}

func (t *Table) newRun(x Exec) *run { return &run{Exec: x, t: t, done: make(chan struct{})} }

// over tells whether the exec has ended.
func (r *run) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// leave is an ended exec's last act: the sandbox forgets the process, and the table
// the exec. What a daemon that dies in between leaves, the next one removes.
func (r *run) leave() {
	ctx, cancel := context.WithTimeout(r.t.d.Context, drainGrace)
	defer cancel()
	if err := r.t.d.Processes.Forget(ctx, r.PodID, r.ID); err != nil && !fault.Is(err, fault.NotFound) {
		r.t.d.Log.Warn("ended exec is not forgotten", "container", r.Container.ID, "exec", r.ID, "cause", err)
	}
	r.drop()
}

// drop takes an exec out of the table. One whose record cannot be removed stays, so
// that this is tried again.
func (r *run) drop() {
	r.stopTimers()
	if err := r.t.d.Store.Delete(kind, r.ID); err != nil {
		r.t.d.Log.Warn("record of an exec stays", "container", r.Container.ID, "exec", r.ID, "cause", err)
		r.forget(kept, r.drop)
		return
	}
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	delete(r.t.all, r.ID)
}

// forget lets nobody find the exec any more, and calls last after d.
func (r *run) forget(d time.Duration, last func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered = true
	if r.cleanup != nil {
		r.cleanup.Stop()
	}
	r.cleanup = r.t.d.After(d, last)
}

func (r *run) stopTimers() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deadline != nil {
		r.deadline.Stop()
	}
	if r.cleanup != nil {
		r.cleanup.Stop()
	}
}

// arm sets the timer of an exec that has a deadline.
func (r *run) arm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.exit == nil && !r.Due.IsZero() {
		r.deadline = r.t.d.After(time.Until(r.Due), r.expire)
	}
}

// expire kills all that the exec started.
func (r *run) expire() {
	r.mu.Lock()
	r.expired = r.exit == nil
	expired := r.expired
	r.mu.Unlock()
	if !expired {
		return
	}
	ctx, cancel := context.WithTimeout(r.t.d.Context, drainGrace)
	defer cancel()
	if err := r.t.d.Processes.KillExec(ctx, r.PodID, r.ID); err != nil {
		r.t.d.Log.Warn("exec is over its deadline", "container", r.Container.ID, "exec", r.ID, "cause", err)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		r.ended(killed())
	}
}

// endedMeanwhile is ended for an end that came in the time of no daemon.
func (r *run) endedMeanwhile(x status.Exit) {
	r.mu.Lock()
	r.expired = !r.Due.IsZero() && !x.At.Before(r.Due)
	r.mu.Unlock()
	r.ended(x)
}

// ended notes the end and gives whoever may ask for it a while. Only the first end
// counts.
func (r *run) ended(x status.Exit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.exit != nil {
		return
	}
	r.exit = &x
	if r.deadline != nil {
		r.deadline.Stop()
	}
	if r.cleanup == nil {
		r.cleanup = r.t.d.After(kept, r.leave)
	}
	close(r.done)
}
