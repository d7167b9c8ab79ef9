package pod

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/plan/ident"
	"carob/internal/plan/oci"
	"carob/internal/pod/name"
	"carob/internal/pod/user"
	"carob/internal/spec"
	"carob/internal/status"
)

const (
	// execKept is how long the end of an exec is kept for somebody to ask for it.
	execKept = time.Minute
	// drainGrace is how long after its deadline an exec may take to be gone; its end is
	// reported without it then.
	drainGrace = 2 * time.Second
)

// exec is one exec from its start until it has been waited for, or execKept after
// its end. It has no goroutine: an end comes through Exits, the deadline is a timer.
//
// The end of an exec is stored by the sandbox, which remembers it until the exec
// leaves the engine; the record only says that somebody may ask for it. So an exec
// survives the daemon's death at any instant for two small file operations.
type exec struct {
	e  *Engine
	id string
	c  *container
	// due is the deadline, zero without.
	due time.Time

	// done is closed when the process and all its output have ended.
	done chan struct{}

	// mu guards what follows. It is a leaf.
	mu       sync.Mutex
	exit     *status.Exit
	expired  bool
	answered bool
	deadline *time.Timer
	// cleanup is the timer after which nobody is expected to ask.
	cleanup *time.Timer
}

// execRecord is what is stored of an exec.
type execRecord struct {
	ID          string    `json:"id"`
	ContainerID string    `json:"container"`
	Deadline    time.Time `json:"deadline,omitzero"`
}

// Exec runs one more process in a running container and returns its ID as soon as
// it has been executed. The timeout of x, when set, is one deadline for the process
// and the draining of its output: everything the exec started is killed then. The
// end is to be fetched with WaitExec.
func (e *Engine) Exec(ctx context.Context, ref string, x spec.Exec, io Streams) (string, error) {
	c, err := registry{e}.findContainer(ref)
	if err != nil {
		return "", err
	}
	if len(x.Command) == 0 || x.Timeout < 0 {
		return "", c.fault(fault.Invalid, "exec: no command, or a negative timeout")
	}
	st := &c.view.Load().status
	switch {
	case st.State != lifecycle.ContainerRunning:
		return "", c.fault(fault.Conflict, fmt.Sprintf("exec: cannot while %s", st.State))
	case st.Paused:
		return "", c.fault(fault.Conflict, "exec: is paused; unpause it first")
	}
	p, err := e.execProcess(ctx, c, x)
	if err != nil {
		return "", fmt.Errorf("container %s: exec: %w", c.title(), err)
	}
	if x.Timeout > 0 {
		p.Deadline = time.Now().Add(time.Duration(x.Timeout))
	}
	run := newExec(c, name.NewID(), p.Deadline)
	p.ID, p.Streams = run.id, io
	if err := run.enter(); err != nil {
		return "", err
	}
	if _, err := e.d.Processes.Exec(ctx, p); err != nil {
		run.drop()
		return "", execFault(c, err)
	}
	run.arm()
	c.event("exec", map[string]string{"exec": run.id})
	return run.id, nil
}

func execFault(c *container, err error) error {
	err = commandFault(err)
	var refused *StartError
	if errors.As(err, &refused) {
		return &StartError{refused.Code, fmt.Errorf("container %s: exec: %w", c.title(), refused.Err)}
	}
	return fmt.Errorf("container %s: exec: %w", c.title(), err)
}

// execProcess plans the process of an exec.
func (e *Engine) execProcess(ctx context.Context, c *container, x spec.Exec) (Process, error) {
	world, err := c.spec()
	if err != nil {
		return Process{}, err
	}
	rec := c.record()
	id := rec.Identity
	if x.User != "" && x.User != userOf(rec) {
		if id, err = e.execIdentity(ctx, rec, x.User); err != nil {
			return Process{}, err
		}
	}
	proc, err := oci.Process(starter{e}.request(c, rec), world.Process, x, id)
	if err != nil {
		return Process{}, err
	}
	return Process{
		PodID: c.pod.id, Target: c.id, TargetPid: rec.Status.Pid, Spec: &specs.Spec{Version: world.Version, Process: proc, Linux: world.Linux},
		IDs: c.pod.view.Load().status.UserMapping, Cgroup: rec.Status.Cgroup, Stdin: x.Stdin, StdinOnce: x.Stdin,
	}, nil
}

// execIdentity resolves another user in the files as the running container has
// them now.
func (e *Engine) execIdentity(ctx context.Context, rec containerRecord, asked string) (ident.Identity, error) {
	root, err := e.d.Roots.OpenRoot(ctx, rec.Status.Pid)
	if err != nil {
		return ident.Identity{}, err
	}
	defer func() { _ = root.Close() }()
	return user.Lookup(e.d.Roots, root, ident.Wish{User: asked})
}

func newExec(c *container, id string, due time.Time) *exec {
	return &exec{e: c.e, id: id, c: c, due: due, done: make(chan struct{})}
}

// enter makes the exec known, to the next daemon too.
func (x *exec) enter() error {
	x.e.mu.Lock()
	closed := x.e.closed
	if !closed {
		x.e.execs[x.id] = x
	}
	x.e.mu.Unlock()
	if closed {
		return errClosed
	}
	if err := x.e.d.Store.Put(execKind, x.id, execRecord{ID: x.id, ContainerID: x.c.id, Deadline: x.due}); err != nil {
		x.drop()
		return fmt.Errorf("container %s: exec: record: %w", x.c.title(), err)
	}
	return nil
}

