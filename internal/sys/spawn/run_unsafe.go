package spawn

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"carob/internal/sys/reaper"
)

// Child is a process that runs a program. Its owner reads Report until it ends,
// closes both descriptors and waits for the process.
type Child struct {
	// Pid of the first process; PidFD refers to it.
	Pid, PidFD int
	// Report is the read end of the report pipe, close-on-exec and blocking.
	Report int
}

// ReportKind says what a Report is about.
type ReportKind uint32

// The kinds of reports.
const (
	// ReportPid gives, after Fork, the pid of the process that goes on.
	ReportPid ReportKind = 1
	// ReportFailed gives the step and errno of the call that ended the program.
	ReportFailed ReportKind = 2
	// ReportNumber gives the number of a Tell.
	ReportNumber ReportKind = 3
)

// Report is what a child tells its maker before execve, as it stands in the pipe.
type Report struct {
	Kind  ReportKind
	Step  uint32
	Value uint64
}

// ReportSize is the size of a Report in the pipe, in bytes. Reports are written
// whole.
const ReportSize = int(unsafe.Sizeof(Report{}))

// ReadReport reads one report: ok is false at the end, when execve has succeeded
// or after a failure.
func (c Child) ReadReport() (r Report, ok bool, err syscall.Errno) {
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&r)), ReportSize)
	for {
		n, e := syscall.Read(c.Report, buf)
		switch {
		case e == syscall.EINTR:
			continue
		case e != nil:
			return r, false, errno(e)
		case n == 0:
			return r, false, 0
		case n != ReportSize:
			return r, false, syscall.EPROTO
		}
		return r, true, 0
	}
}

// cloneArgs is struct clone_args of clone3(2), as of Linux 5.5.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal uint64
	stack, stackSize, tls, setTID, setTIDSize     uint64
	cgroup                                        uint64
}

// Start clones a child that runs the program, with the given file table (see
// FileStdin and FirstFile; missing entries are -1). The child's signals are all
// blocked and their handlers the default ones; everything else it inherits. The
// descriptors in files stay the caller's.
func (p *Program) Start(files []int) (Child, syscall.Errno) { return p.start(files, &cloneArgs{}) }

// StartShared is Start with a child that shares this process's memory until execve, on a
// stack of its own: what is cloned is not what this process has grown to, nor is its
// memory copied bit by bit after. p must stay until the report ends. It is for programs
// that nobody else can get hold of before execve, since whoever controls the child, or
// kills it for want of memory, does so to this process; and not for those that Fork, Init
// or Pause.
func (p *Program) StartShared(files []int) (Child, syscall.Errno) {
	if raced {
		return p.Start(files)
	}
	p.stack = make([]byte, sharedStack)
	return p.start(files, &cloneArgs{
		flags: unix.CLONE_VM,
		stack: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p.stack)))), stackSize: sharedStack,
	})
}

// sharedStack is twice what nosplit functions, with what is below them, may use.
const sharedStack = 2048

// start fills in what all children have of args.
func (p *Program) start(files []int, args *cloneArgs) (Child, syscall.Errno) {
	p.fillFiles(files)
	if p.head.group > uint64(len(files)) {
		return Child{}, syscall.EBADF
	}
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		return Child{}, errno(err)
	}
	p.pidfd = -1
	args.flags |= p.head.flags | unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND
	args.pidfd = uint64(uintptr(unsafe.Pointer(&p.pidfd))) // p is not on a stack and stays where it is
	args.exitSignal = uint64(syscall.SIGCHLD)
	if g := p.head.group; g > 0 {
		args.flags, args.cgroup = args.flags|unix.CLONE_INTO_CGROUP, uint64(files[g-1])
	}
	syscall.ForkLock.Lock()
	pid, err := fork(args, p, uintptr(pipe[1]))
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(p)
	_ = syscall.Close(pipe[1])
	if err != 0 {
		_ = syscall.Close(pipe[0])
		return Child{}, err
	}
	return Child{Pid: int(pid), PidFD: int(p.pidfd), Report: pipe[0]}, 0
}

// RunHere runs the program in this process instead of a child. Pseudo calls are
// refused with EINVAL. It returns the step that did not succeed.
func (p *Program) RunHere(files []int) (step int, err syscall.Errno) {
	for i := range p.calls {
		if p.calls[i].nr >= callFork {
			return int(p.calls[i].step), syscall.EINVAL
		}
	}
	p.fillFiles(files)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, _, e := run(p, ^uintptr(0))
	return int(s), e
}

