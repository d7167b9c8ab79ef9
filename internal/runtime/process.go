package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/podproc/wire"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/mount"
	"carob/internal/sys/ns"
	"carob/internal/sys/spawn"
)

// fileList owns the files that go with a request until it has been sent.
type fileList struct{ files []*os.File }

// add takes the file over and returns its place.
func (l *fileList) add(f *os.File) int {
	l.files = append(l.files, f)
	return len(l.files) - 1
}

func (l *fileList) close() {
	for _, f := range l.files {
		f.Close()
	}
}

// Prepare makes the container's world.
func (n *Native) Prepare(_ context.Context, p pod.Process) (pod.Launch, error) {
	sb, err := n.sandboxes.find(p.PodID)
	if err != nil {
		return nil, err
	}
	w := &world{n: n, sb: sb, p: p}
	if err := w.build(); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Start executes the container's process in its world.
func (w *world) Start(ctx context.Context, p pod.Process) (pid int, err error) {
	w.p = p
	if err := w.complete(); err != nil {
		return 0, err
	}
	c := initstage.Container{
		Spec: w.spec, Files: w.files, Init: p.Init, CreateCwd: p.CreateCwd, LastCap: w.n.lastCap,
		JoinTarget: w.joinReaper, Outside: w.scant() || !w.sb.mayCloneInto(p.Cgroup),
	}
	if c.Seccomp, err = w.n.filters.Get(p.Spec.Linux.Seccomp); err != nil {
		return 0, err
	}
	program, err := c.Program()
	if err != nil {
		return 0, err
	}
	if w.joinReaper {
		w.target = handle(reaperID)
	}
	return w.spawn(ctx, program)
}

// scant reports whether the container's memory limit is so low that what builds its world
// must not be charged to it: some 300 KB, most of it until execve.
func (w *world) scant() bool {
	const enough = 16 << 20
	l := w.spec.Linux.Resources
	return l != nil && l.Memory != nil && l.Memory.Limit != nil && *l.Memory.Limit > 0 && *l.Memory.Limit < enough
}

// mayCloneInto reports whether the supervisor may clone a process into a group. In a user
// namespace of its own it may within the pod's.
func (s *sandbox) mayCloneInto(group string) bool {
	return s.ids.Size == 0 || s.cgroup != "" && path.Dir(group) == s.cgroup
}

// Exec runs one more process in a container.
func (n *Native) Exec(ctx context.Context, p pod.Process) (pid int, err error) {
	sb, err := n.sandboxes.find(p.PodID)
	if err != nil {
		return 0, err
	}
	w := world{n: n, sb: sb, p: p, spec: p.Spec, target: handle(p.Target)}
	defer w.Close()
	w.files = noFiles()
	if err := w.cgroup(false); err != nil {
		return 0, err
	}
	if p.Spec.Process.Terminal {
		if err := w.execTerminal(); err != nil {
			return 0, err
		}
	}
	x := initstage.Exec{
		Process: p.Spec.Process, Cgroups: w.files.Cgroups, Group: w.files.Group, Slave: w.files.Slave, LastCap: n.lastCap,
	}
	for _, kind := range []string{"net", "ipc", "uts", "cgroup"} {
		if !ns.Same(p.TargetPid, sb.pid, kind) {
			x.Namespaces |= initstage.NamespaceFlag(kind)
		}
	}
	if p.Spec.Linux != nil {
		if x.Seccomp, err = n.filters.Get(p.Spec.Linux.Seccomp); err != nil {
			return 0, err
		}
	}
	program, err := x.Program()
	if err != nil {
		return 0, err
	}
	return w.spawn(ctx, program)
}

// spawn sends the program with its files and waits until it has come to execve.
func (w *world) spawn(ctx context.Context, program *spawn.Builder) (int, error) {
	image, err := fd.Memory(program)
	if err != nil {
		return 0, err
	}
	defer image.Close()
	files := []*os.File{image}
	var flags uint64
	give := func(f *os.File, flag uint64) {
		if f != nil {
			files, flags = append(files, f), flags|flag
		}
	}
	log, err := openLog(w.p.LogPath)
	if err != nil {
		return 0, err
	}
	if log != nil {
		defer log.Close()
	}
	give(log, wire.HasLog)
	give(w.oom, wire.HasOOM)
	give(w.terminal.Master, wire.HasTerminal)
	give(w.p.Streams.Stdin, wire.HasStdin)
	give(w.p.Streams.Stdout, wire.HasStdout)
	give(w.p.Streams.Stderr, wire.HasStderr)
	if w.p.Stdin {
		flags |= wire.OpenStdin
	}
	if w.p.StdinOnce {
		flags |= wire.StdinOnce
	}
	files = append(files, w.passed.files...)
	if len(files) > wire.MaxFiles {
		return 0, fault.New(fault.Invalid, "mounts: "+strconv.Itoa(len(w.files.Mounts))+" are too many for one container")
	}
	h := handle(w.p.ID)
	w.sb.add(&process{id: w.p.ID, cgroup: w.p.Cgroup, sub: w.sub})
	pid, err := w.sb.spawn(ctx, wire.Packet{Op: wire.Spawn, Handle: h, A: flags, B: w.target}, files, program.Steps())
	if err != nil {
		w.sb.drop(h)
		return 0, w.named(err)
	}
	return pid, nil
}

// named puts what the request was about in front of the cause.
func (w *world) named(err error) error {
	p := w.p.Spec.Process
	switch {
	case errors.Is(err, pod.ErrCommandNotFound), errors.Is(err, pod.ErrNotExecutable):
		return fmt.Errorf("exec %q: %w", p.Args[0], err)
	case strings.HasPrefix(err.Error(), initstage.StepCwd+":"):
		return fmt.Errorf("%q: %w", p.Cwd, err)
	}
	return err
}

// spawn sends a Spawn and waits for the answer as long as ctx allows; then the
// child is killed, which makes the supervisor answer.
func (s *sandbox) spawn(ctx context.Context, p wire.Packet, files []*os.File, steps []string) (int, error) {
	ch, forget, err := s.conn.send(p, files)
	if err != nil {
		return 0, err
	}
	defer forget()
	var r wire.Packet
	var ok bool
	select {
	case r, ok = <-ch:
	case <-ctx.Done():
		kill := wire.Packet{Op: wire.Signal, Handle: p.Handle, A: uint64(fd.SIGKILL)}
		_, _ = s.conn.call(context.WithoutCancel(ctx), kill) // gone already is as good
		if r, ok = <-ch; ok && r.Err == 0 {
			_, _ = s.conn.call(context.WithoutCancel(ctx), wire.Packet{Op: wire.Forget, Handle: p.Handle}) // its exit is nobody's
		}
		return 0, fault.Wrap(fault.Unavailable, "start", ctx.Err())
	}
	if !ok {
		return 0, fault.New(fault.Unavailable, "supervisor: the connection has ended")
	}
	if r.Err != 0 {
		return 0, stepFault(steps, r.A, r.Err)
	}
	return int(r.A), nil
}

func openLog(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|fd.NoFollow, 0o640)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "log", err)
	}
	return f, nil
}

