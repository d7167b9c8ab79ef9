package ocirt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/ns"
	"carob/internal/sys/spawn"
	"carob/internal/sys/task"
	"carob/internal/undo"
	"carob/internal/world"
)

// CreateOptions are a create's.
type CreateOptions struct {
	ID, Bundle string
	// PidFile gets the number of the container's first process.
	PidFile string
	// ConsoleSocket is who gets the terminal's master, or Console is where it is put.
	ConsoleSocket string
	// PidfdSocket is who gets a pidfd of the process.
	PidfdSocket string
	Console     **os.File
	// Preserve is how many descriptors from 3 on the process inherits, Listen how many of
	// them are sockets that it is told of as sd_listen_fds(3) wants it.
	Preserve     int
	Listen       int
	NoPivot      bool
	NoNewKeyring bool
	// start says that the process is to go on to its command at once.
	start bool
}

// creation is a create under way.
type creation struct {
	*Container
	o    CreateOptions
	text []byte // the configuration as it was read
	undo undo.Stack
	term terminal
	// claimed is the container's directory, nil when that could not be opened.
	claimed *os.File
	held    *ns.Held // keeps a scope; nil elsewhere
	// direct says that the process does not wait to be started.
	direct bool
	add    func(pid int) error // puts it where share says
}

// Create makes a container whose process waits to be started. fault.Exists says "container
// with given ID already exists". On an error nothing of it remains.
func (r *Runtime) Create(ctx context.Context, o CreateOptions) (c *Container, err error) {
	n, err := r.creation(o)
	if err != nil {
		return nil, err
	}
	defer func() { fd.CloseAll([]*os.File{n.claimed}) }()
	defer n.undo.OnError(ctx, &err)
	defer n.close()
	if err := n.claim(); err != nil {
		return nil, err
	}
	n.direct = o.start && n.atOnce()
	if err := n.openDoor(); err != nil {
		return nil, err
	}
	group, err := n.limit(ctx)
	if err != nil {
		return nil, err
	}
	if n.add, err = n.share(); err != nil {
		return nil, err
	}
	return n.Container, n.begin(ctx, group)
}

// Run is Create and Start, and for most containers in one: their process does not wait, and
// nobody is woken in between. On an error nothing of the container remains.
func (r *Runtime) Run(ctx context.Context, o CreateOptions) (*Container, error) {
	o.start = true
	c, err := r.Create(ctx, o)
	if err != nil || !waits(c) {
		return c, err
	}
	if err := c.Start(ctx); err != nil {
		return nil, errors.Join(err, c.Delete(ctx, true))
	}
	return c, nil
}

// atOnce tells whether nothing has to be done between create and start, or after either.
func (n *creation) atOnce() bool {
	h := n.spec.Hooks
	hooks := h != nil && len(h.StartContainer)+len(h.Poststart)+len(h.Poststop) > 0
	return !hooks && !n.spec.Process.Terminal && n.spec.Linux.IntelRdt == nil && n.o.PidFile == "" && n.o.PidfdSocket == ""
}

func (n *creation) close() {
	fd.CloseAll([]*os.File{n.door.wait, n.door.report}) // the process has them itself
	n.term.close()
	n.held.Release()
}

// read reads the configuration, which is kept as it is now.
func (n *creation) read() error {
	f, err := os.Open(filepath.Join(n.o.Bundle, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "JSON specification file config.json not found in "+n.o.Bundle)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var kept bytes.Buffer
	n.spec, err = n.r.parse(io.TeeReader(f, &kept))
	if err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	n.text = kept.Bytes()
	if n.o.Listen > 0 { // process 1 as runc says, whatever the pid namespace
		n.spec.Process.Env = append(n.spec.Process.Env, "LISTEN_FDS="+strconv.Itoa(n.o.Listen), "LISTEN_PID=1")
	}
	n.ID, n.Bundle, n.Annotations = n.o.ID, n.o.Bundle, n.spec.Annotations
	return terminalFits(n.spec.Process.Terminal, n.o.ConsoleSocket != "", n.o.Console != nil)
}

// claim takes the id.
func (n *creation) claim() error {
	if err := os.MkdirAll(n.r.Root, 0o700); err != nil {
		return err
	}
	err := os.Mkdir(n.dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Exists, "container with given ID already exists")
	}
	if err != nil {
		return err
	}
	n.claimed, err = fd.OpenPath(n.dir)
	n.undo.Push("state", func(context.Context) error {
		if !n.owns() {
			return nil
		}
		return os.RemoveAll(n.dir)
	})
	return err
}

// owns tells whether the directory is still the one that was claimed: delete --force removes
// it while a create is under way, and another create may have made its own.
func (n *creation) owns() bool { return n.claimed == nil || fd.Names(n.dir, n.claimed) }

