package ocirt

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/initstage"
	"carob/internal/sys/task"
)

// Rooted starts this program anew, with these arguments and this process's environment and
// descriptors, as its child and as root of a user namespace that is mapped as the bundle's
// configuration asks for. It is what a user can do who is root nowhere: the namespaces and
// mounts of a container are then made by that root, whose the container's user namespace is.
func Rooted(ctx context.Context, bundle string, args []string) (pid int, err error) {
	f, err := os.Open(filepath.Join(bundle, "config.json"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	s, err := ocispec.Parse(f)
	if err == nil {
		err = ocispec.OwnRoot(s, os.Geteuid(), os.Getegid())
	}
	if err != nil {
		return 0, fmt.Errorf("config.json: %w", err)
	}
	return rooted(initstage.Rooted{Args: args}, nil, func(pid int) error { return mapOwn(ctx, pid, s.Linux) })
}

// RootedIn is Rooted for one more process of a container: it joins its user namespace.
func RootedIn(c *Container, args []string) (pid int, err error) {
	init, err := c.Init.Open()
	if err != nil {
		return 0, err
	}
	defer init.Close()
	return rooted(initstage.Rooted{Args: args, Join: true}, init, nil)
}

func rooted(r initstage.Rooted, target *os.File, mapping func(pid int) error) (pid int, err error) {
	ready, turn, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ready.Close()
	defer turn.Close()
	r.Env, r.Alone.Turn, r.Alone.Release = os.Environ(), 0, 1
	c, err := launch(r.Program(), nil, []*os.File{ready, turn}, target)
	if err != nil {
		return 0, err
	}
	c.turn = turn
	return c.pid, c.converse(answers{initstage.StepMapping: func(pid int, _ uint64) error { return mapping(pid) }})
}

// mapOwn gives a process's user namespace its mapping. One's own id the kernel lets everybody
// map; for others there are two programs that know whose they are (subuid(5)).
func mapOwn(ctx context.Context, pid int, l *specs.Linux) error {
	if len(l.UIDMappings) == 1 && l.UIDMappings[0].Size == 1 && len(l.GIDMappings) == 1 && l.GIDMappings[0].Size == 1 {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/setgroups", pid), []byte("deny"), 0); err != nil {
			return err
		}
		return task.Map(pid, ranges(l.UIDMappings), ranges(l.GIDMappings))
	}
	for _, m := range []struct {
		tool, field string
		ranges      []specs.LinuxIDMapping
	}{{"newuidmap", "linux.uidMappings", l.UIDMappings}, {"newgidmap", "linux.gidMappings", l.GIDMappings}} {
		args := []string{strconv.Itoa(pid)}
		for _, r := range m.ranges {
			args = append(args, fmt.Sprint(r.ContainerID), fmt.Sprint(r.HostID), fmt.Sprint(r.Size))
		}
		if out, err := exec.CommandContext(ctx, m.tool, args...).CombinedOutput(); err != nil {
			return fault.Wrap(fault.Denied, m.field+": more than the caller's own id: "+m.tool, fmt.Errorf("%w: %s", err, bytes.TrimSpace(out)))
		}
	}
	return nil
}
