package ocirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/spawn"
)

// Hold keeps all others from a running or paused container while f does something with it,
// which is told its configuration and its cgroup. If f says that it is gone then, what is
// left of it is removed.
func (c *Container) Hold(ctx context.Context, f func(*specs.Spec, *cgroup.Group) (gone bool, err error)) error {
	lock, err := c.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	status, err := c.Status()
	if err != nil {
		return err
	}
	if waits(c) {
		status = specs.StateCreated
	}
	if status != specs.StateRunning && status != Paused {
		return fault.New(fault.Conflict, fmt.Sprintf("container cannot be checkpointed in %s state", status))
	}
	spec, err := c.Config()
	if err != nil {
		return err
	}
	group, err := c.group()
	if err != nil {
		return err
	}
	gone, err := f(spec, group)
	if err != nil || !gone {
		return err
	}
	return errors.Join(end(c.Init), remove(ctx, c))
}

// Making is a container whose process somebody else makes.
type Making struct {
	*Container
	// Dir is the container's own directory, Group its cgroup, which is there.
	Dir   string
	Spec  *specs.Spec
	Group *cgroup.Group
	// Hooks runs the hooks that are due when a process has its namespaces and nothing in them.
	Hooks func(pid int) error
	// Terminal takes a copy of the master of the container's terminal.
	Terminal func(master *os.File) error
}

// Rebuild is Create with a process that runs already: how it has come to be is make's
// affair, which returns its number. Nothing is mounted.
func (r *Runtime) Rebuild(ctx context.Context, o CreateOptions, make func(Making) (pid int, err error)) (c *Container, err error) {
	n, err := r.creation(o)
	if err != nil {
		return nil, err
	}
	defer func() { fd.CloseAll([]*os.File{n.claimed}) }()
	defer n.undo.OnError(ctx, &err)
	defer n.close()
	if n.spec.Linux.IntelRdt != nil { // all that runs would have to be moved, while it makes more
		return nil, fault.New(fault.Unsupported, "linux.intelRdt: a container is not restored into a resctrl group")
	}
	if err := n.claim(); err != nil {
		return nil, err
	}
	group, err := n.limit(ctx)
	if err != nil {
		return nil, err
	}
	s := scene{spec: n.spec, bundle: n.o.Bundle}
	n.Rootfs = s.rootPath()
	pid, err := make(Making{
		Container: n.Container, Dir: n.dir, Spec: n.spec, Group: group,
		Hooks: func(pid int) error { return n.made(ctx, pid) },
		Terminal: func(master *os.File) (err error) {
			n.term.Master, err = fd.Dup(master)
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return n.Container, n.finish(pid)
}

// made runs those hooks by which a network is made.
func (n *creation) made(ctx context.Context, pid int) error {
	h := n.spec.Hooks
	if h == nil {
		return nil
	}
	state := n.State(specs.StateCreating)
	state.Pid = pid
	//lint:ignore SA1019 a deprecated field must still be honoured
	if err := runHooks(ctx, "prestart", h.Prestart, state); err != nil {
		return err
	}
	return runHooks(ctx, "createRuntime", h.CreateRuntime, state)
}

// creation begins a create: it reads the bundle and makes nothing yet.
func (r *Runtime) creation(o CreateOptions) (n *creation, err error) {
	if err := ocispec.ID(o.ID); err != nil {
		return nil, err
	}
	if o.Bundle, err = filepath.Abs(o.Bundle); err != nil {
		return nil, err
	}
	n = &creation{Container: &Container{r: r, dir: filepath.Join(r.Root, o.ID)}, o: o}
	return n, n.read()
}

// Launch starts a program with this process's streams, as its child, and returns its number
// when it has come to its command.
func Launch(program *spawn.Builder, passed []*os.File) (pid int, err error) {
	c, err := launch(program, nil, passed, nil)
	if err != nil {
		return 0, err
	}
	return c.pid, c.converse(nil)
}