// limit makes the cgroup with its limits. One that is there already must be empty.
func (n *creation) limit(ctx context.Context) (*cgroup.Group, error) {
	place, err := ocispec.Group(n.spec, n.o.ID, n.r.Systemd)
	if err != nil {
		return nil, err
	}
	layout, err := n.r.groups()
	if err != nil {
		return nil, err
	}
	n.Cgroup = place.Path
	limits := *n.spec.Linux.Resources
	limits.Devices = ocispec.DeviceRules(limits.Devices)
	var group *cgroup.Group
	if place.Scope != nil {
		group, err = n.scope(ctx, layout, *place.Scope)
	} else {
		group, err = layout.Create(place.Path, &limits)
	}
	if n.r.Rootless && fault.Is(err, fault.Denied) && n.spec.Linux.CgroupsPath == "" && !ocispec.Limited(n.spec.Linux.Resources) {
		n.Cgroup = ""
		return nil, nil
	}
	if fault.Is(err, fault.Exists) {
		return reuse(layout, place.Path, &limits)
	}
	if group != nil {
		n.undo.Push("cgroup", func(ctx context.Context) error {
			return errors.Join(group.Kill(ctx, fd.SIGKILL), group.Remove(ctx))
		})
	}
	if err == nil && place.Scope != nil {
		err = group.Set(&limits)
	}
	return group, err
}

