package session

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// flags of the kernel's struct sigaction. A goroutine's stack is too small for a handler, and
// what is interrupted knows nothing of EINTR.
const (
	onStack  = 0x08000000 // SA_ONSTACK
	restart  = 0x10000000 // SA_RESTART
	restorer = 0x04000000 // SA_RESTORER, which x86 insists on and others do not look at
)

// Relay passes the signals of Forwarded on from now until this process ends, to a child that
// has not been waited for: its number is its own. When it has ended they are lost. The
// handler is one system call and no Go code: os/signal takes two more threads and two changes
// of thread for each signal that is asked for, 0.3 ms in a process that waits for a container
// of 1 ms. It must not be asked for the same signals.
func Relay(pid int) error {
	child := "relay to " + strconv.Itoa(pid)
	pidfd, err := unix.PidfdOpen(pid, 0) // stays open, since a handler may be at it at any time
	if err != nil {
		return fault.Wrap(fault.Internal, child, err)
	}
	handler, back := aim(pidfd)
	action := [4]uintptr{handler, onStack | restart | restorer, back, ^uintptr(0)}
	for _, s := range Forwarded() {
		sig := Number(s)
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
		if errno != 0 {
			return fault.Wrap(fault.Internal, child+": signal "+strconv.Itoa(sig), errno)
		}
	}
	return nil
}

// aim tells the handler where to send signals, and returns its address and that of what the
// kernel is to be left by. The descriptor's number is in the assembly's memory: a handler is
// given nothing.
func aim(pidfd int) (handler, back uintptr)
