package initstage

import (
	"errors"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/plan/mountopt"
	"carob/internal/sys/spawn"
)

// Files says at which place of the passed files (0 is the first after the program)
// each thing is; -1 where there is none.
type Files struct {
	Rootfs, Dev, Pts, Slave, Shm int
	// Cgroups are opened for writing "0" into them. On cgroup v2 Group is the group's
	// directory, -1 elsewhere.
	Cgroups []int
	Group   int
	// Joins are namespaces to enter, in order, pid first when there is one.
	Joins []Join
	// Mounts maps the index of a mount in the specification to its detached mount.
	Mounts map[int]int
	// Inner are mounts, by the same index, that are made from others.
	Inner map[int]Inner
	// CgroupDirs are detached mounts for /sys/fs/cgroup: name "" is the directory
	// itself, others go below it.
	CgroupDirs []NamedFile
	// Nodes and Links (path, target) are made in the root itself where /dev is not a
	// prepared file system.
	Nodes []Node
	Links [][2]string
}

// Node is a device node. Mode has its type; users are the container's.
type Node struct {
	Path         string
	Mode         uint32
	Major, Minor uint32
	UID, GID     uint32
}

// NamedFile is a passed file with a name.
type NamedFile struct {
	Name string
	File int
}

// Join is a namespace to enter: Type is the CLONE_NEW flag.
type Join struct {
	File int
	Type uint64
}

// Container is what a container's program is made from. The specification is
// finished: numeric user, absolute paths, nothing left to look up.
type Container struct {
	Spec  *specs.Spec
	Files Files
	// JoinTarget enters the pid namespace of the process that Spawn names as target.
	JoinTarget bool
	// Init puts a reaping PID 1 above the process.
	Init bool
	// CreateCwd makes the working directory when it is missing.
	CreateCwd bool
	// Outside builds the world outside of the cgroup also where Files.Group is there to be
	// cloned into at once.
	Outside bool
	// LastCap is the kernel's last capability (/proc/sys/kernel/cap_last_cap).
	LastCap int
	Seccomp Seccomp
	// Alone is nil below a supervisor.
	Alone *Alone
}

// NamespaceFlag returns the CLONE_NEW flag of a namespace kind, named as the OCI
// specification or /proc/PID/ns names it, 0 for an unknown one.
func NamespaceFlag(kind string) uint64 {
	switch kind {
	case "pid":
		return unix.CLONE_NEWPID
	case "network", "net":
		return unix.CLONE_NEWNET
	case "mount", "mnt":
		return unix.CLONE_NEWNS
	case "ipc":
		return unix.CLONE_NEWIPC
	case "uts":
		return unix.CLONE_NEWUTS
	case "cgroup":
		return unix.CLONE_NEWCGROUP
	case "user":
		return unix.CLONE_NEWUSER
	case "time":
		return unix.CLONE_NEWTIME
	}
	return 0
}

func passed(n int) spawn.Arg { return spawn.File(spawn.FirstFile + n) }

// Program returns the container's program.
func (c Container) Program() (*spawn.Builder, error) {
	if c.Alone != nil {
		return standalone{c}.program()
	}
	b := &spawn.Builder{}
	fresh := c.fresh()
	oomScoreAdj(b, c.Spec.Process)
	kernelFiles := procfs(b, c.Spec.Process)
	c.enter(b, fresh)
	if c.bornInside() {
		b.CloneInto(passed(c.Files.Group))
	}
	if fresh&unix.CLONE_NEWNET != 0 {
		loopback(b)
	}
	if fresh&unix.CLONE_NEWUTS != 0 && c.Spec.Hostname != "" {
		hostname(b, c.Spec.Hostname)
	}
	build := c.build
	if c.forksLate() {
		build = c.buildOutside
	}
	if err := build(b, fresh); err != nil {
		return nil, err
	}
	if fresh&unix.CLONE_NEWCGROUP != 0 {
		b.Call(unix.SYS_UNSHARE, spawn.Imm(unix.CLONE_NEWCGROUP))
	}
	b.Step("session")
	b.Call(unix.SYS_SETSID)
	c.hide(b)
	return b, c.run(b, kernelFiles)
}

// build makes the root and the mounts, and joins the cgroup.
func (c Container) build(b *spawn.Builder, _ uint64) error {
	all := c.below("/")
	made := c.kernelMounts(b, all)
	c.root(b)
	err := c.mounts(b, all, made)
	c.console(b)
	if !c.bornInside() {
		joinCgroup(b, c.Files.Cgroups)
	}
	return err
}

