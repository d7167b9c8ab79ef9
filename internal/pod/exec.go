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
type exec struct {
	e  *Engine
	id string
	c  *container

	// done is closed when the process and all its output have ended.
	done chan struct{}

	// mu guards what follows. It is a leaf.
	mu       sync.Mutex
	exit     *status.Exit
	expired  bool
	deadline *time.Timer
	// cleanup is the timer after which nobody is expected to ask.
	cleanup *time.Timer
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
	st := &c.view.load().status
	switch {
	case st.State != lifecycle.ContainerRunning:
		return "", c.fault(fault.Conflict, fmt.Sprintf("exec: cannot while %s", st.State))
	case st.Paused:
		return "", c.fault(fault.Conflict, "exec: is paused; unpause it first")
	}
	run := &exec{e: e, id: newID(), c: c, done: make(chan struct{})}
	p, err := e.execProcess(ctx, c, x)
	if err != nil {
		return "", fmt.Errorf("container %s: exec: %w", c.title(), err)
	}
	p.ID, p.Streams = run.id, io
	if err := run.enter(); err != nil {
		return "", err
	}
	if x.Timeout > 0 {
		p.Deadline = time.Now().Add(time.Duration(x.Timeout))
	}
	if _, err := e.d.Processes.Exec(ctx, p); err != nil {
		run.leave()
		return "", execFault(c, err)
	}
	if x.Timeout > 0 {
		run.arm(time.Until(p.Deadline))
	}
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
		IDs: c.pod.view.load().status.UserMapping, Cgroup: rec.Status.Cgroup, Stdin: x.Stdin, StdinOnce: x.Stdin,
	}, nil
}

// execIdentity resolves another user in the files as the running container has
// them now.
func (e *Engine) execIdentity(ctx context.Context, rec containerRecord, user string) (ident.Identity, error) {
	root, err := e.d.Roots.OpenRoot(ctx, rec.Status.Pid)
	if err != nil {
		return ident.Identity{}, err
	}
	defer closeFile(root)
	return starter{e}.identity(root, user, nil)
}

func (x *exec) enter() error {
	x.e.mu.Lock()
	defer x.e.mu.Unlock()
	if x.e.closed {
		return errClosed
	}
	x.e.execs[x.id] = x
	return nil
}

// leave takes an exec out of the engine: its last act.
func (x *exec) leave() {
	x.e.mu.Lock()
	delete(x.e.execs, x.id)
	x.e.mu.Unlock()
	x.stopTimers()
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

func (x *exec) arm(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.exit == nil {
		x.deadline = x.e.after(d, x.expire)
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

// ended notes the end, lets the sandbox forget the process, and gives whoever may
// ask for the end a minute. Only the first end counts.
func (x *exec) ended(exit status.Exit) {
	x.mu.Lock()
	if x.exit != nil {
		x.mu.Unlock()
		return
	}
	x.exit = &exit
	if x.deadline != nil {
		x.deadline.Stop()
	}
	x.cleanup = x.e.after(execKept, x.leave)
	x.mu.Unlock()
	ctx, cancel := context.WithTimeout(x.e.ctx, drainGrace)
	defer cancel()
	if err := x.e.d.Processes.Forget(ctx, x.c.pod.id, x.id); err != nil && !fault.Is(err, fault.NotFound) {
		x.e.d.Log.Warn("ended exec is not forgotten", "container", x.c.id, "exec", x.id, "cause", err)
	}
	close(x.done)
}

func (e *Engine) findExec(id string) *exec {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.execs[id]
}

// WaitExec waits for the end of an exec and forgets it; a later call is NotFound.
// Unavailable says that its deadline passed and all it started was killed, or that
// ctx ended, in which case the exec goes on and can be waited for again.
func (e *Engine) WaitExec(ctx context.Context, execID string) (status.Exit, error) {
	x := e.findExec(execID)
	if x == nil {
		return status.Exit{}, notFound("exec", execID)
	}
	select {
	case <-x.done:
	case <-ctx.Done():
		return status.Exit{}, fault.Wrap(fault.Unavailable, "exec "+execID[:12]+": waiting for its end", context.Cause(ctx))
	case <-e.ctx.Done():
		return status.Exit{}, errClosed
	}
	x.leave()
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
		return notFound("exec", execID)
	}
	if err := e.d.Processes.Signal(ctx, x.c.pod.id, x.id, signal); err != nil {
		return fmt.Errorf("container %s: exec: signal %d: %w", x.c.title(), signal, err)
	}
	return nil
}
