package pod

import (
	"context"
	"errors"
	"fmt"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/plan/ident"
	"carob/internal/plan/oci"
	"carob/internal/pod/execs"
	"carob/internal/pod/name"
	"carob/internal/pod/record"
	"carob/internal/pod/user"
	"carob/internal/spec"
	"carob/internal/status"
)

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
		return "", c.fault(fault.Conflict, fmt.Sprintf("exec: is %s, not running", st.State))
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
	run := execs.Exec{ID: name.NewID(), Container: placeOf(c), Due: p.Deadline}
	p.ID, p.Streams = run.ID, io
	err = e.execs.Run(run, func() error {
		_, err := e.d.Processes.Exec(ctx, p)
		return err
	})
	if err != nil {
		return "", execFault(c, err)
	}
	c.event("exec", map[string]string{"exec": run.ID})
	return run.ID, nil
}

// placeOf says where a container's execs are.
func placeOf(c *container) execs.Container {
	return execs.Container{ID: c.id, PodID: c.pod.id, Title: c.title()}
}

func execFault(c *container, err error) error {
	err = commandFault(err)
	var refused *status.StartError
	if errors.As(err, &refused) {
		return &status.StartError{Code: refused.Code, Err: fmt.Errorf("container %s: exec: %w", c.title(), refused.Err)}
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
	if x.User != "" && x.User != rec.User() {
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
func (e *Engine) execIdentity(ctx context.Context, rec record.Container, asked string) (ident.Identity, error) {
	root, err := e.d.Roots.OpenRoot(ctx, rec.Status.Pid)
	if err != nil {
		return ident.Identity{}, err
	}
	defer func() { _ = root.Close() }()
	return user.Lookup(e.d.Roots, root, ident.Wish{User: asked})
}

// WaitExec waits for the end of an exec and forgets it: see execs.Table.Wait.
func (e *Engine) WaitExec(ctx context.Context, execID string) (status.Exit, error) {
	return e.execs.Wait(ctx, execID)
}

// SignalExec sends a signal to the process of an exec.
func (e *Engine) SignalExec(ctx context.Context, execID string, signal int) error {
	x, ok := e.execs.Find(execID)
	if !ok {
		return name.NotFound("exec", execID)
	}
	if err := e.d.Processes.Signal(ctx, x.PodID, x.ID, signal); err != nil {
		return fmt.Errorf("container %s: exec: signal %d: %w", x.Title, signal, err)
	}
	return nil
}
