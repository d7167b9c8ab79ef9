package initstage

import (
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/sys/spawn"
)

// Fixed names in the supervisor's own root, which holds nothing else.
const (
	shmDir = "/shm"
)

// SandboxDirs are the directories that the supervisor's root must have.
func SandboxDirs() []string { return []string{"proc", "sys", "shm"} }

// Sandbox is what a supervisor does to itself once: Setup's files are the detached
// memory file system that becomes its root, then with Proc that for /proc, then with
// ForeignShm that for /shm.
type Sandbox struct {
	// Proc says that a procfs was passed. Otherwise it is the host's with all that is
	// mounted over its files, beside which the kernel lets a user namespace make none
	// of its own (fs/namespace.c, mount_too_revealing).
	Proc bool
	Named
	// Loopback brings lo up; the network namespace must be the sandbox's own.
	Loopback bool
	// ShmSize in bytes makes /shm; with ForeignShm a file is moved there.
	ShmSize    int64
	ForeignShm bool
}

// Named is what of a sandbox depends on the pod's own request.
type Named struct {
	// Hostname is set when not empty; the UTS namespace must be the sandbox's own.
	Hostname string
	Sysctls  map[string]string
}

// Program returns the program that gives a sandbox its name and its sysctls, to be run
// in a supervisor whose Sandbox had none. A pod with the host's name has nothing to be
// given, but no program is without a call.
func (n Named) Program() *spawn.Builder {
	b := &spawn.Builder{}
	if n.apply(b); n.Hostname == "" && len(n.Sysctls) == 0 {
		b.Call(unix.SYS_GETPID)
	}
	return b
}

// Program returns the sandbox's program, to be run in the supervisor itself.
func (s Sandbox) Program() *spawn.Builder {
	b := &spawn.Builder{}
	passed := spawn.FirstFile
	next := func() spawn.Arg { passed++; return spawn.File(passed - 1) }
	root := next()
	b.Step("mounts: leave the host's")
	b.Call(unix.SYS_MOUNT, spawn.Imm(0), b.Str("/"), spawn.Imm(0), spawn.Imm(unix.MS_REC|unix.MS_PRIVATE), spawn.Imm(0))
	trees := map[string]spawn.Arg{}
	for _, fs := range []string{"/proc", "/sys"} {
		if fs == "/proc" && s.Proc {
			trees[fs] = next()
			continue
		}
		trees[fs] = b.Call(unix.SYS_OPEN_TREE, cwd(), b.Str(fs), spawn.Imm(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)).Result()
	}
	moveMount(b, root, cwd(), "/")
	pivot(b, root)
	setattr(b, cwd(), "/", unix.MOUNT_ATTR_RDONLY)
	base(b, trees["/proc"])
	b.Step("mounts: the supervisor's own")
	for _, fs := range []string{"/proc", "/sys"} {
		moveMount(b, trees[fs], cwd(), fs)
		b.Close(trees[fs])
	}
	if s.ForeignShm {
		moveMount(b, next(), cwd(), shmDir)
	} else if s.ShmSize > 0 {
		b.Step("mount /dev/shm")
		shm(b, shmDir, s.ShmSize)
	}
	if s.Loopback {
		loopback(b)
	}
	s.apply(b)
	return b
}

func shm(b *spawn.Builder, at string, size int64) {
	b.Call(unix.SYS_MOUNT, b.Str("shm"), b.Str(at), b.Str("tmpfs"), spawn.Imm(unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC),
		b.Str("mode=1777,size="+strconv.FormatInt(size, 10)))
}

func (n Named) apply(b *spawn.Builder) {
	if n.Hostname != "" {
		hostname(b, n.Hostname)
	}
	keys := make([]string, 0, len(n.Sysctls))
	for k := range n.Sysctls {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		b.Step("sysctl " + k)
		writeFile(b, "/proc/sys/"+strings.ReplaceAll(k, ".", "/"), n.Sysctls[k])
	}
}

// BaseFile is the supervisor's descriptor of its base: a mount namespace that holds
// nothing but an empty, read-only root. Whoever starts a supervisor gives it
// something in this place, which Sandbox's program replaces.
//
// Containers begin in a copy of the base. Had they a copy of the supervisor's own
// namespace, each would have to unmount a dozen mounts, and umount2(2) waits for
// an RCU grace period: 0.3 to 0.5 ms of a start that takes one (Linux 6.18).
const BaseFile = 4

