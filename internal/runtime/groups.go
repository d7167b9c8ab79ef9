package runtime

import (
	"context"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/status"
	"carob/internal/sys/cgroup"
)

// CreateGroup makes a cgroup with these limits.
func (n *Native) CreateGroup(_ context.Context, path string, limits *specs.LinuxResources) error {
	_, err := n.layout.Create(path, limits)
	return err
}

// UpdateGroup changes limits of a live group, all or nothing.
func (n *Native) UpdateGroup(_ context.Context, path string, limits *specs.LinuxResources) error {
	g, err := n.layout.Open(path)
	if err != nil {
		return err
	}
	return g.Set(limits)
}

// FreezeGroup stops or continues every process in the group.
func (n *Native) FreezeGroup(ctx context.Context, path string, frozen bool) error {
	g, err := n.layout.Open(path)
	if err != nil {
		return err
	}
	if frozen {
		return g.Freeze(ctx)
	}
	return g.Thaw(ctx)
}

// KillGroup kills every process in the group and below.
func (n *Native) KillGroup(ctx context.Context, path string) error {
	g, err := n.open(path)
	if g == nil {
		return err
	}
	return g.Kill(ctx, int(syscall.SIGKILL))
}

// RemoveGroup removes the group and those below it.
func (n *Native) RemoveGroup(ctx context.Context, path string) error {
	g, err := n.open(path)
	if g == nil {
		return err
	}
	return g.Remove(ctx)
}

// open is for what must succeed on a group that is gone: it returns nil, nil.
func (n *Native) open(path string) (*cgroup.Group, error) {
	g, err := n.layout.Open(path)
	if isGone(err) {
		return nil, nil
	}
	return g, err
}

func (n *Native) pids(path string) ([]int, error) {
	g, err := n.open(path)
	if g == nil {
		return nil, err
	}
	return g.Procs()
}

// GroupStats reads current use.
func (n *Native) GroupStats(_ context.Context, path string) (status.Stats, error) {
	g, err := n.layout.Open(path)
	if err != nil {
		return status.Stats{}, err
	}
	s, err := g.Stats()
	if err != nil {
		return status.Stats{}, err
	}
	return statsOf(s, time.Now()), nil
}
