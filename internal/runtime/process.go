package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/runtime/supervisor"
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
	sb, err := n.Find(p.PodID)
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
		JoinTarget: w.joinReaper, Outside: w.scant() || !w.mayCloneInto(p.Cgroup),
	}
	if c.Seccomp, err = w.n.filters.Get(p.Spec.Linux.Seccomp); err != nil {
		return 0, err
	}
	program, err := c.Program()
	if err != nil {
		return 0, err
	}
	if w.joinReaper {
		w.target = supervisor.ReaperID
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

// mayCloneInto reports whether the supervisor may clone a process into the group. In a
// user namespace of its own it may within the pod's.
func (w *world) mayCloneInto(group string) bool {
	return w.p.IDs.Size == 0 || w.sb.Group() != "" && path.Dir(group) == w.sb.Group()
}

// Exec runs one more process in a container.
func (n *Native) Exec(ctx context.Context, p pod.Process) (pid int, err error) {
	sb, err := n.Find(p.PodID)
	if err != nil {
		return 0, err
	}
	w := world{n: n, sb: sb, p: p, spec: p.Spec, target: p.Target}
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
		if !ns.Same(p.TargetPid, sb.Pid(), kind) {
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
	pid, err := w.sb.Spawn(ctx, supervisor.Spawn{
		Process: w.p, Program: program, Files: w.passed.files, OOM: w.oom, Terminal: w.terminal.Master,
		Target: w.target, Sub: w.sub,
	})
	if err != nil {
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
	case w.p.IDs.Size > 0 && strings.HasPrefix(err.Error(), initstage.StepUser+":") && errors.Is(err, fd.EINVAL):
		return fault.New(fault.Invalid, fmt.Sprintf("user %d:%d: the pod's user namespace has the IDs 0 to %d only; choose others, or the host's user namespace", p.User.UID, p.User.GID, w.p.IDs.Size-1))
	}
	return err
}

// execTerminal gives an exec a terminal of the container's own devpts. It is opened where
// that is mounted there, in no copy of the mount: ttyname(3) finds it by its path.
func (w *world) execTerminal() (err error) {
	root, err := ns.Root(w.p.TargetPid)
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer root.Close()
	pts, err := fd.InRoot(root, "/dev/pts", true)
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer pts.Close()
	if fs := mount.FSType(fd.Path(pts)); fs != "devpts" { // the container may have put anything there
		return fault.New(fault.Invalid, "terminal: the container's /dev/pts is "+fs+", not devpts")
	}
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
