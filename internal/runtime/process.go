package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/plan/seccomp"
	"carob/internal/pod"
	"carob/internal/runtime/supervisor"
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

// filterCache keeps compiled seccomp filters: pods use few different profiles.
type filterCache struct {
	kernel seccomp.Kernel

	mu    sync.Mutex
	known map[*specs.LinuxSeccomp]initstage.Seccomp
}

// maxFilters bounds the cache; a full one is emptied.
const maxFilters = 64

func (c *filterCache) get(profile *specs.LinuxSeccomp) (initstage.Seccomp, error) {
	if profile == nil {
		return initstage.Seccomp{}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.known[profile]; ok {
		return f, nil
	}
	compiled, err := seccomp.Compile(profile, c.kernel)
	if err != nil {
		return initstage.Seccomp{}, err
	}
	f := initstage.Seccomp{Filter: compiled.Program, Flags: uint(compiled.Flags)}
	if c.known == nil || len(c.known) >= maxFilters {
		c.known = map[*specs.LinuxSeccomp]initstage.Seccomp{}
	}
	c.known[profile] = f
	return f, nil
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
	if c.Seccomp, err = w.n.filters.get(p.Spec.Linux.Seccomp); err != nil {
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
		if x.Seccomp, err = n.filters.get(p.Spec.Linux.Seccomp); err != nil {
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
	}
	return err
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