// fillFiles turns file arguments into descriptors.
func (p *Program) fillFiles(files []int) {
	for i := range p.calls {
		c := &p.calls[i]
		for k, kind := range c.kinds {
			if kind != kindFile {
				continue
			}
			fd := -1
			if n := c.args[k]; n < uint64(len(files)) {
				fd = files[n]
			}
			c.kinds[k], c.args[k] = kindImm, uint64(fd)
		}
	}
}

//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

// fork clones and, in the child, runs the program and never returns. From the
// clone on the child has one thread of a runtime that does not know of it: nothing
// below may allocate, grow the stack, or be preempted.
//
//go:norace
//go:nosplit
func fork(args *cloneArgs, p *Program, report uintptr) (pid uintptr, err syscall.Errno) {
	runtimeBeforeFork()
	if args.stack != 0 {
		var e uintptr
		pid, e = cloneOnto(args, unsafe.Sizeof(*args), p, report)
		err = syscall.Errno(e)
	} else {
		pid, _, err = syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0, 0, 0, 0)
		if err == 0 && pid == 0 {
			runChild(p, report)
		}
	}
	runtimeAfterFork()
	return pid, err
}

// cloneOnto clones a child onto the stack in args, which calls runChild.
//
//go:noescape
func cloneOnto(args *cloneArgs, size uintptr, p *Program, report uintptr) (pid, errno uintptr)

// runChild is the child.
//
//go:norace
//go:nosplit
func runChild(p *Program, report uintptr) {
	defaultSignals()
	step, report, err := run(p, report)
	if err != 0 {
		tell(report, ReportFailed, step, uintptr(err))
		exit(127)
	}
	exit(0)
}

// defaultSignals gives every signal its default action. CLONE_CLEAR_SIGHAND leaves
// the ignored ones ignored and execve does too, so that a container would start with
// what whoever started the daemon happened to ignore (nohup's SIGHUP, for one). KILL
// and STOP refuse, which is fine. 4 µs in all.
//
//go:norace
//go:nosplit
func defaultSignals() {
	var action [4]uint64 // struct sigaction of the kernel, all zero: SIG_DFL
	for sig := uintptr(1); sig <= 64; sig++ {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
}

// exitHandler returns the address of a signal handler that ends the process with 128 and
// the signal's number. It is no Go code: it needs no stack of Go's and no runtime.
//
//go:noescape
func exitHandler() uintptr

// mortal gives the signals that end a process a handler that does.
//
//go:norace
//go:nosplit
func mortal() {
	const restorer = 0x04000000 // SA_RESTORER, which x86 insists on
	handler := uint64(exitHandler())
	action := [4]uint64{handler, restorer, handler, 0} // struct sigaction of the kernel
	for sig := uintptr(1); sig <= 64; sig++ {
		switch syscall.Signal(sig) {
		case syscall.SIGCONT, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
			continue
		}
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0) // KILL and STOP refuse
	}
}

// run makes the calls one after another. It returns where to report what went wrong.
//
//go:norace
//go:nosplit
func run(p *Program, report uintptr) (step, to uintptr, err syscall.Errno) {
	n := uintptr(len(p.calls))
	first := unsafe.Pointer(unsafe.SliceData(p.calls))
	for i := uintptr(0); i < n; i++ {
		c := (*call)(unsafe.Add(first, i*callSize))
		var r uintptr
		switch c.nr {
		case callFork:
			r, err = divide(report, uint64(c.args[0]), uint64(c.args[1]))
		case callInit:
			r, err = beInit()
		case callEnter:
			err = enter(arg(p, c, 0), arg(p, c, 1))
		case callPause, callAwait, callTell, callReady, callMortal:
			report, err = converse(c, arg(p, c, 0), report)
		default:
			r, _, err = syscall.RawSyscall6(uintptr(c.nr), arg(p, c, 0), arg(p, c, 1), arg(p, c, 2), arg(p, c, 3), arg(p, c, 4), arg(p, c, 5))
		}
		if err != 0 {
			if !permits(c, err) {
				return uintptr(c.step), report, err
			}
			r = ^uintptr(0)
			i += uintptr(c.skipErr)
		} else {
			i += uintptr(c.skipOK)
		}
		if c.out != 0 {
			*(*uintptr)(unsafe.Add(unsafe.Pointer(&p.regs), uintptr(c.out)*unsafe.Sizeof(uintptr(0)))) = r
		}
		err = 0
	}
	return 0, report, 0
}