// execTerminal gives an exec a terminal of the container's own devpts, which is
// reached through the container's mount namespace.
func (w *world) execTerminal() (err error) {
	pts, err := mount.CloneFrom(w.p.TargetPid, "/dev/pts")
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	w.passed.add(pts)
	return w.openTerminal(pts)
}

func (w *world) openTerminal(pts *os.File) (err error) {
	uid := int(w.p.IDs.HostID) + int(w.p.Spec.Process.User.UID)
	if w.terminal, err = mount.OpenTerminal(pts, uid); err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	// The supervisor gets the master, the slave goes with the program's files.
	w.files.Slave = w.passed.add(w.terminal.Slave)
	w.terminal.Slave = nil
	return nil
}

// Signal sends a signal.
func (n *Native) Signal(ctx context.Context, podID, processID string, signal int) error {
	sb, err := n.sandboxes.find(podID)
	if err != nil {
		return err
	}
	return sb.conn.do(ctx, "signal", wire.Packet{Op: wire.Signal, Handle: handle(processID), A: uint64(signal)})
}

// KillExec kills an exec with all it started: they are in a group of their own if
// the exec had a deadline.
func (n *Native) KillExec(ctx context.Context, podID, execID string) error {
	sb, err := n.sandboxes.find(podID)
	if err != nil {
		return err
	}
	err = n.Signal(ctx, podID, execID, fd.SIGKILL)
	if fault.Is(err, fault.NotFound) {
		err = nil
	}
	p, ok := sb.find(execID)
	if err != nil || !ok || p.sub == "" {
		return err
	}
	g, err := n.layout.Open(p.cgroup + "/" + p.sub)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		return err
	}
	return g.Kill(ctx, fd.SIGKILL)
}

