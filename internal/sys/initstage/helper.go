package initstage

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/sys/spawn"
)

// HostSandbox is what the supervisor of a pod under a foreign OCI runtime does to
// itself once. It keeps the host's root, as the runtime needs it, in a mount namespace
// of its own: the host's mounts come in, what is mounted here stays here, and all of
// it goes with the last process of the pod, whoever dies how. Setup's one file, if there is
// one, is the mount for Shm.
//
// The containers of a pod with a user namespace of its own must find their mounts by
// name, and their root is nobody in directories that are the host's root's only. For
// them Here is mounted at View as well, which leads through none of those.
type HostSandbox struct {
	// Hostname, Loopback and Sysctls are as in Sandbox.
	Hostname string
	Loopback bool
	Sysctls  map[string]string
	// Shm is the directory that becomes the pod's /dev/shm: a file system of ShmSize
	// bytes, or with 0 the file. It is not made when empty.
	Shm     string
	ShmSize int64
	// Hide is a mount in whose place the runtime finds an empty file system of the pod's,
	// Keep one in which it can make nothing, what is mounted below left aside, and Cover a
	// directory that it finds empty; "" is none.
	Hide, Keep, Cover string
	// Here is a directory that is to be seen at View, too, which exists; both "" are none. A
	// Shm is then below View.
	Here, View string
	// Users is the file of the user namespace that is mounted at UsersAt, a file: that
	// keeps it, and names it for the runtime. Both "" are none.
	Users, UsersAt string
}

// Program returns the sandbox's program, to be run in the supervisor itself.
func (s HostSandbox) Program() *spawn.Builder {
	b := &spawn.Builder{}
	b.Step("mounts: let none out")
	b.Call(unix.SYS_MOUNT, spawn.Imm(0), b.Str("/"), spawn.Imm(0), spawn.Imm(unix.MS_REC|unix.MS_SLAVE), spawn.Imm(0))
	if s.Hide != "" {
		b.Call(unix.SYS_UMOUNT2, b.Str(s.Hide), spawn.Imm(unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)).
			Allow(uintptr(unix.EINVAL), uintptr(unix.ENOENT)).SkipOnErr(1)
		empty(b, s.Hide)
	}
	if s.Cover != "" {
		empty(b, s.Cover)
	}
	if s.Keep != "" {
		setattr(b, cwd(), s.Keep, unix.MOUNT_ATTR_RDONLY)
	}
	b.Step("subreaper") // what a helper makes becomes the supervisor's child when the helper ends
	b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_CHILD_SUBREAPER), spawn.Imm(1), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
	if s.View != "" {
		bind(b, s.Here, s.View)
	}
	if s.Users != "" {
		bind(b, s.Users, s.UsersAt)
	}
	if s.Shm != "" {
		b.Step("mount /dev/shm")
		if s.ShmSize > 0 {
			shm(b, s.Shm, s.ShmSize)
		} else {
			moveMount(b, spawn.File(spawn.FirstFile), cwd(), s.Shm)
		}
	}
	if s.Loopback {
		loopback(b)
	}
	Named{Hostname: s.Hostname, Sysctls: s.Sysctls}.apply(b)
	return b
}

func bind(b *spawn.Builder, from, to string) {
	b.Step("mount " + to)
	b.Call(unix.SYS_MOUNT, b.Str(from), b.Str(to), spawn.Imm(0), spawn.Imm(unix.MS_BIND), spawn.Imm(0))
}

func empty(b *spawn.Builder, at string) {
	b.Call(unix.SYS_MOUNT, b.Str("tmpfs"), b.Str(at), b.Str("tmpfs"), spawn.Imm(unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC), b.Str("mode=755"))
}

// Attach returns the program that puts Setup's files, detached mounts, at these paths
// of the supervisor's mount namespace.
func Attach(paths []string) *spawn.Builder {
	b := &spawn.Builder{}
	for i, p := range paths {
		b.Step("mount " + p)
		moveMount(b, passed(i), cwd(), p)
	}
	return b
}

// Detach returns the program that takes away what Attach has put there, the last
// first; what is not there any more is left out.
func Detach(paths []string) *spawn.Builder {
	b := &spawn.Builder{}
	for i := len(paths) - 1; i >= 0; i-- {
		b.Step("unmount " + paths[i])
		b.Call(unix.SYS_UMOUNT2, b.Str(paths[i]), spawn.Imm(unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)).
			Allow(uintptr(unix.EINVAL), uintptr(unix.ENOENT))
	}
	return b
}

// Helper is a command of the host's that runs as the supervisor does, in the pod's
// namespaces: an OCI runtime, with the streams that its container's process will have.
type Helper struct {
	// Args are the command, an absolute path first.
	Args, Env []string
	// Dir is its working directory.
	Dir string
	// User will own the streams.
	User specs.User
}

