// Package execs keeps the execs in containers: each from its start until it has been waited
// for, or for a while after its end.
//
// The end of an exec is stored by the sandbox, which remembers it until the exec leaves the
// table; its record in the Store only says that somebody may ask for it. So an exec survives
// the daemon's death at any instant for two small file operations.
//
// Locks: the table's guards its map, an exec's what is known of its end. Both are leaves, held
// across no call of an interface.
package execs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/plan/check"
	"carob/internal/pod/name"
	"carob/internal/status"
)

// kind is that of the records in the Store.
const kind = "exec"

// Deps is what a table works with. All fields are required.
type Deps struct {
	Processes Processes
	Store     Store
	Log       *slog.Logger
	// Context ends with the daemon; its cause is what those who wait are told.
	Context context.Context
	// After calls f in a goroutine of its own when d has passed, unless the daemon has ended.
	After func(d time.Duration, f func()) *time.Timer
}

// Processes is what is asked of a sandbox: see pod.Processes.
type Processes interface {
	KillExec(ctx context.Context, podID, execID string) error
	Forget(ctx context.Context, podID, processID string) error
}

// Store keeps records: see pod.Store.
type Store interface {
	Put(kind, id string, value any) error
	Load(kind string, each func(id string, raw []byte) error) error
	Delete(kind, id string) error
}

// Exec is one more process in a running container.
type Exec struct {
	ID string
	Container
	// Due is the deadline, zero without.
	Due time.Time
}

// Container is where execs are.
type Container struct {
	ID, PodID string
	// Title names it to people.
	Title string
}

// record is what is stored of an exec.
type record struct {
	ID          string    `json:"id"`
	ContainerID string    `json:"container"`
	Deadline    time.Time `json:"deadline,omitzero"`
}

// Table is all execs of a daemon.
type Table struct {
	d Deps

	// mu guards what follows.
	mu     sync.Mutex
	closed bool
	all    map[string]*run
}

// New returns an empty table; Load fills it. The caller ends it with Close.
func New(d Deps) *Table { return &Table{d: d, all: map[string]*run{}} }

// Close ends the timers of all execs, which go on. No new one is run.
func (t *Table) Close() {
	t.mu.Lock()
	t.closed = true
	all := slices.Collect(maps.Values(t.all))
	t.mu.Unlock()
	for _, x := range all {
		x.stopTimers()
	}
}

// Run makes an exec known, to the next daemon too, and starts it. After an error of start's
// nothing is known of it.
func (t *Table) Run(x Exec, start func() error) error {
	r := t.newRun(x)
	t.mu.Lock()
	closed := t.closed
	if !closed {
		t.all[x.ID] = r
	}
	t.mu.Unlock()
	if closed {
		return context.Cause(t.d.Context)
	}
	if err := t.d.Store.Put(kind, x.ID, record{ID: x.ID, ContainerID: x.Container.ID, Deadline: x.Due}); err != nil {
		r.drop()
		return fmt.Errorf("record: %w", err)
	}
	if err := start(); err != nil {
		r.drop()
		return err
	}
	r.arm()
	return nil
}

// Find returns an exec whose end nobody has fetched yet.
func (t *Table) Find(id string) (Exec, bool) {
	if r := t.find(id); r != nil {
		return r.Exec, true
	}
	return Exec{}, false
}

// find is nil when the exec is not there, or has been waited for.
func (t *Table) find(id string) *run {
	t.mu.Lock()
	r := t.all[id]
	t.mu.Unlock()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answered {
		return nil
	}
	return r
}

// In returns the execs in a container, those that have ended too.
func (t *Table) In(containerID string) (of []Exec) {
	for _, r := range t.in(containerID) {
		of = append(of, r.Exec)
	}
	return of
}

func (t *Table) in(containerID string) (of []*run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.all {
		if r.Container.ID == containerID {
			of = append(of, r)
		}
	}
	return of
}

// Runs tells whether an exec in the container has not ended yet.
func (t *Table) Runs(containerID string) bool {
	return slices.ContainsFunc(t.in(containerID), func(r *run) bool { return !r.over() })
}

// Ended notes the end of an exec. Only the first counts, and none of a stranger's.
func (t *Table) Ended(id string, x status.Exit) {
	t.mu.Lock()
	r := t.all[id]
	t.mu.Unlock()
	if r != nil {
		r.ended(x)
	}
}

// EndAll notes that the sandbox of a container has ended, which does not tell of what ends with it.
func (t *Table) EndAll(containerID string) {
	for _, r := range t.in(containerID) {
		r.ended(killed())
	}
}

// Erase removes the records of a container's execs. Their ends can be asked for until the
// daemon's own.
func (t *Table) Erase(containerID string) error {
	for _, r := range t.in(containerID) {
		if err := t.d.Store.Delete(kind, r.ID); err != nil {
			return fmt.Errorf("exec: record: %w", err)
		}
	}
	return nil
}

// Wait waits for the end of an exec and forgets it; a later call is NotFound. A
// *status.DeadlineError says that its deadline passed and all it started was killed, Unavailable
// that ctx or the daemon ended, in which case the exec goes on and can be waited for again.
func (t *Table) Wait(ctx context.Context, id string) (status.Exit, error) {
	r := t.find(id)
	if r == nil {
		return status.Exit{}, name.NotFound("exec", id)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return status.Exit{}, fault.Wrap(fault.Unavailable, "exec "+id[:12]+": waiting for its end", context.Cause(ctx))
	case <-t.d.Context.Done():
		return status.Exit{}, context.Cause(t.d.Context)
	}
	r.forget(0, r.leave) // its end does not wait for what is left of it
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.expired {
		return *r.exit, &status.DeadlineError{Err: fault.New(fault.Unavailable, "container "+r.Title+": exec: timed out, everything it started was killed")}
	}
	return *r.exit, nil
}

// Load reads the records of the execs in known containers. Those of others are removed when
// all containers are known.
func (t *Table) Load(known func(containerID string) (Container, bool), all bool) error {
	var litter []string
	err := t.d.Store.Load(kind, func(id string, raw []byte) error {
		var rec record
		if err := json.Unmarshal(raw, &rec); err != nil {
			return fmt.Errorf("exec %s: record: %w", id, err)
		}
		c, ok := known(rec.ContainerID)
		if !ok || rec.ID != id || !check.ID(id) {
			litter = append(litter, id)
			return nil
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.all[id] = t.newRun(Exec{ID: id, Container: c, Due: rec.Deadline})
		return nil
	})
	errs := []error{err}
	for _, id := range litter {
		if all {
			errs = append(errs, t.d.Store.Delete(kind, id))
		}
	}
	return errors.Join(errs...)
}

// Adopt goes on with the loaded execs of a container that its sandbox still has; what says how
// each is. The others never came to run, or have been waited for.
func (t *Table) Adopt(containerID string, what func(id string) (exit *status.Exit, there bool)) {
	for _, r := range t.in(containerID) {
		exit, there := what(r.ID)
		switch {
		case !there:
			r.drop()
		case exit == nil:
			r.arm()
		default:
			r.endedMeanwhile(*exit)
		}
	}
}
