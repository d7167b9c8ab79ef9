package foreign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/bundle"
	"carob/internal/pod"
	"carob/internal/runtime"
	"carob/internal/runtime/supervisor"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/undo"
)

// launch is a container about to be made.
type launch struct {
	h        *Handler
	b        *box
	features bundle.Features
	binds    map[int]source
}

// source is the prepared source of a bind mount.
type source struct {
	file *os.File
	dir  bool
}

// Prepare opens the sources of the container's mounts.
func (h *Handler) Prepare(_ context.Context, p pod.Process) (pod.Launch, error) {
	b, err := h.find(p.PodID)
	if err != nil {
		return nil, err
	}
	f, err := h.Features()
	if err != nil {
		return nil, err
	}
	users, err := openUsers(b)
	if err != nil {
		return nil, err
	}
	defer users.Close() // nil is none
	l := &launch{h: h, b: b, features: f, binds: map[int]source{}}
	for i, m := range h.planned(p).Mounts {
		if !bundle.Prepared(m) {
			continue
		}
		file, dir, err := runtime.OpenSource(m, runtime.Sources{
			Users: users, Own: m.Source == h.Init || strings.HasPrefix(m.Source, h.RunDir+"/"), Label: p.Spec.Linux.MountLabel,
		})
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("mount %s: %w", m.Destination, err)
		}
		l.binds[i] = source{file, dir}
	}
	return l, nil
}

// planned is the container's plan, with carob's init above the command if it has one.
func (h *Handler) planned(p pod.Process) *specs.Spec {
	if !p.Init {
		return p.Spec
	}
	return bundle.UnderInit(p.Spec, h.Init)
}

// Close closes the sources.
func (l *launch) Close() {
	for _, s := range l.binds {
		s.file.Close()
	}
}

// Start makes the container's bundle and lets the runtime run it.
func (l *launch) Start(ctx context.Context, p pod.Process) (pid int, err error) {
	var u undo.Stack
	defer u.OnError(ctx, &err)
	p.Spec = l.h.planned(p)
	annotations, err := sentry{l.b}.begin(ctx, l.features, p)
	if err != nil {
		return 0, err
	}
	dir := l.b.bundle(p.ID)
	u.Push("files", func(context.Context) error { return os.RemoveAll(dir) })
	group, err := enterGroup(l.h.Layout, p)
	if err != nil {
		return 0, err
	}
	m := mounts{sources: map[int]string{}}
	if err := m.make(dir, l.b.seen(dir), p.Rootfs, l.binds); err != nil {
		return 0, err
	}
	u.Push("mounts", func(ctx context.Context) error {
		return l.b.sb.Setup(ctx, supervisor.World{Program: initstage.Detach(m.paths)})
	})
	if err := l.b.sb.Setup(ctx, supervisor.World{Program: initstage.Attach(m.paths), Files: m.files}); err != nil {
		return 0, err
	}
	config, err := bundle.Config(bundle.Request{
		Spec: p.Spec, Rootfs: m.paths[0], Namespaces: joined(l.b, p),
		Binds: m.sources, Shm: l.b.seen(filepath.Join(l.b.dir, "shm")), Features: l.features, Annotations: annotations,
		Hostname: l.b.Hostname,
	})
	if err != nil {
		return 0, err
	}
	if err := writeJSON(filepath.Join(dir, "config.json"), config); err != nil {
		return 0, err
	}
	return l.b.start(ctx, &u, made{
		p: p, group: group, name: short(p.ID), features: l.features, child: l.b.isChild(p.ID, l.features),
	})
}

func (b *box) bundle(id string) string { return filepath.Join(b.dir, short(id)) }

// enterGroup opens the container's cgroup, which the runtime took away with the
// container's last run.
func enterGroup(l *cgroup.Layout, p pod.Process) (*cgroup.Group, error) {
	g, err := l.Create(p.Cgroup, p.Spec.Linux.Resources)
	if fault.Is(err, fault.Exists) {
		g, err = l.Open(p.Cgroup)
	}
	return g, err
}

// mounts are what is mounted for a container in the pod's mount namespace.
type mounts struct {
	sources map[int]string // by the index of a mount in the plan
	paths   []string       // the root file system's first
	files   []*os.File
}

// make makes the places on which they are mounted, in an empty directory that the pod
// sees at this place. Root of a user namespace has to get through it.
func (m *mounts) make(dir, seen string, rootfs *os.File, binds map[int]source) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	below := filepath.Join(dir, "mounts")
	for _, d := range []string{filepath.Join(dir, "rootfs"), below} {
		if err := os.MkdirAll(d, 0o711); err != nil {
			return err
		}
	}
	m.paths, m.files = []string{filepath.Join(seen, "rootfs")}, []*os.File{rootfs}
	for i, s := range binds {
		at := filepath.Join(below, strconv.Itoa(i))
		err := os.Mkdir(at, 0o700)
		if !s.dir {
			err = os.Remove(at)
			if err == nil {
				err = os.WriteFile(at, nil, 0o600)
			}
		}
		if err != nil {
			return err
		}
		at = filepath.Join(seen, "mounts", strconv.Itoa(i))
		m.sources[i] = at
		m.paths, m.files = append(m.paths, at), append(m.files, s.file)
	}
	return nil
}