// Program returns the helper's program.
func (h Helper) Program() *spawn.Builder {
	b := &spawn.Builder{}
	p := &specs.Process{Args: h.Args, Env: h.Env, User: h.User}
	oomScoreAdj(b, p) // not the supervisor's, which everything that it starts would inherit
	b.Step("session")
	b.Call(unix.SYS_SETSID)
	b.Step("streams")
	pipes(b, p, ownNulls(b))
	b.Step("directory " + h.Dir)
	b.Call(unix.SYS_CHDIR, b.Str(h.Dir))
	(&ending{p: p}).execute(b)
	return b
}

// ownNulls opens an empty file to read from and a null device to write to, which nobody
// else has. gVisor gives its streams to the user of its sandbox, and so gave away the
// host's /dev/null; crun (1.8.1) puts the container's /dev/null in the place of any null
// device and then gives that to the container's user, be it the host's, mounted there.
func ownNulls(b *spawn.Builder) [3]spawn.Arg {
	fs := b.Call(unix.SYS_FSOPEN, b.Str("tmpfs"), spawn.Imm(unix.FSOPEN_CLOEXEC)).Result()
	b.Call(unix.SYS_FSCONFIG, fs, spawn.Imm(unix.FSCONFIG_CMD_CREATE), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
	dir := b.Call(unix.SYS_FSMOUNT, fs, spawn.Imm(unix.FSMOUNT_CLOEXEC), spawn.Imm(0)).Result()
	b.Close(fs)
	b.Call(unix.SYS_MKNODAT, dir, b.Str("null"), spawn.Imm(unix.S_IFCHR|0o666), spawn.Imm(unix.Mkdev(1, 3)))
	null := b.Call(unix.SYS_OPENAT, dir, b.Str("null"), spawn.Imm(unix.O_RDWR|unix.O_CLOEXEC), spawn.Imm(0)).Result()
	b.Call(unix.SYS_MKNODAT, dir, b.Str("empty"), spawn.Imm(unix.S_IFREG|0o444), spawn.Imm(0))
	empty := b.Call(unix.SYS_OPENAT, dir, b.Str("empty"), spawn.Imm(unix.O_RDONLY|unix.O_CLOEXEC), spawn.Imm(0)).Result()
	b.Close(dir)
	return [3]spawn.Arg{empty, null, null}
}

// Worker is a CRIU that restores a container: it works in the container's cgroup, from
// which what it makes inherits it, and in a cgroup namespace that begins there.
type Worker struct {
	// Args are the command, an absolute path first.
	Args, Env []string
	// Files are places of passed files, which get the numbers from WorkerFile on.
	Files []int
	// Cgroups are places of files to write "0" to. Mounts is the place of the mount namespace
	// to be entered, -1 is the one that it is started in.
	Cgroups []int
	Mounts  int
	// Streams says that a supervisor starts it: it gets streams that belong to User, and a
	// session of its own.
	Streams bool
	User    specs.User
}

// WorkerFile is the number of a Worker's first file: above all that are open otherwise.
const WorkerFile = 64

// Program returns the worker's program.
func (w Worker) Program() *spawn.Builder {
	b := &spawn.Builder{}
	p := &specs.Process{Args: w.Args, Env: w.Env, User: w.User}
	if w.Streams {
		oomScoreAdj(b, p)
	}
	joinCgroup(b, w.Cgroups)
	b.Step("cgroup namespace")
	b.Call(unix.SYS_UNSHARE, spawn.Imm(unix.CLONE_NEWCGROUP))
	if w.Mounts >= 0 {
		b.Step("mount namespace")
		b.Call(unix.SYS_SETNS, passed(w.Mounts), spawn.Imm(unix.CLONE_NEWNS))
	}
	if w.Streams {
		b.Step("session")
		b.Call(unix.SYS_SETSID)
		streams(b, p, -1)
	}
	b.Step("descriptors")
	b.Call(unix.SYS_CLOSE_RANGE, spawn.Imm(3), spawn.Imm(^uint32(0)), spawn.Imm(unix.CLOSE_RANGE_CLOEXEC))
	for i, f := range w.Files {
		b.Call(unix.SYS_DUP3, passed(f), spawn.Imm(WorkerFile+i), spawn.Imm(0))
	}
	b.Call(unix.SYS_RT_SIGPROCMASK, spawn.Imm(unix.SIG_SETMASK), b.Bytes(make([]byte, 8)), spawn.Imm(0), spawn.Imm(8))
	b.Step(StepExec)
	b.Call(unix.SYS_EXECVE, b.Str(w.Args[0]), b.Strings(w.Args), b.Strings(w.Env))
	return b
}