// On cgroup v2 a process comes into its group by being cloned into it: a write to
// cgroup.procs waits for a grace period of RCU, 7–16 ms on an idle host. Either the
// first one is, or, when that would charge the container too much or is not allowed, the
// one that goes on when the world has been built.
func (c Container) bornInside() bool { return c.Files.Group >= 0 && !c.Outside }
func (c Container) forksLate() bool  { return c.Files.Group >= 0 && c.Outside }

// buildOutside is build by a process outside of the cgroup. The one that goes on, inside,
// mounts what its pid namespace needs:
// seen from the supervisor's mount namespace, because where no procfs is in sight a
// user namespace may not have a new one (mount_too_revealing in fs/namespace.c).
func (c Container) buildOutside(b *spawn.Builder, fresh uint64) error {
	b.Step("mount namespace: remember")
	own := b.Call(unix.SYS_OPENAT, cwd(), b.Str("/proc/self/ns"), spawn.Imm(unix.O_PATH|unix.O_CLOEXEC), spawn.Imm(0)).Result()
	present := func() spawn.Arg {
		return b.Call(unix.SYS_OPENAT, own, b.Str("mnt"), spawn.Imm(unix.O_RDONLY|unix.O_CLOEXEC), spawn.Imm(0)).Result()
	}
	outside := present()
	late := c.below("/proc")
	early := slices.DeleteFunc(c.below("/"), func(i int) bool { return slices.Contains(late, i) })
	made := c.kernelMounts(b, early)
	c.root(b)
	err := c.mounts(b, early, made)
	c.console(b)
	b.Step("mount namespace: leave and return")
	inside := present()
	b.Call(unix.SYS_SETNS, outside, spawn.Imm(unix.CLONE_NEWNS))
	cloneIntoCgroup(b, c.Files, fresh&unix.CLONE_NEWPID)
	made = c.kernelMounts(b, late)
	b.Step("mount namespace: leave and return")
	b.Call(unix.SYS_SETNS, inside, spawn.Imm(unix.CLONE_NEWNS))
	return errors.Join(err, c.mounts(b, late, made))
}

// below lists the mounts at dir and below, by index.
func (c Container) below(dir string) (which []int) {
	for i, m := range c.Spec.Mounts {
		if dir == "/" || firstDir(m.Destination) == dir {
			which = append(which, i)
		}
	}
	return which
}

// root enters a mount namespace of its own, a copy of the supervisor's base, with the
// container's root on top of the base's empty one. That leaves what pivot_root
// and umount2 would leave, with nothing to unmount: below the root lies an empty
// directory that nobody can write, as everywhere the kernel's rootfs does.
func (c Container) root(b *spawn.Builder) {
	b.Step("rootfs")
	b.Call(unix.SYS_SETNS, spawn.Imm(BaseFile), spawn.Imm(unix.CLONE_NEWNS))
	b.Call(unix.SYS_UNSHARE, spawn.Imm(unix.CLONE_NEWNS))
	root := passed(c.Files.Rootfs)
	moveMount(b, root, cwd(), "/")
	b.Call(unix.SYS_FCHDIR, root)
	b.Call(unix.SYS_CHROOT, b.Str("."))
}

// fresh are the flags of the namespaces that the container gets newly, besides the
// mount namespace.
func (c Container) fresh() (flags uint64) {
	for _, n := range c.Spec.Linux.Namespaces {
		if n.Path == "" {
			flags |= NamespaceFlag(string(n.Type))
		}
	}
	return flags &^ unix.CLONE_NEWNS
}

// enter joins and makes namespaces. The cgroup namespace comes later, once the
// process is in its cgroup. A pid namespace can only be entered by a child of who
// joined or made it: with that one forks once more, at once or late.
func (c Container) enter(b *spawn.Builder, fresh uint64) {
	flags := fresh &^ unix.CLONE_NEWCGROUP
	second := c.JoinTarget
	for _, j := range c.Files.Joins {
		second = second || j.Type == unix.CLONE_NEWPID
	}
	if c.forksLate() {
		b.CloneFlags, second = flags&^unix.CLONE_NEWPID, false
	} else if !second {
		b.CloneFlags = flags
	}
	b.Step("namespaces: join")
	if c.JoinTarget {
		b.Call(unix.SYS_SETNS, spawn.File(spawn.FileTarget), spawn.Imm(unix.CLONE_NEWPID))
	}
	for _, j := range c.Files.Joins {
		b.Call(unix.SYS_SETNS, passed(j.File), spawn.Imm(j.Type))
	}
	if second {
		b.Step("namespaces: make")
		b.Fork(flags)
	}
}