func writeJSON(path string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// made is a process that the runtime is about to make.
type made struct {
	p        pod.Process
	group    *cgroup.Group
	name     string // of the container, to the runtime
	sub      string
	features bundle.Features
	// child says that it will be a process of the host's.
	child bool
}

// start runs a container's bundle.
func (b *box) start(ctx context.Context, u *undo.Stack, m made) (pid int, err error) {
	oom, err := m.group.OOMFile()
	if err != nil && !fault.Is(err, fault.Unsupported) { // a host without memory cgroups has no OOM kills in them
		return 0, err
	}
	if oom != nil {
		defer oom.Close()
	}
	u.Push("container", func(ctx context.Context) error { return b.delete(ctx, m.name) })
	dir := b.bundle(m.p.ID)
	c := command{name: "run", dir: dir, user: outside(m.p),
		args: []string{"run", "--detach", "--bundle", dir, "--pid-file", filepath.Join(dir, pidFile)}}
	return b.make(ctx, m, making{command: c, oom: oom, pidFile: filepath.Join(dir, pidFile)})
}

// pidFile has the pid of the container's first process.
const pidFile = "pid"

// making is a helper's command and what goes with it.
type making struct {
	command
	oom     *os.File
	pidFile string
}

// make lets a helper make a process, and adopts it.
func (b *box) make(ctx context.Context, m made, c making) (int, error) {
	streams := m.p.Streams
	var door *console
	if m.p.Spec.Process.Terminal {
		var err error
		if door, err = openConsole(c.dir, short(m.p.ID)); err != nil {
			return 0, err
		}
		defer door.close()
		c.args = append(c.args, "--console-socket", door.name)
		m.p.Streams = pod.Streams{} // they are for the terminal
		m.p.Stdin, m.p.StdinOnce = false, false
	}
	c.args = append(c.args, m.name)
	helper, log := b.program(c.command)
	defer os.Remove(log)
	_, err := b.sb.Spawn(ctx, supervisor.Spawn{
		Process: m.p, Program: helper.Program(), OOM: c.oom, Helper: true, Sub: m.sub,
	})
	if err != nil {
		return 0, b.refused(c.command, log, err)
	}
	terminal, err := door.receive(ctx)
	if err != nil {
		return 0, b.lost(ctx, m, err)
	}
	if terminal != nil {
		defer terminal.Close()
	} else {
		streams = pod.Streams{}
	}
	pid, err := b.adopt(ctx, m, adoption{c.pidFile, terminal, streams})
	if err != nil {
		return 0, b.lost(ctx, m, err)
	}
	return pid, nil
}

// lost takes back a process that was made and could not be adopted.
func (b *box) lost(ctx context.Context, m made, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undo.Timeout)
	defer cancel()
	const killed = uint32(sigKill)
	_ = b.sb.End(ctx, m.p.ID, killed) // one that has been adopted ends with its container
	_ = b.h.Pool.Forget(ctx, b.PodID, m.p.ID)
	return err
}

// adoption is what a made process is adopted with.
type adoption struct {
	pidFile  string
	terminal *os.File
	streams  pod.Streams
}

func (b *box) adopt(ctx context.Context, m made, a adoption) (int, error) {
	pid, err := readPid(a.pidFile)
	if err != nil {
		return 0, err
	}
	child := pid
	if !m.child {
		child = 0
	}
	if child != 0 || a.terminal != nil {
		if err := b.sb.Adopt(ctx, m.p.ID, supervisor.Child{Pid: child, Terminal: a.terminal, Streams: a.streams}); err != nil {
			return 0, err
		}
	}
	if !m.child {
		return pid, sentry{b}.await(ctx, m.p.ID)
	}
	return pid, nil
}

// delete lets the runtime take a container away, whatever its state.
func (b *box) delete(ctx context.Context, name string) error {
	err := b.run(ctx, command{name: "delete", args: []string{"delete", "--force", name}, dir: b.dir})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// Forget drops the record of an ended process, and of a container what the runtime keeps.
func (h *Handler) Forget(ctx context.Context, podID, processID string) error {
	b, err := h.find(podID)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	group := b.sb.GroupOf(processID)
	err = h.Pool.Forget(ctx, podID, processID)
	dir := b.bundle(processID)
	if err != nil || !exists(filepath.Join(dir, "config.json")) {
		return errors.Join(err, b.forgetExec(processID))
	}
	if err := b.delete(ctx, short(processID)); err != nil {
		return err
	}
	if group != "" { // it is the engine's, and the runtime has taken it away
		if _, err := h.Layout.Create(group, nil); err != nil && !fault.Is(err, fault.Exists) {
			return err
		}
	}
	paths := []string{b.seen(filepath.Join(dir, "rootfs"))}
	below, err := os.ReadDir(filepath.Join(dir, "mounts"))
	if err != nil {
		return err
	}
	for _, m := range below {
		paths = append(paths, b.seen(filepath.Join(dir, "mounts", m.Name())))
	}
	if err := b.sb.Setup(ctx, supervisor.World{Program: initstage.Detach(paths)}); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// forgetExec removes the files of an exec.
func (b *box) forgetExec(id string) error {
	found, err := filepath.Glob(filepath.Join(b.dir, "*", short(id)+".*")) // the pattern is ours
	for _, f := range found {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

// console is the socket on which a runtime hands over a terminal's master.
type console struct {
	fd.Door
	name string
}

func openConsole(dir, id string) (*console, error) {
	c := &console{name: id + ".sock"}
	return c, c.Listen(dir, c.name)
}

func (c *console) close() {
	if c != nil {
		c.Close()
	}
}

// receive takes the master; it is nil when no terminal was asked for.
func (c *console) receive(ctx context.Context) (*os.File, error) {
	if c == nil {
		return nil, nil
	}
	f, err := c.Receive(ctx)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	return f, nil
}
