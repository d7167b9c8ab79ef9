// Package trace reads the seccomp filters of a process. There is no file that shows
// them: the process is stopped for a moment (ptrace(2), PTRACE_SEIZE), asked
// (PTRACE_SECCOMP_GET_FILTER, Linux 4.4) and let go on. It changes nothing, and a
// process that this one is traced by or that another traces already is left alone.
package trace

import (
	"errors"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Instruction is one of a classic BPF program (Documentation/userspace-api/
// seccomp_filter.rst).
type Instruction struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// patience is how long a process has for coming to a stop. One that is frozen or waits
// for a disk does not.
const patience = 2 * time.Second

// Filters reads the filters of a process, the oldest first, none when it has none.
// Kinds: NotFound when it has ended; Denied without CAP_SYS_ADMIN, when this process is
// itself under seccomp, or when another traces it; Unavailable when it does not come to
// a stop; Unsupported by the kernel.
func Filters(pid int) (all [][]Instruction, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The tracer is a thread, not a process. It ends with the goroutine, whatever
		// happens, and the kernel then lets go of what it traces.
		runtime.LockOSThread()
		all, err = filters(pid)
	}()
	<-done
	return all, err
}

func filters(pid int) (all [][]Instruction, err error) {
	if err := unix.PtraceSeize(pid); err != nil {
		return nil, failed(pid, "PTRACE_SEIZE", err)
	}
	if err := unix.PtraceInterrupt(pid); err != nil {
		return nil, failed(pid, "PTRACE_INTERRUPT", err)
	}
	signal, err := stopped(pid)
	if err != nil {
		return nil, err
	}
	defer func() {
		// A signal that it was stopped by is still to be delivered.
		if e := ptrace(unix.PTRACE_DETACH, pid, 0, uintptr(signal)); err == nil && e != nil {
			err = failed(pid, "PTRACE_DETACH", e)
		}
	}()
	for n := uintptr(0); ; n++ {
		program, err := filter(pid, n)
		if errors.Is(err, unix.ENOENT) {
			return all, nil
		}
		if err != nil {
			return nil, failed(pid, "PTRACE_SECCOMP_GET_FILTER", err)
		}
		all = append(all, program)
	}
}

// stopped waits until the process has stopped, and returns the signal that did it, 0
// for the one that was asked for here.
func stopped(pid int) (unix.Signal, error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		var status unix.WaitStatus
		got, err := unix.Wait4(pid, &status, unix.WALL|unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR), err == nil && got == 0:
			continue
		case err != nil:
			return 0, failed(pid, "wait4", err)
		case !status.Stopped():
			return 0, fault.New(fault.NotFound, subject(pid)+": has ended")
		case int(status)>>16 == unix.PTRACE_EVENT_STOP:
			return 0, nil
		}
		return status.StopSignal(), nil
	}
	return 0, fault.New(fault.Unavailable, subject(pid)+": does not come to a stop; it may be frozen")
}

// filter reads one filter: first how long it is, then it.
func filter(pid int, n uintptr) ([]Instruction, error) {
	length, err := ptraceResult(unix.PTRACE_SECCOMP_GET_FILTER, pid, n, 0)
	if err != nil || length == 0 {
		return nil, err
	}
	raw := make([]unix.SockFilter, length)
	if _, err := ptraceResult(unix.PTRACE_SECCOMP_GET_FILTER, pid, n, uintptr(unsafe.Pointer(&raw[0]))); err != nil {
		return nil, err
	}
	runtime.KeepAlive(raw)
	out := make([]Instruction, length)
	for i, r := range raw {
		out[i] = Instruction(r)
	}
	return out, nil
}

func ptrace(request, pid int, addr, data uintptr) error {
	_, err := ptraceResult(request, pid, addr, data)
	return err
}

func ptraceResult(request, pid int, addr, data uintptr) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), addr, data, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func subject(pid int) string { return "process " + strconv.Itoa(pid) }

func failed(pid int, call string, err error) error {
	kind := fault.Internal
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.ECHILD):
		kind = fault.NotFound
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		kind = fault.Denied
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EIO), errors.Is(err, unix.ENOSYS):
		kind = fault.Unsupported
	}
	return fault.Wrap(kind, subject(pid)+": "+call, err)
}
