package ocirt

import (
	"context"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/task"
)

// Processes lists the numbers of the container's processes.
func (c *Container) Processes() ([]int, error) {
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	return g.Procs()
}

// Pause stops every process of a running container, or of a created one, and Resume lets
// them go on.
func (c *Container) Pause(ctx context.Context) error {
	return c.inStatus("container not running or created", func(g *cgroup.Group) error { return g.Freeze(ctx) },
		specs.StateRunning, specs.StateCreated)
}

// Resume is the reverse of Pause.
func (c *Container) Resume(ctx context.Context) error {
	return c.inStatus("container not paused", func(g *cgroup.Group) error { return g.Thaw(ctx) }, Paused)
}

// inStatus does something to the cgroup of a container in one of these states.
func (c *Container) inStatus(otherwise string, do func(*cgroup.Group) error, which ...specs.ContainerState) error {
	lock, err := c.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	status, err := c.Status()
	if err != nil {
		return err
	}
	for _, s := range which {
		if s != status {
			continue
		}
		g, err := c.group()
		if err != nil {
			return err
		}
		return do(g)
	}
	return fault.New(fault.Conflict, otherwise)
}

// Update changes limits, all or nothing; what is left out stays as it is.
func (c *Container) Update(limits *specs.LinuxResources) error {
	if len(limits.Devices) > 0 {
		limits.Devices = ocispec.DeviceRules(limits.Devices)
	}
	return c.inStatus("container not running, created or paused", func(g *cgroup.Group) error { return g.Set(limits) },
		specs.StateRunning, specs.StateCreated, Paused)
}

// Stats reads what the container uses now.
func (c *Container) Stats() (cgroup.Stats, error) {
	if !c.Init.Lives() {
		return cgroup.Stats{}, fault.New(fault.Conflict, fmt.Sprintf("container with id %s is not running", c.ID))
	}
	g, err := c.group()
	if err != nil {
		return cgroup.Stats{}, err
	}
	return g.Stats()
}

// Watch tells of each time that the kernel is out of memory for the container, and closes
// ended when its first process has ended. Both goroutines end with ctx, or with that
// process.
func Watch(ctx context.Context, c *Container) (oom, ended <-chan struct{}, err error) {
	pidfd, err := c.Init.Open()
	if err != nil {
		return nil, nil, err
	}
	g, err := c.group()
	if err != nil {
		pidfd.Close()
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	killed, gone := make(chan struct{}), make(chan struct{})
	go func() { // without a memory controller there is nothing to tell
		_ = cgroup.WatchOOM(ctx, g, func() {
			select {
			case killed <- struct{}{}:
			case <-ctx.Done():
			}
		})
	}()
	go func() {
		defer cancel()
		defer close(gone)
		defer pidfd.Close()
		for ctx.Err() == nil {
			if over, err := task.AwaitEnd(pidfd, endTime); over || err != nil {
				return
			}
		}
	}()
	return killed, gone, nil
}

// Controllers lists what limits can be set on this host, by the names of cgroup v2, and
// whether that is by v1 hierarchies.
func (r *Runtime) Controllers() (names []string, mode cgroup.Mode, err error) {
	l, err := r.groups()
	if err != nil {
		return nil, cgroup.ModeNone, err
	}
	return l.Controllers(), l.Mode(), nil
}
