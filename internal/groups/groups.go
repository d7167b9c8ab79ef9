// Package groups keeps the cgroups of pods and containers and reads what the kernel
// shows of their processes: it implements the engine's Groups and Observer. Whoever
// runs a pod, its groups are made and watched here. It keeps no state besides the
// host's layout of hierarchies, and opens what it reads anew each time.
package groups

import (
	"context"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/status"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
)

// Groups is the host's cgroups. New makes one; it is safe for concurrent use.
type Groups struct{ layout *cgroup.Layout }

// New returns the groups of a host.
func New(layout *cgroup.Layout) *Groups { return &Groups{layout} }

// CreateGroup makes a cgroup with these limits, or gives them to one that is there. In a
// scope that is not there, nothing is made.
func (g *Groups) CreateGroup(ctx context.Context, path string, limits *specs.LinuxResources) error {
	if cgroup.Scopeless(g.layout, path) {
		return nil
	}
	_, err := g.layout.Create(path, limits)
	if fault.Is(err, fault.Exists) {
		return g.UpdateGroup(ctx, path, limits)
	}
	return err
}

// UpdateGroup changes limits of a live group, all or nothing. In a scope that is not
// there, nothing is changed.
func (g *Groups) UpdateGroup(_ context.Context, path string, limits *specs.LinuxResources) error {
	return g.update(path, limits, (*cgroup.Group).Set)
}

// UpdateGroupWithin is UpdateGroup where a CPU quota beyond what the groups above leave is
// theirs: a kubelet that gives a pod more asks the runtime first and raises its own group
// of the pod afterwards.
func (g *Groups) UpdateGroupWithin(_ context.Context, path string, limits *specs.LinuxResources) error {
	return g.update(path, limits, cgroup.SetWithin)
}

func (g *Groups) update(path string, limits *specs.LinuxResources, set func(*cgroup.Group, *specs.LinuxResources) error) error {
	if cgroup.Scopeless(g.layout, path) {
		return nil
	}
	c, err := g.layout.Open(path)
	if err != nil {
		return err
	}
	return set(c, limits)
}

// FreezeGroup stops or continues every process in the group.
func (g *Groups) FreezeGroup(ctx context.Context, path string, frozen bool) error {
	c, err := g.layout.Open(path)
	if err != nil {
		return err
	}
	if frozen {
		return c.Freeze(ctx)
	}
	return c.Thaw(ctx)
}

// KillGroup kills every process in the group and below.
func (g *Groups) KillGroup(ctx context.Context, path string) error {
	c, err := g.open(path)
	if c == nil {
		return err
	}
	return c.Kill(ctx, fd.SIGKILL)
}

// RemoveGroup removes the group and those below it, and parents that were made for it
// alone. A group that has gone is success.
func (g *Groups) RemoveGroup(ctx context.Context, path string) error {
	return g.layout.Remove(ctx, path)
}

// open is for what must succeed on a group that is gone: it returns nil, nil.
func (g *Groups) open(path string) (*cgroup.Group, error) {
	c, err := g.layout.Open(path)
	if isGone(err) {
		return nil, nil
	}
	return c, err
}

func (g *Groups) pids(path string) ([]int, error) {
	c, err := g.open(path)
	if c == nil {
		return nil, err
	}
	return c.Procs()
}

// GroupStats reads current use.
func (g *Groups) GroupStats(_ context.Context, path string) (status.Stats, error) {
	c, err := g.layout.Open(path)
	if err != nil {
		return status.Stats{}, err
	}
	s, err := c.Stats()
	if err != nil {
		return status.Stats{}, err
	}
	return statsOf(s, time.Now()), nil
}
