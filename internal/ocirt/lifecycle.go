package ocirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/ns"
	"carob/internal/sys/task"
)

// Start lets a created container's process execute its command. An error that the command
// itself gives is returned; the container is stopped then.
func (c *Container) Start(ctx context.Context) error {
	lock, err := c.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	if c.door.knock != nil { // nobody else can have started it
		return c.begin(ctx)
	}
	status, err := c.Status()
	if err != nil {
		return err
	}
	switch status {
	case specs.StateCreated:
		return c.begin(ctx)
	case specs.StateStopped:
		return fault.New(fault.Conflict, "cannot start a container that has stopped")
	case Paused:
		return fault.New(fault.Conflict, "cannot start a container in the paused state")
	}
	return fault.New(fault.Conflict, "cannot start an already running container")
}

// begin is start of a created container. A hook that fails is the end of it.
func (c *Container) begin(ctx context.Context) error {
	spec, err := settled(c)
	if err != nil {
		return err
	}
	hooks := spec.Hooks
	if hooks == nil {
		hooks = &specs.Hooks{}
	}
	if len(hooks.StartContainer) > 0 {
		if err := home(c, spec.Process); err != nil {
			return err
		}
		list := hookList{"startContainer", withEnv(hooks.StartContainer, spec.Process.Env)}
		if err := runHooksInside(ctx, list, c.State(specs.StateCreated), asProcess(c, spec)); err != nil {
			return errors.Join(err, c.Init.Signal(fd.SIGKILL))
		}
	}
	if err := knock(c); err != nil {
		return named(spec.Process, err)
	}
	if err := runHooks(ctx, "poststart", hooks.Poststart, c.State(specs.StateRunning)); err != nil {
		return errors.Join(err, c.Init.Signal(fd.SIGKILL))
	}
	return nil
}

// home completes a process's environment from the container's own root.
func home(c *Container, p *specs.Process) error {
	root, err := ns.Root(c.Init.Pid)
	if err != nil {
		return err
	}
	defer root.Close()
	return setEnv(p, root)
}

// withEnv gives hooks without an environment of their own the process's.
func withEnv(hooks []specs.Hook, env []string) []specs.Hook {
	hooks = slices.Clone(hooks)
	for i := range hooks {
		if hooks[i].Env == nil {
			hooks[i].Env = env
		}
	}
	return hooks
}

// Signal sends a signal to the container's first process, or with all to every process in
// its cgroup. In the states of a created or running container only; otherwise the error
// says "container not running".
func (c *Container) Signal(ctx context.Context, sig int, all bool) error {
	if all || c.SharedPids && sig == fd.SIGKILL {
		g, err := c.group()
		if err == nil {
			return g.Kill(ctx, sig)
		}
		if !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	if !c.Init.Lives() {
		return fault.New(fault.Conflict, "container not running")
	}
	if frozen, err := frozen(c); sig == fd.SIGKILL && err == nil && frozen {
		return thaw(ctx, c, Paused)
	}
	return c.Init.Signal(sig)
}

// Delete removes what a stopped container has left, and a created one, after it has been
// killed. With force also one that runs.
func (c *Container) Delete(ctx context.Context, force bool) error {
	lock, err := c.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	status, err := c.Status()
	if err != nil && !force {
		return err
	}
	if status != specs.StateStopped {
		if !force && status != specs.StateCreated {
			return fault.New(fault.Conflict, fmt.Sprintf("cannot delete container %s that is not stopped: %s", c.ID, status))
		}
		if err := thaw(ctx, c, status); err != nil {
			return err
		}
		if err := end(c.Init); err != nil {
			return err
		}
	}
	return remove(ctx, c)
}

// thaw kills the processes of a paused container, which on cgroup v1 could not die.
func thaw(ctx context.Context, c *Container, status specs.ContainerState) error {
	if status != Paused {
		return nil
	}
	g, err := c.group()
	if err != nil {
		return err
	}
	return g.Kill(ctx, fd.SIGKILL)
}

// endTime is how long a killed process may take to be gone, in milliseconds: it has
// memory to give back and file systems to leave.
const endTime = 10_000

// end kills a process and waits for its end.
func end(init task.ID) error {
	pidfd, err := init.Open()
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pidfd.Close()
	if err := init.Signal(fd.SIGKILL); err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	ended, err := task.AwaitEnd(pidfd, endTime)
	if err == nil && !ended {
		err = fault.New(fault.Unavailable, "container init still running")
	}
	return err
}

// remove takes away the cgroup with all that is left in it, runs the hooks, and forgets
// the container.
func remove(ctx context.Context, c *Container) error {
	if c.Cgroup != "" {
		layout, err := c.r.groups()
		if err != nil {
			return err
		}
		if err := removeGroup(ctx, layout, c.Cgroup); err != nil {
			return err
		}
	}
	if spec, err := settled(c); err == nil {
		if err := unshare(c, spec); err != nil {
			return err
		}
		if spec.Hooks != nil {
			c.r.afterwards(ctx, spec.Hooks.Poststop, c.State(specs.StateStopped))
		}
	}
	return os.RemoveAll(c.dir)
}

// removeGroup removes a cgroup, with all who are left in it. Of a container with a pid
// namespace of its own nobody is.
func removeGroup(ctx context.Context, layout *cgroup.Layout, path string) error {
	once, cancel := context.WithCancel(ctx)
	cancel()
	if err := layout.Remove(once, path); !fault.Is(err, fault.Conflict) {
		return err
	}
	ctx, cancel = context.WithTimeout(ctx, endTime*time.Millisecond)
	defer cancel()
	g, err := layout.Open(path)
	if err == nil {
		err = g.Kill(ctx, fd.SIGKILL)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return layout.Remove(ctx, path)
}

// Discard removes what a create that did not come to its end has left of an id. One that
// is under way fails then.
func (r *Runtime) Discard(id string) error {
	if err := ocispec.ID(id); err != nil {
		return err
	}
	dir := filepath.Join(r.Root, id)
	lock, err := fd.LockDir(dir) // a delete under way may have removed the record already
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	return os.RemoveAll(dir)
}