// Attach adds a client.
func (n *Native) Attach(ctx context.Context, podID, processID string, io pod.Streams) error {
	sb, err := n.sandboxes.find(podID)
	if err != nil {
		return err
	}
	p := wire.Packet{Op: wire.Attach, Handle: handle(processID)}
	var files []*os.File
	for i, f := range []*os.File{io.Stdin, io.Stdout, io.Stderr} {
		if f != nil {
			files, p.A = append(files, f), p.A|wire.HasStdin<<i
		}
	}
	return sb.conn.do(ctx, "attach", p, files...)
}

// Resize sets a terminal's size.
func (n *Native) Resize(ctx context.Context, podID, processID string, rows, cols uint16) error {
	sb, err := n.sandboxes.find(podID)
	if err != nil {
		return err
	}
	return sb.conn.do(ctx, "resize", wire.Packet{Op: wire.Resize, Handle: handle(processID), A: uint64(rows), B: uint64(cols)})
}

// ReopenLog hands the supervisor the file that is at the log's path now.
func (n *Native) ReopenLog(ctx context.Context, podID, processID, path string) error {
	sb, err := n.sandboxes.find(podID)
	if err != nil {
		return err
	}
	f, err := openLog(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return sb.conn.do(ctx, "log", wire.Packet{Op: wire.Reopen, Handle: handle(processID)}, f)
}

// Forget drops the record of an ended process, and the group of an exec.
func (n *Native) Forget(ctx context.Context, podID, processID string) error {
	sb, err := n.sandboxes.find(podID)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p, ok := sb.find(processID)
	sb.drop(handle(processID))
	err = sb.conn.do(ctx, "forget", wire.Packet{Op: wire.Forget, Handle: handle(processID)})
	if fault.Is(err, fault.NotFound) {
		err = nil
	}
	if ok && p.sub != "" {
		n.removeEmpty(ctx, p.cgroup+"/"+p.sub)
	}
	return err
}

// removeEmpty removes an exec's group. What the exec left running stays in it, and
// it goes with the container's.
func (n *Native) removeEmpty(ctx context.Context, path string) {
	g, err := n.layout.Open(path)
	if err != nil {
		return
	}
	if pids, err := g.Procs(); err == nil && len(pids) == 0 {
		_ = g.Remove(ctx) // a process that came meanwhile: as above
	}
}

// stepFault says in a person's words what a program's failed step means.
func stepFault(steps []string, step uint64, errno uint16) error {
	name := "?"
	if step < uint64(len(steps)) {
		name = steps[step]
	}
	e := fd.Errno(errno)
	switch {
	case name == initstage.StepExec:
		return commandFault(e)
	case name == initstage.StepCwd, strings.HasPrefix(name, "mount ") && e != fd.EPERM:
		return fault.Wrap(fault.Invalid, name, e)
	}
	return fault.Wrap(kindOf(e), name, e)
}

// commandFault tells a command that is not there from one that cannot be executed.
func commandFault(e fd.Errno) error {
	switch e {
	case fd.ENOENT, fd.ENOTDIR:
		return pod.ErrCommandNotFound
	case fd.ENOEXEC:
		return fmt.Errorf("%w: unknown format (is it a program for this machine?)", pod.ErrNotExecutable)
	case fd.EACCES, fd.EISDIR, fd.EPERM:
		return fmt.Errorf("%w: permission denied", pod.ErrNotExecutable)
	}
	return fault.Wrap(kindOf(e), initstage.StepExec, e)
}

func kindOf(e fd.Errno) fault.Kind {
	switch e {
	case fd.EPERM, fd.EACCES:
		return fault.Denied
	case fd.ENOSYS, fd.EOPNOTSUPP:
		return fault.Unsupported
	case fd.EINVAL:
		return fault.Invalid
	}
	return fault.Internal
}