//go:norace
//go:nosplit
func arg(p *Program, c *call, k uintptr) uintptr {
	v := uintptr(*(*uint64)(unsafe.Add(unsafe.Pointer(&c.args), k*8)))
	if *(*uint8)(unsafe.Add(unsafe.Pointer(&c.kinds), k)) == kindReg {
		return *(*uintptr)(unsafe.Add(unsafe.Pointer(&p.regs), v*unsafe.Sizeof(uintptr(0))))
	}
	return v
}

//go:norace
//go:nosplit
func permits(c *call, err syscall.Errno) bool {
	if c.allowed == anyErrno {
		return true
	}
	for k := uintptr(0); k < uintptr(c.allowed); k++ {
		if uintptr(*(*uint16)(unsafe.Add(unsafe.Pointer(&c.allow), k*2))) == uintptr(err) {
			return true
		}
	}
	return false
}

//go:norace
//go:nosplit
func tell(report uintptr, kind ReportKind, step, value uintptr) {
	r := Report{Kind: kind, Step: uint32(step), Value: uint64(value)}
	_, _, _ = syscall.RawSyscall6(syscall.SYS_WRITE, report, uintptr(unsafe.Pointer(&r)), uintptr(ReportSize), 0, 0, 0)
}

// divide clones a sibling that goes on with the program, into a cgroup if there is
// one. CLONE_PARENT makes it a child of the runner, whose child this process is.
//
//go:norace
//go:nosplit
func divide(report uintptr, flags, group uint64) (uintptr, syscall.Errno) {
	args := cloneArgs{flags: flags | syscall.CLONE_PARENT}
	if int64(group) >= 0 {
		args.flags, args.cgroup = args.flags|unix.CLONE_INTO_CGROUP, group
	}
	pid, _, err := syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0, 0, 0, 0)
	if err != 0 || pid == 0 {
		return 0, err
	}
	tell(report, ReportPid, 0, pid)
	exit(0)
	return 0, 0
}

// beInit forks; the parent stays for good: PID 1 of a container that asked for one.
// Signals are blocked since the first clone, as Serve wants it.
//
//go:norace
//go:nosplit
func beInit() (uintptr, syscall.Errno) {
	child, _, err := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if err != 0 || child == 0 {
		return 0, err
	}
	reaper.Serve(child)
	return 0, 0
}

// converse does what takes somebody else: waiting and reporting.
//
//go:norace
//go:nosplit
func converse(c *call, a, report uintptr) (uintptr, syscall.Errno) {
	switch c.nr {
	case callPause:
		pause()
	case callMortal:
		mortal()
	case callAwait:
		return report, await(a)
	case callTell:
		tell(report, ReportNumber, uintptr(c.step), a)
	case callReady:
		_, _, _ = syscall.RawSyscall6(syscall.SYS_CLOSE, report, 0, 0, 0, 0, 0)
		return a, 0
	}
	return report, 0
}

//go:norace
//go:nosplit
func await(file uintptr) syscall.Errno {
	var b byte
	for {
		n, _, err := syscall.RawSyscall6(syscall.SYS_READ, file, uintptr(unsafe.Pointer(&b)), 1, 0, 0, 0)
		switch {
		case err == syscall.EINTR:
		case err != 0:
			return err
		case n == 0:
			return syscall.EPIPE
		default:
			return 0
		}
	}
}

// enter asks again each millisecond, for a second, as long as there is the process: nothing
// tells that a thread has taken the first one's place.
//
//go:norace
//go:nosplit
func enter(pidfd, namespaces uintptr) syscall.Errno {
	for range 1000 {
		if _, _, err := syscall.RawSyscall6(unix.SYS_SETNS, pidfd, namespaces, 0, 0, 0, 0); err != syscall.ESRCH {
			return err
		}
		end := unix.PollFd{Fd: int32(pidfd), Events: unix.POLLIN}
		most := unix.Timespec{Nsec: 1e6}
		if n, _, err := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&end)), 1, uintptr(unsafe.Pointer(&most)), 0, 0, 0); n > 0 && err == 0 {
			break // it has ended
		}
	}
	return syscall.ESRCH
}

//go:norace
//go:nosplit
func pause() {
	for {
		_, _, _ = syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

//go:norace
//go:nosplit
func exit(code uintptr) {
	for {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_EXIT_GROUP, code, 0, 0, 0, 0, 0)
	}
}
