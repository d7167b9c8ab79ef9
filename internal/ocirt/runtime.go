package ocirt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/world"
)

// Runtime is where containers are known. The zero value is not usable: Root must be set.
type Runtime struct {
	// Root is the directory of all state.
	Root string
	// Systemd asks for cgroups by way of systemd, StartScope for one scope around a
	// process, as systemd.StartUnit does.
	Systemd    bool
	StartScope func(ctx context.Context, u ocispec.Unit, pid int) error
	Resctrl    Resctrl
	// Rootless says that this process has no rights on the host outside of its user
	// namespace: what takes them is done another way, or left out where runc does so.
	Rootless bool
	// InUsers says that this process is in the user namespace that the configuration asks
	// for, as Rooted has put it there.
	InUsers bool
	// Warn is told what the specification wants to be a warning and no error; nil is nobody.
	Warn func(string)

	once   sync.Once
	layout *cgroup.Layout
	failed error
}

// groups finds out how the host has its cgroups mounted, when that is first needed.
func (r *Runtime) groups() (*cgroup.Layout, error) {
	r.once.Do(func() { r.layout, r.failed = cgroup.Detect() })
	return r.layout, r.failed
}

// Container is one that Load or Create has returned.
type Container struct {
	Record
	r    *Runtime
	dir  string
	line []byte // the record as it is written down
	// spec is the configuration as create has completed it, nil in a later process.
	spec *specs.Spec
	door door
}

// errMissing has the words that tools look for.
func errMissing() error { return fault.New(fault.NotFound, "container does not exist") }

func (c *Container) file(name string) string { return filepath.Join(c.dir, name) }

// lock makes changes of one container follow one another. The container may have been
// deleted while this process waited, or before; one of its name that is there now is
// another. The caller closes the file.
func (c *Container) lock() (*os.File, error) {
	f, err := fd.LockDir(c.dir)
	if fault.Is(err, fault.NotFound) {
		return nil, errMissing()
	}
	if err != nil {
		return nil, err
	}
	now, _, err := kept(c)
	if err == nil && !bytes.Equal(now, c.line) {
		err = errMissing()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// List finds all containers, in the order of their names. What is made or removed
// meanwhile may be missing.
func (r *Runtime) List() ([]*Container, error) {
	entries, err := os.ReadDir(r.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []*Container
	for _, e := range entries {
		if c, err := r.Load(e.Name()); err == nil {
			out = append(out, c)
		}
	}
	return out, nil
}

// Paused is what a created or running container is while its processes are frozen: a state
// that runc has besides the specification's.
const Paused specs.ContainerState = "paused"

// Status asks the kernel what the container is.
func (c *Container) Status() (specs.ContainerState, error) {
	if !c.Init.Lives() {
		return specs.StateStopped, nil
	}
	frozen, err := frozen(c)
	switch {
	case err != nil:
		return "", err
	case frozen: // it cannot be started, and has to be found paused to be resumed
		return Paused, nil
	case waits(c):
		return specs.StateCreated, nil
	}
	return specs.StateRunning, nil
}

func frozen(c *Container) (bool, error) {
	g, err := c.group()
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	frozen, err := g.Frozen()
	if fault.Is(err, fault.Unsupported) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return frozen, err
}

// group opens the container's cgroup.
func (c *Container) group() (*cgroup.Group, error) {
	if c.Cgroup == "" {
		return nil, fault.New(fault.NotFound, "a rootless container without a cgroup of its own")
	}
	l, err := c.r.groups()
	if err != nil {
		return nil, err
	}
	return l.Open(c.Cgroup)
}

func (r *Runtime) parse(text io.Reader) (*specs.Spec, error) {
	s, err := ocispec.Parse(text)
	if err == nil && r.InUsers {
		ocispec.InUsers(s)
	}
	if err == nil {
		err = world.MayLabel("linux.mountLabel", s.Linux.MountLabel)
	}
	if err == nil {
		err = world.MayLabel("process.selinuxLabel", s.Process.SelinuxLabel)
	}
	return s, err
}

// State is the specification's state of the container, in the given status.
func (c *Container) State(s specs.ContainerState) specs.State {
	state := specs.State{
		Version: specs.Version, ID: c.ID, Status: s, Pid: c.Init.Pid, Bundle: c.Bundle, Annotations: c.Annotations,
	}
	if s == specs.StateStopped {
		state.Pid = 0
	}
	return state
}