// kernelMounts makes the file systems that belong to namespaces, still detached.
func (c Container) kernelMounts(b *spawn.Builder, which []int) map[int]spawn.Arg {
	made := map[int]spawn.Arg{}
	for _, i := range which {
		m := c.Spec.Mounts[i]
		switch m.Type {
		case "proc", "sysfs":
			b.Step("mount " + m.Destination)
			made[i] = newMount(b, m, "")
		case "mqueue":
			b.Step("mount " + m.Destination)
			made[i] = newMount(b, m, "")
			c.labelQueues(b, made[i])
		}
		if m.Source == ShmSource && c.Files.Shm < 0 && c.Alone == nil {
			b.Step("mount " + m.Destination)
			made[i] = b.Call(unix.SYS_OPEN_TREE, cwd(), b.Str(shmDir), spawn.Imm(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).Result()
			label(b, made[i], c.Spec.Linux.MountLabel)
		}
	}
	return made
}

// ShmSource is the source of the mount that brings the sandbox's shared memory
// file system into a container.
const ShmSource = "carob:shm"

// newMount makes a file system of a mount's type, all of it with an SELinux label unless
// that is empty. Package ocispec and plan/oci have checked the options.
func newMount(b *spawn.Builder, m specs.Mount, label string) spawn.Arg {
	o, _ := mountopt.Parse(m.Options)
	fs := b.Call(unix.SYS_FSOPEN, b.Str(m.Type), spawn.Imm(unix.FSOPEN_CLOEXEC)).Result()
	b.Call(unix.SYS_FSCONFIG, fs, spawn.Imm(unix.FSCONFIG_SET_STRING), b.Str("source"), b.Str(m.Type), spawn.Imm(0))
	for _, d := range o.Data {
		key, value, isString := strings.Cut(d, "=")
		if isString {
			b.Call(unix.SYS_FSCONFIG, fs, spawn.Imm(unix.FSCONFIG_SET_STRING), b.Str(key), b.Str(value), spawn.Imm(0))
			continue
		}
		b.Call(unix.SYS_FSCONFIG, fs, spawn.Imm(unix.FSCONFIG_SET_FLAG), b.Str(key), spawn.Imm(0), spawn.Imm(0))
	}
	if label != "" {
		b.Call(unix.SYS_FSCONFIG, fs, spawn.Imm(unix.FSCONFIG_SET_STRING), b.Str("context"), b.Str(label), spawn.Imm(0))
	}
	b.Call(unix.SYS_FSCONFIG, fs, spawn.Imm(unix.FSCONFIG_CMD_CREATE), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
	mnt := b.Call(unix.SYS_FSMOUNT, fs, spawn.Imm(unix.FSMOUNT_CLOEXEC), spawn.Imm(o.Set|o.SetTree)).Result()
	b.Close(fs)
	return mnt
}

// mounts attaches mounts, in the order of the specification.
func (c Container) mounts(b *spawn.Builder, which []int, kernel map[int]spawn.Arg) error {
	for _, i := range which {
		m := c.Spec.Mounts[i]
		b.Step("mount " + m.Destination)
		if in, ok := c.Files.Inner[i]; ok {
			c.inner(b, m, in)
			continue
		}
		if c.special(b, m) {
			continue
		}
		mnt, ok := c.prepared(i)
		if made, isKernel := kernel[i]; isKernel {
			mnt, ok = made, true
		}
		if !ok {
			return fault.New(fault.Unsupported, "mount "+m.Destination+": file system "+m.Type+" is not supported")
		}
		place(b, mnt, target(b, m.Destination, m.Type == BindFile))
	}
	return nil
}

// special does what is not a move of one mount.
func (c Container) special(b *spawn.Builder, m specs.Mount) bool {
	if m.Type == Remount { // when everything else is there
		return true
	}
	if m.Type == "cgroup" {
		c.cgroupMounts(b, m.Destination)
		return true
	}
	return false
}

// prepared is the detached mount that was passed for the i-th one.
func (c Container) prepared(i int) (spawn.Arg, bool) {
	m := c.Spec.Mounts[i]
	n, ok := c.Files.Mounts[i]
	switch {
	case m.Destination == "/dev" && c.Files.Dev >= 0:
		n = c.Files.Dev
	case m.Destination == "/dev/pts" && c.Files.Pts >= 0:
		n = c.Files.Pts
	case m.Source == ShmSource && c.Files.Shm >= 0:
		n = c.Files.Shm
	case !ok:
		return spawn.Arg{}, false
	}
	return passed(n), true
}

// console puts the terminal at /dev/console: the first of a devpts that nobody else
// has seen yet.
func (c Container) console(b *spawn.Builder) {
	if !c.Spec.Process.Terminal {
		return
	}
	b.Step("mount /dev/console")
	at := target(b, "/dev/console", true)
	tty := b.Call(unix.SYS_OPEN_TREE, cwd(), b.Str("/dev/pts/0"), spawn.Imm(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)).Result()
	place(b, tty, at)
	b.Close(tty)
}

// BindFile is the mount type that the handler gives a bind mount of something that
// is not a directory.
const BindFile = "bind-file"

// Remount is the mount type of a change to something that is mounted already.
const Remount = "remount"

func (c Container) cgroupMounts(b *spawn.Builder, at string) {
	for _, d := range c.Files.CgroupDirs {
		place(b, passed(d.File), target(b, path.Join(at, d.Name), false))
	}
}

// joinCgroup moves the process: a "0" written to a v1 tasks file costs microseconds.
func joinCgroup(b *spawn.Builder, files []int) {
	b.Step("cgroup: join")
	for _, f := range files {
		b.Call(unix.SYS_WRITE, passed(f), b.Str("0"), spawn.Imm(1))
	}
}

// cloneIntoCgroup goes on in a process that begins in the cgroup, and in the namespaces
// of flags. The supervisor may not make one everywhere (a group whose parent the user
// chose is the host's); then the slow write must do, with the rights of who opened the
// file.
func cloneIntoCgroup(b *spawn.Builder, f Files, flags uint64) {
	b.Step("cgroup: join")
	b.ForkInto(flags, passed(f.Group)).Allow(uintptr(unix.EACCES), uintptr(unix.ENOENT)).SkipOnOK(1 + len(f.Cgroups))
	b.Fork(flags)
	joinCgroup(b, f.Cgroups)
}

// hide covers masked paths with the container's own null device or an empty
// directory, makes read-only what is to be read-only, the root last.
func (c Container) hide(b *spawn.Builder) {
	noLinks := uint64(unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS)
	gone := []uintptr{uintptr(unix.ENOENT), uintptr(unix.ENOTDIR)} // this kernel has no such file
	for _, p := range c.Spec.Linux.MaskedPaths {
		b.Step("mask " + p)
		dir := openTarget(b, p, unix.O_DIRECTORY, noLinks).Allow(gone...).SkipOnErr(c.covering()).Result()
		cover(b, newMount(b, emptyDir(), c.Spec.Linux.MountLabel), dir).SkipOnOK(5)
		file := openTarget(b, p, 0, noLinks).Allow(gone...).SkipOnErr(4).Result()
		null := b.Call(unix.SYS_OPEN_TREE, cwd(), b.Str("/dev/null"), spawn.Imm(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)).Result()
		cover(b, null, file)
	}
	for _, p := range c.Spec.Linux.ReadonlyPaths {
		b.Step("read-only " + p)
		at := openTarget(b, p, 0, noLinks).Allow(gone...).SkipOnErr(5).Result()
		tree := b.Call(unix.SYS_OPEN_TREE, at, b.Str(""), spawn.Imm(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)).Result()
		setattr(b, tree, "", unix.MOUNT_ATTR_RDONLY)
		cover(b, tree, at)
	}
	if c.Spec.Root != nil && c.Spec.Root.Readonly {
		b.Step("rootfs: read-only")
		setattr(b, cwd(), "/", unix.MOUNT_ATTR_RDONLY)
	}
}

// cover moves a mount onto an open target and closes both. A detached mount must not be
// closed without having been moved: the kernel then waits for a grace period.
func cover(b *spawn.Builder, mnt, at spawn.Arg) spawn.Ref {
	moveMount(b, mnt, at, "")
	b.Close(mnt)
	return b.Close(at)
}

// emptyDir is the read-only file system that covers a masked directory.
func emptyDir() specs.Mount {
	return specs.Mount{Type: "tmpfs", Options: []string{"ro", "nosuid", "nodev", "noexec"}}
}
