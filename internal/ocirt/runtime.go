package ocirt

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/task"
)

// Runtime is where containers are known. The zero value is not usable: Root must be set.
type Runtime struct {
	// Root is the directory of all state.
	Root string
	// Systemd asks for cgroups by way of systemd, StartScope for one scope around a
	// process, as systemd.StartUnit does.
	Systemd    bool
	StartScope func(ctx context.Context, u ocispec.Unit, pid int) error
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

// Record is what is written down of a container.
type Record struct {
	Version string  `json:"ociVersion"`
	ID      string  `json:"id"`
	Init    task.ID `json:"init"`
	Bundle  string  `json:"bundle"`
	Rootfs  string  `json:"rootfs"`
	Cgroup  string  `json:"cgroup"` // "" is none
	// Created is when create came to its end.
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// SharedPids says that the container has no pid namespace of its own: its processes
	// do not end with the first.
	SharedPids bool `json:"sharedPids,omitempty"`
	// LastStep is the number of the program's last step, execve. Besides that only the
	// loading of a filter can fail after create.
	LastStep int `json:"lastStep"`
}

// Container is one that Load or Create has returned.
type Container struct {
	Record
	r   *Runtime
	dir string
}

const (
	recordFile = "record.json"
	configFile = "config.json"
	startFile  = "start"
	reportFile = "report"
)

// errMissing has the words that tools look for.
func errMissing() error { return fault.New(fault.NotFound, "container does not exist") }

// Load finds a container. NotFound says "container does not exist".
func (r *Runtime) Load(id string) (*Container, error) {
	if err := ocispec.ID(id); err != nil {
		return nil, err
	}
	c := &Container{r: r, dir: filepath.Join(r.Root, id)}
	text, err := os.ReadFile(c.file(recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMissing()
	}
	if err != nil {
		return nil, err
	}
	return c, json.Unmarshal(text, &c.Record)
}

func (c *Container) file(name string) string { return filepath.Join(c.dir, name) }

// lock makes changes of one container follow one another. The caller closes the file.
func (c *Container) lock() (*os.File, error) { return fd.Lock(c.file("lock"), true) }

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

// Paused is what a running container is while its processes are frozen: a state that runc
// has besides the specification's.
const Paused specs.ContainerState = "paused"

// Status asks the kernel what the container is.
func (c *Container) Status() (specs.ContainerState, error) {
	if !c.Init.Lives() {
		return specs.StateStopped, nil
	}
	if _, err := os.Lstat(c.file(startFile)); err == nil {
		return specs.StateCreated, nil
	}
	frozen, err := frozen(c)
	if err != nil {
		return "", err
	}
	if frozen {
		return Paused, nil
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

// Config returns the configuration that the container was created from.
func (c *Container) Config() (*specs.Spec, error) {
	f, err := os.Open(c.file(configFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return c.r.parse(f)
}

func (r *Runtime) parse(text io.Reader) (*specs.Spec, error) {
	s, err := ocispec.Parse(text)
	if err == nil && r.InUsers {
		ocispec.InUsers(s)
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

// write puts the record down: from then on the container exists.
func (c *Container) write() error {
	text, err := json.Marshal(c.Record)
	if err != nil {
		return err
	}
	next := c.file(recordFile + ".next")
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, c.file(recordFile))
}
