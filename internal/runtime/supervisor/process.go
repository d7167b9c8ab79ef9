package supervisor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/podproc/wire"
	"carob/internal/status"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/spawn"
)

// Spawn is a process to be started.
type Spawn struct {
	// Process says what it is called, what its streams and its log are, and its cgroup.
	Process pod.Process
	Program *spawn.Builder
	// Files are the program's, OOM counts kills in the cgroup, Terminal is the master of
	// a pseudo terminal. All stay the caller's.
	Files         []*os.File
	OOM, Terminal *os.File
	// Target is the ID of the process that is the program's FileTarget.
	Target string
	// Sub is the group below the process's cgroup in which all that an exec starts is.
	Sub string
	// Helper says that the program's command makes the process and ends: then Spawn
	// waits for that, and Adopt or End follows. One that fails is a *HelperError.
	Helper bool
	// Ended takes the process's end in the engine's place. It must not block.
	Ended func(status.Exit)
}

// HelperError is a helper that did not make its process.
type HelperError struct{ Exit status.Exit }

// Error tells how the helper ended.
func (h *HelperError) Error() string {
	if h.Exit.Signal != 0 {
		return fmt.Sprintf("killed by signal %d", h.Exit.Signal)
	}
	return fmt.Sprintf("ended with status %d", h.Exit.Code)
}

// Spawn starts a process and waits until it executes its command, or its helper has
// made it: the pid is 0 then.
func (s *Sandbox) Spawn(ctx context.Context, x Spawn) (int, error) {
	image, err := fd.Memory(x.Program)
	if err != nil {
		return 0, err
	}
	defer image.Close()
	log, room, err := openLog(x.Process.Log)
	if err != nil {
		return 0, err
	}
	if log != nil {
		defer log.Close()
	}
	files, flags := x.give(image, log)
	if len(files) > wire.MaxFiles {
		return 0, fault.New(fault.Invalid, fmt.Sprintf("mounts: %d files are too many for one container", len(files)))
	}
	h := handle(x.Process.ID)
	s.add(&process{id: x.Process.ID, cgroup: x.Process.Cgroup, sub: x.Sub, ended: x.Ended, rotation: rotation{log: x.Process.Log}})
	p := wire.Packet{Op: wire.Spawn, Handle: h, A: flags, C: room}
	if x.Target != "" {
		p.B = handle(x.Target)
	}
	pid, err := s.spawn(ctx, p, files, x.Program.Steps())
	if err != nil {
		s.drop(h)
	}
	return pid, err
}

// give lists the files of a Spawn with the flags that announce them.
func (x *Spawn) give(image, log *os.File) (files []*os.File, flags uint64) {
	files = []*os.File{image}
	io := x.Process.Streams
	for i, f := range []*os.File{log, x.OOM, x.Terminal, io.Stdin, io.Stdout, io.Stderr} {
		if f != nil {
			files, flags = append(files, f), flags|wire.HasLog<<i
		}
	}
	for flag, yes := range map[uint64]bool{wire.OpenStdin: x.Process.Stdin, wire.StdinOnce: x.Process.StdinOnce, wire.Helper: x.Helper} {
		if yes {
			flags |= flag
		}
	}
	return append(files, x.Files...), flags
}

// Child is what a made process is adopted as.
type Child struct {
	// Pid is 0 for a process that is nobody's child: only its terminal is adopted.
	Pid int
	// Terminal is the master of a terminal that takes the place of its streams, Streams
	// are clients for it. The files stay the caller's.
	Terminal *os.File
	Streams  pod.Streams
}

// Adopt says what a helper has made: processID goes on as that.
func (s *Sandbox) Adopt(ctx context.Context, processID string, c Child) error {
	p := wire.Packet{Op: wire.Adopt, Handle: handle(processID), B: uint64(c.Pid)}
	var files []*os.File
	for i, f := range []*os.File{c.Terminal, c.Streams.Stdin, c.Streams.Stdout, c.Streams.Stderr} {
		if f != nil {
			files, p.A = append(files, f), p.A|wire.HasTerminal<<i
		}
	}
	return s.conn.do(ctx, "adopt", p, files...)
}

// End records the end of a process that a helper has made and that is nobody's child.
func (s *Sandbox) End(ctx context.Context, processID string, waitStatus uint32) error {
	return s.conn.do(ctx, "end", wire.Packet{Op: wire.End, Handle: handle(processID), A: uint64(waitStatus)})
}