// leave is an ended exec's last act: the sandbox forgets the process, and the engine
// the exec. What a daemon that dies in between leaves, the next one removes.
func (x *exec) leave() {
	ctx, cancel := context.WithTimeout(x.e.ctx, drainGrace)
	defer cancel()
	if err := x.e.d.Processes.Forget(ctx, x.c.pod.id, x.id); err != nil && !fault.Is(err, fault.NotFound) {
		x.e.d.Log.Warn("ended exec is not forgotten", "container", x.c.id, "exec", x.id, "cause", err)
	}
	x.drop()
}

// drop takes an exec out of the engine. One whose record cannot be removed stays, so
// that this is tried again.
func (x *exec) drop() {
	x.stopTimers()
	if err := x.e.d.Store.Delete(execKind, x.id); err != nil {
		x.e.d.Log.Warn("record of an exec stays", "container", x.c.id, "exec", x.id, "cause", err)
		x.forget(execKept, x.drop)
		return
	}
	x.e.mu.Lock()
	defer x.e.mu.Unlock()
	delete(x.e.execs, x.id)
}

// forget lets nobody find the exec any more, and calls last after d.
func (x *exec) forget(d time.Duration, last func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answered = true
	if x.cleanup != nil {
		x.cleanup.Stop()
	}
	x.cleanup = x.e.after(d, last)
}

func (x *exec) stopTimers() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.deadline != nil {
		x.deadline.Stop()
	}
	if x.cleanup != nil {
		x.cleanup.Stop()
	}
}

// arm sets the timer of an exec that has a deadline.
func (x *exec) arm() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.exit == nil && !x.due.IsZero() {
		x.deadline = x.e.after(time.Until(x.due), x.expire)
	}
}

// expire kills all that the exec started.
func (x *exec) expire() {
	x.mu.Lock()
	x.expired = x.exit == nil
	expired := x.expired
	x.mu.Unlock()
	if !expired {
		return
	}
	ctx, cancel := context.WithTimeout(x.e.ctx, drainGrace)
	defer cancel()
	if err := x.e.d.Processes.KillExec(ctx, x.c.pod.id, x.id); err != nil {
		x.e.d.Log.Warn("exec is over its deadline", "container", x.c.id, "exec", x.id, "cause", err)
	}
	select {
	case <-x.done:
	case <-ctx.Done():
		x.ended(status.Exit{Code: 128 + sigKill, Signal: sigKill, At: time.Now()})
	}
}

// ended notes the end and gives whoever may ask for it a minute. Only the first end
// counts.
func (x *exec) ended(exit status.Exit) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.exit != nil {
		return
	}
	x.exit = &exit
	if x.deadline != nil {
		x.deadline.Stop()
	}
	if x.cleanup == nil {
		x.cleanup = x.e.after(execKept, x.leave)
	}
	close(x.done)
}

func (e *Engine) findExec(id string) *exec {
	e.mu.Lock()
	x := e.execs[id]
	e.mu.Unlock()
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.answered {
		return nil
	}
	return x
}

// execsOf returns the execs in a container, those that have ended too.
func (e registry) execsOf(c *container) []*exec {
	e.mu.Lock()
	defer e.mu.Unlock()
	var of []*exec
	for _, x := range e.execs {
		if x.c == c {
			of = append(of, x)
		}
	}
	return of
}

// WaitExec waits for the end of an exec and forgets it; a later call is NotFound.
// Unavailable says that its deadline passed and all it started was killed, or that
// ctx ended, in which case the exec goes on and can be waited for again.
func (e *Engine) WaitExec(ctx context.Context, execID string) (status.Exit, error) {
	x := e.findExec(execID)
	if x == nil {
		return status.Exit{}, name.NotFound("exec", execID)
	}
	select {
	case <-x.done:
	case <-ctx.Done():
		return status.Exit{}, fault.Wrap(fault.Unavailable, "exec "+execID[:12]+": waiting for its end", context.Cause(ctx))
	case <-e.ctx.Done():
		return status.Exit{}, errClosed
	}
	x.forget(0, x.leave) // its end does not wait for what is left of it
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.expired {
		return *x.exit, &DeadlineError{fault.New(fault.Unavailable, "container "+x.c.title()+": exec: timed out, everything it started was killed")}
	}
	return *x.exit, nil
}

// DeadlineError is the end of an exec by its own timeout, in distinction to the end
// of the caller's patience.
type DeadlineError struct{ Err error }

// Error is the cause's text.
func (d *DeadlineError) Error() string { return d.Err.Error() }

// Unwrap returns the cause.
func (d *DeadlineError) Unwrap() error { return d.Err }

// SignalExec sends a signal to the process of an exec.
func (e *Engine) SignalExec(ctx context.Context, execID string, signal int) error {
	x := e.findExec(execID)
	if x == nil {
		return name.NotFound("exec", execID)
	}
	if err := e.d.Processes.Signal(ctx, x.c.pod.id, x.id, signal); err != nil {
		return fmt.Errorf("container %s: exec: signal %d: %w", x.c.title(), signal, err)
	}
	return nil
}