// base leaves the namespace as it is now for containers, and goes on in a copy. Only
// this thread does: it is the one that children are cloned from.
func base(b *spawn.Builder, proc spawn.Arg) {
	b.Step("mounts: keep an empty namespace")
	empty := b.Call(unix.SYS_OPENAT, proc, b.Str("thread-self/ns/mnt"), spawn.Imm(unix.O_RDONLY|unix.O_CLOEXEC), spawn.Imm(0)).Result()
	b.Call(unix.SYS_DUP3, empty, spawn.Imm(BaseFile), spawn.Imm(unix.O_CLOEXEC))
	b.Close(empty)
	b.Call(unix.SYS_UNSHARE, spawn.Imm(unix.CLONE_NEWNS))
}

// Reaper returns the program of the pod's PID 1 when the containers share a PID
// namespace: it has no privileges, no files and no executable of its own, ignores
// SIGCHLD, which makes the kernel reap what is handed to it, and sleeps.
func Reaper(caps int) *spawn.Builder {
	b := &spawn.Builder{CloneFlags: unix.CLONE_NEWPID}
	b.Step("reaper")
	b.Call(unix.SYS_SETSID)
	b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_NAME), b.Str("carob-reaper"))
	ignore := make([]byte, 32) // struct sigaction: handler SIG_IGN = 1
	ignore[0] = 1
	b.Call(unix.SYS_RT_SIGACTION, spawn.Imm(unix.SIGCHLD), b.Bytes(ignore), spawn.Imm(0), spawn.Imm(8))
	b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_NO_NEW_PRIVS), spawn.Imm(1), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
	for c := range caps {
		b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_CAPBSET_DROP), spawn.Imm(c)).Allow(uintptr(unix.EINVAL))
	}
	capset(b, 0, 0, 0)
	b.Call(unix.SYS_CLOSE_RANGE, spawn.Imm(0), spawn.Imm(^uint32(0)), spawn.Imm(0))
	b.Pause()
	return b
}

func loopback(b *spawn.Builder) {
	b.Step("network: lo up")
	ifreq := make([]byte, 40)
	copy(ifreq, "lo")
	ifreq[16] = unix.IFF_UP
	s := b.Call(unix.SYS_SOCKET, spawn.Imm(unix.AF_INET), spawn.Imm(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), spawn.Imm(0)).Result()
	b.Call(unix.SYS_IOCTL, s, spawn.Imm(unix.SIOCSIFFLAGS), b.Bytes(ifreq))
	b.Close(s)
}

func hostname(b *spawn.Builder, name string) {
	b.Step("hostname " + name)
	b.Call(unix.SYS_SETHOSTNAME, b.Str(name), spawn.Imm(len(name)))
}

func writeFile(b *spawn.Builder, path, value string) {
	f := b.Call(unix.SYS_OPENAT, cwd(), b.Str(path), spawn.Imm(unix.O_WRONLY|unix.O_CLOEXEC), spawn.Imm(0)).Result()
	b.Call(unix.SYS_WRITE, f, b.Str(value), spawn.Imm(len(value)))
	b.Close(f)
}

func cwd() spawn.Arg { return spawn.Imm(unix.AT_FDCWD) }

// moveMount attaches the detached mount to a path below at.
func moveMount(b *spawn.Builder, m, at spawn.Arg, path string) spawn.Ref {
	flags := unix.MOVE_MOUNT_F_EMPTY_PATH
	if path == "" {
		flags |= unix.MOVE_MOUNT_T_EMPTY_PATH
	}
	return b.Call(unix.SYS_MOVE_MOUNT, m, b.Str(""), at, b.Str(path), spawn.Imm(flags))
}

// pivot makes the mount that has just been moved onto "/" the root and lets go of
// all others.
func pivot(b *spawn.Builder, root spawn.Arg) {
	b.Call(unix.SYS_FCHDIR, root)
	b.Call(unix.SYS_PIVOT_ROOT, b.Str("."), b.Str("."))
	b.Call(unix.SYS_UMOUNT2, b.Str("."), spawn.Imm(unix.MNT_DETACH))
	b.Call(unix.SYS_CHDIR, b.Str("/"))
}

func setattr(b *spawn.Builder, at spawn.Arg, path string, set uint64) spawn.Ref {
	attr := make([]byte, 32) // struct mount_attr: attr_set, attr_clr, propagation, userns_fd
	putU64(attr, set)
	flags := 0
	if path == "" {
		flags = unix.AT_EMPTY_PATH
	}
	return b.Call(unix.SYS_MOUNT_SETATTR, at, b.Str(path), spawn.Imm(flags), b.Bytes(attr), spawn.Imm(len(attr)))
}