// Abandon kills a helper, and records the end of what one has made and nobody has named. It
// returns when that has ended.
func (s *Sandbox) Abandon(ctx context.Context, processID string, waitStatus uint32) error {
	ended := make(chan struct{}, 1)
	s.Watch(processID, func(status.Exit) { ended <- struct{}{} })
	// It has made nothing from now on; or it has ended already, which the list tells.
	_ = s.conn.do(ctx, "signal", wire.Packet{Op: wire.Signal, Handle: handle(processID), A: uint64(fd.SIGKILL)})
	all, err := s.Processes(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(k Known) bool { return k.ID == processID && k.Exit == nil })
	if i < 0 {
		return nil
	}
	if all[i].Made {
		if err := s.End(ctx, processID, waitStatus); err != nil {
			return err
		}
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Watch lets ended take the end of a process, in the engine's place.
func (s *Sandbox) Watch(processID string, ended func(status.Exit)) {
	s.add(&process{id: processID, ended: ended})
}

// spawn sends a Spawn and waits for the answer as long as ctx allows; then the
// child is killed, which makes the supervisor answer.
func (s *Sandbox) spawn(ctx context.Context, p wire.Packet, files []*os.File, steps []string) (int, error) {
	ch, forget, err := s.conn.send(p, files)
	if err != nil {
		return 0, err
	}
	var r wire.Packet
	var ok bool
	select {
	case r, ok = <-ch:
		forget()
	case <-ctx.Done():
		s.abandon(ctx, p, func() (wire.Packet, bool) { defer forget(); r, ok := <-ch; return r, ok })
		return 0, fault.Wrap(fault.Unavailable, "start", ctx.Err())
	}
	if !ok {
		return 0, fault.New(fault.Unavailable, "supervisor: the connection has ended")
	}
	if p.A&wire.Helper != 0 && fd.Errno(r.Err) == fd.ECHILD {
		return 0, &HelperError{exitOf(r.A, 0, 0)}
	}
	if r.Err != 0 {
		return 0, stepFault(steps, r.A, r.Err)
	}
	return int(r.A), nil
}

// abandonTime bounds the wait for the end of a child that nobody wants any more. Killed
// ones are gone in a millisecond, but for those that hang in the kernel: in a mount of a
// dead server, say.
const abandonTime = 2 * time.Second

// abandon kills a child that has not come to execve, and sees to it that the supervisor
// keeps nothing of it. What outlasts abandonTime is seen to when the kernel lets go of it:
// answer waits for that, or for the connection's end.
func (s *Sandbox) abandon(ctx context.Context, p wire.Packet, answer func() (wire.Packet, bool)) {
	ctx = context.WithoutCancel(ctx)
	_, _ = s.conn.call(ctx, wire.Packet{Op: wire.Signal, Handle: p.Handle, A: uint64(fd.SIGKILL)}) // gone already is as good
	over := make(chan struct{})
	go func() {
		defer close(over)
		if r, ok := answer(); !ok || r.Err != 0 {
			return
		}
		if p.A&wire.Helper != 0 {
			_, _ = s.conn.call(ctx, wire.Packet{Op: wire.End, Handle: p.Handle})
		}
		_, _ = s.conn.call(ctx, wire.Packet{Op: wire.Forget, Handle: p.Handle}) // its exit is nobody's
	}()
	select {
	case <-over:
	case <-time.After(abandonTime):
	}
}

// Signal sends a signal.
func (n *Pool) Signal(ctx context.Context, podID, processID string, signal int) error {
	sb, err := n.sandboxes.find(podID)
	if err != nil {
		return err
	}
	return sb.conn.do(ctx, "signal", wire.Packet{Op: wire.Signal, Handle: handle(processID), A: uint64(signal)})
}

// KillExec kills an exec with all it started: they are in a group of their own if
// the exec had a deadline.
func (n *Pool) KillExec(ctx context.Context, podID, execID string) error {
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
func (n *Pool) Attach(ctx context.Context, podID, processID string, io pod.Streams) error {
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
func (n *Pool) Resize(ctx context.Context, podID, processID string, rows, cols uint16) error {
	sb, err := n.sandboxes.find(podID)
	if err != nil {
		return err
	}
	return sb.conn.do(ctx, "resize", wire.Packet{Op: wire.Resize, Handle: handle(processID), A: uint64(rows), B: uint64(cols)})
}

// Forget drops the record of an ended process, and the group of an exec.
func (n *Pool) Forget(ctx context.Context, podID, processID string) error {
	sb, err := n.sandboxes.find(podID)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p, ok := sb.find(processID)
	if ok {
		p.end()
	}
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
func (n *Pool) removeEmpty(ctx context.Context, path string) {
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
	case strings.HasPrefix(name, "mount ") && (e == fd.EINVAL || e == fd.ENOTDIR):
		return fault.Wrap(fault.Invalid, name+": is one a directory and the other none?", e)
	case name == initstage.StepCwd, strings.HasPrefix(name, "mount ") && e != fd.EPERM:
		return fault.Wrap(fault.Invalid, name, e)
	}
	return fault.Wrap(fd.KindOf(e), name, e)
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
	return fault.Wrap(fd.KindOf(e), initstage.StepExec, e)
}
