package loop

import (
	"bytes"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Open returns a pidfd of a process: a descriptor that is readable when it has
// ended. It is close-on-exec.
func Open(pid int) (int, Errno) {
	n, _, e := syscall.RawSyscall(unix.SYS_PIDFD_OPEN, uintptr(pid), 0, 0)
	return result(n, e)
}

// Kill sends a signal to the process of a pidfd; ESRCH when it has ended.
func Kill(pidfd, signal int) Errno {
	_, _, e := syscall.RawSyscall6(unix.SYS_PIDFD_SEND_SIGNAL, uintptr(pidfd), uintptr(signal), 0, 0, 0, 0)
	return e
}

// KillChild kills a child that has not been reaped; its pid cannot have gone to
// another process.
func KillChild(pid int) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_KILL, uintptr(pid), uintptr(syscall.SIGKILL), 0) // dead is as good
}

// KillGroup sends a signal to the process group that an unreaped child leads.
func KillGroup(pid, signal int) Errno {
	_, _, e := syscall.RawSyscall(syscall.SYS_KILL, uintptr(-pid), uintptr(signal), 0)
	return e
}

// Reap takes the exit status of the child pid, if it has ended; ok is false while
// it runs. ECHILD means that there is no such child.
func Reap(pid int) (status uint32, ok bool, e Errno) {
	n, _, e := syscall.RawSyscall6(syscall.SYS_WAIT4, uintptr(pid), uintptr(unsafe.Pointer(&status)), syscall.WNOHANG|syscall.WALL, 0, 0, 0)
	return status, e == 0 && n != 0, e
}

// Dead returns the pid of a child that has ended and was not reaped, 0 if there
// is none. It stays unreaped.
func Dead() int {
	// siginfo_t on 64 bits: signo, errno, code, padding, then si_pid.
	var info [32]int32
	const flags = syscall.WEXITED | syscall.WNOHANG | syscall.WNOWAIT | syscall.WALL
	if _, _, e := syscall.RawSyscall6(syscall.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)), flags, 0, 0); e != 0 {
		return 0
	}
	return int(info[4])
}

// Mine reports whether pid is a child of this process, alive or not reaped.
func Mine(pid int) bool {
	const flags = syscall.WEXITED | syscall.WNOHANG | syscall.WNOWAIT | syscall.WALL
	_, _, e := syscall.RawSyscall6(syscall.SYS_WAITID, unix.P_PID, uintptr(pid), 0, flags, 0, 0)
	return e == 0
}

// Parent returns the pid of a process's parent as /proc tells it, 0 when it is gone.
func Parent(pid int) int {
	fd, e := OpenFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if e != 0 {
		return 0
	}
	defer Close(fd)
	var b [512]byte
	n, _ := Read(fd, b[:])
	// PID (NAME) STATE PPID …, where NAME may hold anything.
	rest := b[:n]
	if i := bytes.LastIndexByte(rest, ')'); i >= 0 && len(rest) > i+4 {
		word, _, _ := bytes.Cut(rest[i+4:], []byte(" "))
		parent, _ := strconv.Atoi(string(word))
		return parent
	}
	return 0
}

// CloseFrom closes every descriptor from fd on.
func CloseFrom(fd int) Errno {
	_, _, e := syscall.RawSyscall(unix.SYS_CLOSE_RANGE, uintptr(fd), uintptr(^uint32(0)), 0)
	return e
}

// Shield makes every descriptor up to last close-on-exec.
func Shield(last int) Errno {
	_, _, e := syscall.RawSyscall(unix.SYS_CLOSE_RANGE, 0, uintptr(last), unix.CLOSE_RANGE_CLOEXEC)
	return e
}

// Harden makes this process unreadable and untraceable for others with its user
// ID (prctl PR_SET_DUMPABLE): its memory maps and descriptors reach outside of the
// sandbox. It lasts until execve.
func Harden() Errno {
	_, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0, 0)
	return e
}

// sigaction is the kernel's struct sigaction.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// Addresses of a signal handler that does nothing and of its way back.
func nothing() uintptr
func restorer() uintptr

// Shrug makes this process indifferent to the signals that people, terminals and
// service managers send to end one, and blocks SIGPIPE in the calling thread,
// which is where writing to a closed pipe raises it. None of it reaches children
// that are cloned with CLONE_CLEAR_SIGHAND and set their mask: the signals have a
// handler rather than SIG_IGN, which would survive clone and execve (signal(7))
// and make every container deaf to SIGTERM. SIGCHLD gets its default, which is to
// do nothing at no cost; the runtime's handler would run at every exit.
func Shrug() {
	for _, s := range [...]syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
	} {
		act(s, nothing())
	}
	act(syscall.SIGCHLD, 0)
	set := uint64(1) << (syscall.SIGPIPE - 1)
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, uintptr(unsafe.Pointer(&set)), 0, 8, 0, 0) // cannot fail
}

func act(s syscall.Signal, handler uintptr) {
	// SA_ONSTACK: a goroutine's stack has no room for a signal frame.
	const saOnStack, saRestart, saRestorer = 0x08000000, 0x10000000, 0x04000000
	a := sigaction{handler: handler, flags: saOnStack | saRestart, restorer: restorer()}
	if a.restorer != 0 {
		a.flags |= saRestorer
	}
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&a)), 0, 8, 0, 0) // all are signals
}

// Sleep never returns; what has no signal handler ends it.
func Sleep() {
	for {
		_, _, _ = syscall.Syscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0) // as pause(2), which arm64 has not
	}
}

// Self returns the process's own pid.
func Self() int { return syscall.Getpid() }

// Exit ends this process.
func Exit(code int) { syscall.Exit(code) }

// Prompt has this thread run soon after it is woken, even where others that use their
// whole slice keep the processors busy: it asks for a short slice itself (sched(7); before
// Linux 6.12 that is no more than a wish). Children begin with the usual one.
func Prompt() {
	var a unix.SchedAttr
	const sizeof = uint32(unsafe.Sizeof(a))
	if _, _, e := syscall.RawSyscall6(unix.SYS_SCHED_GETATTR, 0, uintptr(unsafe.Pointer(&a)), uintptr(sizeof), 0, 0, 0); e != 0 || a.Policy != unix.SCHED_NORMAL {
		return
	}
	a.Size, a.Runtime = sizeof, slice
	a.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
	_, _, _ = syscall.RawSyscall(unix.SYS_SCHED_SETATTR, 0, uintptr(unsafe.Pointer(&a)), 0)
}

// slice is the shortest there is, in nanoseconds.
const slice = 100_000