// scope makes the cgroup in a scope of systemd's, which takes a process: a child that is
// there until the container's own is.
func (n *creation) scope(ctx context.Context, layout *cgroup.Layout, u ocispec.Unit) (*cgroup.Group, error) {
	if layout.Mode() != cgroup.ModeV2 {
		return nil, fault.New(fault.Unsupported, "--systemd-cgroup: needs the unified hierarchy (cgroup v2)")
	}
	// Else systemd would be asked to stop a scope of this name, with all that runs in it.
	others, err := layout.Open(path.Dir(n.Cgroup))
	if err == nil {
		err = vacant(others)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if n.held, err = ns.Hold(); err != nil {
		return nil, err
	}
	if err := n.r.StartScope(ctx, u, n.held.Pid); err != nil {
		return nil, err
	}
	group, err := layout.Create(n.Cgroup, nil)
	if err != nil {
		return nil, err
	}
	return group, cgroup.Take(group, n.held.Pid)
}

// vacant refuses a cgroup in which somebody is.
func vacant(group *cgroup.Group) error {
	pids, err := group.Procs()
	if err == nil && len(pids) > 0 {
		err = fault.New(fault.Conflict, "container's cgroup is not empty: "+strconv.Itoa(len(pids))+" process(es) found")
	}
	return err
}

func reuse(layout *cgroup.Layout, path string, limits *specs.LinuxResources) (*cgroup.Group, error) {
	group, err := layout.Open(path)
	if err != nil {
		return nil, err
	}
	if err := cgroup.Complete(group); err != nil { // it need not be in every hierarchy
		return nil, err
	}
	if err := vacant(group); err != nil {
		return nil, err
	}
	if frozen, err := group.Frozen(); err == nil && frozen {
		return nil, fault.New(fault.Conflict, "container's cgroup unexpectedly frozen")
	}
	return group, group.Set(limits)
}

// begin starts the process, and returns when it waits or has come to its command, and all is
// written down.
func (n *creation) begin(ctx context.Context, group *cgroup.Group) error {
	s := scene{spec: n.spec, bundle: n.o.Bundle, group: group, rootless: n.r.Rootless}
	defer s.close()
	ready, turn, err := task.Pipe()
	if err != nil {
		return err
	}
	talk := [2]int{s.passed.add(ready), s.passed.add(turn)}
	program, err := n.compose(&s, talk)
	if err != nil {
		return err
	}
	n.LastStep = len(program.Steps()) - 1
	child, err := launch(program, nil, s.passed.files, nil)
	if err != nil {
		return err
	}
	child.turn = turn
	ready.Close() // closed twice, which is harmless: a child that has died must not be written to
	early := n.direct && !child.fork
	if early { // it takes no part in this
		err = n.finish(child.pid)
	}
	if err := child.converse(n.answers(ctx, &s)); err != nil {
		return named(n.spec.Process, err)
	}
	n.undo.Push("process", func(context.Context) error { task.Kill(child.pid); return nil })
	if early {
		return err
	}
	if err := n.add(child.pid); err != nil {
		return err
	}
	return n.finish(child.pid)
}

// compose prepares everything, and makes the program of it. talk are the places of the pipe
// by which the child gets its turn.
func (n *creation) compose(s *scene, talk [2]int) (*spawn.Builder, error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	n.Rootfs = s.rootPath()
	if err := n.terminal(s); err != nil {
		return nil, err
	}
	_, last := task.Bounding()
	c := initstage.Container{Spec: n.spec, Files: s.files, CreateCwd: true, LastCap: last, Alone: n.alone(s)}
	c.Alone.Turn, c.Alone.Release = talk[0], talk[1]
	if err := n.gate(s, c.Alone); err != nil {
		return nil, err
	}
	var filters world.Filters
	var err error
	if c.Seccomp, err = filters.Get(n.spec.Linux.Seccomp); err != nil {
		return nil, err
	}
	limitFiles(n.spec.Process)
	if err := setEnv(n.spec.Process, s.passed.files[s.files.Rootfs]); err != nil {
		return nil, err
	}
	n.r.grantable(n.spec.Process, ocispec.New(n.spec, specs.UserNamespace))
	return c.Program()
}

// gate passes the door under numbers above all others, between two that say where those
// begin and end.
func (n *creation) gate(s *scene, a *initstage.Alone) error {
	if n.direct {
		a.Start, a.Report = -1, -1
		return nil
	}
	last := 0
	for _, f := range s.passed.files {
		last = max(last, int(f.Fd()))
	}
	for _, p := range []struct {
		f  *os.File
		at *int
	}{{n.door.wait, &a.Low}, {n.door.wait, &a.Start}, {n.door.report, &a.Report}, {n.door.report, &a.High}} {
		f, err := fd.DupAbove(p.f, last)
		if err != nil {
			return err
		}
		last, *p.at = int(f.Fd()), s.passed.add(f)
	}
	return nil
}

func (n *creation) alone(s *scene) *initstage.Alone {
	a := &initstage.Alone{
		RootPath: n.Rootfs, Hooks: ocispec.Hooked(n.spec), NoPivot: n.o.NoPivot, Rootless: n.r.Rootless,
		Own: streamsToGive(n.spec.Process, outside(s.spec.Linux.UIDMappings, n.spec.Process.User.UID)), Preserve: n.o.Preserve,
	}
	if !n.o.NoNewKeyring {
		a.Keyring = "_ses." + n.o.ID
	}
	return a
}

// answers are what create does while the child waits.
func (n *creation) answers(ctx context.Context, s *scene) answers {
	all := answers{
		initstage.StepMapping: func(pid int, _ uint64) error { return n.mapUsers(pid) },
		initstage.StepHooks:   func(pid int, _ uint64) error { return n.beforePivot(ctx, pid) },
		initstage.StepListener: func(pid int, number uint64) error {
			return sendListener(n.spec.Linux.Seccomp, processState(n.State(specs.StateCreating), pid), int(number))
		},
	}
	for step, mapping := range s.inner {
		all[step] = func(pid int, number uint64) error { return mapInner(mapping, pid, number) }
	}
	return all
}

// processState is what whoever gets a process's listener is told.
func processState(state specs.State, pid int) specs.ContainerProcessState {
	return specs.ContainerProcessState{Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: pid, State: state}
}

// mapUsers gives the new user namespace its mapping, and the process what it cannot take
// itself from then on.
func (n *creation) mapUsers(pid int) error {
	l := n.spec.Linux
	if err := task.Map(pid, ranges(l.UIDMappings), ranges(l.GIDMappings)); err != nil {
		return err
	}
	if adj := n.spec.Process.OOMScoreAdj; adj != nil {
		if err := task.Score(pid, *adj); err != nil && !n.r.Rootless {
			return fault.Wrap(fault.Denied, "process.oomScoreAdj", err)
		}
	}
	return nil
}

// finish writes down what there is now.
func (n *creation) finish(pid int) (err error) {
	var lives bool
	if n.Init, lives, err = task.Find(pid); err != nil || !lives && !n.direct { // which may have done all it was to do
		return errors.Join(err, errStillborn)
	}
	n.Version, n.Created = specs.Version, time.Now().UnixNano()
	n.SharedPids = !ocispec.New(n.spec, specs.PIDNamespace)
	if err := n.term.hand(n.o.ConsoleSocket); err != nil {
		return err
	}
	if n.o.Console != nil {
		*n.o.Console = n.term.keep()
	}
	if err := sendPidfd(n.o.PidfdSocket, pid); err != nil {
		return err
	}
	if !n.owns() {
		return fault.New(fault.Conflict, "container has been deleted while it was created")
	}
	if err := n.write(n.text); err != nil {
		return err
	}
	return task.WritePid(n.o.PidFile, pid)
}

// limitFiles lets the process have the limit that this one was started with, if the
// configuration does not say another.
func limitFiles(p *specs.Process) {
	for _, l := range p.Rlimits {
		if l.Type == "RLIMIT_NOFILE" {
			return
		}
	}
	soft, hard := task.Files()
	p.Rlimits = append(p.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: soft, Hard: hard})
}

// streamsToGive lists the descriptors that belong to another user than the process's.
func streamsToGive(p *specs.Process, user uint32) (which []int) {
	for n := range 3 {
		if owner, err := task.Owner(n); err == nil && owner != user && !task.HostNull(n) && !p.Terminal {
			which = append(which, n)
		}
	}
	return which
}
