package systest

import (
	"context"
	"maps"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/cgroup"
	"carob/internal/status"
)

type groups struct{ m *Machine }

func (g groups) CreateGroup(ctx context.Context, path string, _ *specs.LinuxResources) error {
	return g.m.do(ctx, "CreateGroup", func() error {
		if !scopelessLocked(g.m, path) {
			g.m.groups[path] = true
		}
		return nil
	})
}

// scopelessLocked reports whether a group would be in a pod's scope that is not there:
// a scope comes with the sandbox.
func scopelessLocked(m *Machine, path string) bool {
	u, ok := cgroup.Scope(path)
	return ok && m.boxes[strings.TrimSuffix(strings.TrimPrefix(u.Name, "carob-"), ".scope")] == nil
}

// leaveLocked ends a sandbox; its scope goes with it.
func leaveLocked(m *Machine, podID string) {
	delete(m.boxes, podID)
	maps.DeleteFunc(m.groups, func(path string, _ bool) bool { return scopelessLocked(m, path) })
}

func (g groups) exists(ctx context.Context, call, path string) error {
	return g.m.do(ctx, call, func() error {
		if !g.m.groups[path] {
			return missing("cgroup " + path)
		}
		return nil
	})
}

func (g groups) UpdateGroup(ctx context.Context, path string, _ *specs.LinuxResources) error {
	return g.m.do(ctx, "UpdateGroup", func() error {
		if !g.m.groups[path] && !scopelessLocked(g.m, path) {
			return missing("cgroup " + path)
		}
		return nil
	})
}

func (g groups) FreezeGroup(ctx context.Context, path string, _ bool) error {
	return g.exists(ctx, "FreezeGroup", path)
}

func (g groups) KillGroup(ctx context.Context, path string) error {
	return g.m.do(ctx, "KillGroup", func() error {
		for podID, b := range g.m.boxes {
			for id, p := range b.procs {
				if strings.HasSuffix(path, "/"+id) && p.exit == nil {
					g.m.endLocked(podID, id, p, status.Exit{Code: 137, Signal: 9})
				}
			}
		}
		return nil
	})
}

func (g groups) RemoveGroup(ctx context.Context, path string) error {
	return g.m.do(ctx, "RemoveGroup", func() error {
		for _, b := range g.m.boxes {
			for id, p := range b.procs {
				if strings.HasSuffix(path, "/"+id) && p.exit == nil {
					return fault.New(fault.Conflict, "systest: cgroup "+path+" has processes")
				}
			}
		}
		delete(g.m.groups, path)
		return nil
	})
}

func (g groups) GroupStats(ctx context.Context, path string) (status.Stats, error) {
	return status.Stats{At: time.Now(), Pids: 1}, g.exists(ctx, "GroupStats", path)
}

func (g groups) GroupProcesses(ctx context.Context, path string) ([]status.Process, error) {
	return []status.Process{{Pid: 1}}, g.exists(ctx, "GroupProcesses", path)
}
