// Package reaper is what a container's first process does besides the command itself: it
// passes signals on, waits for whatever has lost its parent, and ends as the command ends.
//
// Serve is that, for a process that has the command as its child already; containers of
// carob's own get it by spawn.Builder.Init. Entry is a whole program, carob-init, for
// containers that an OCI runtime makes. It is there in the place of Go's runtime, which has
// five threads more and two megabytes that count against the container's limits: nothing
// in this package may allocate, grow the stack or panic.
package reaper

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Serve is there for the child until that has ended, and ends this process as it did: with
// its exit status, or 128 and the number of the signal that has ended it. All signals must
// be blocked since before the child was made: even those wait then that an init without
// handlers never sees. It closes every descriptor, or the report pipe and the container's
// streams would never end.
//
//go:norace
//go:nosplit
func Serve(child uintptr) {
	if _, _, err := syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, 0, ^uintptr(0)>>32, 0, 0, 0, 0); err != 0 {
		for n := range uintptr(3) { // a runtime's filter may not know of it
			_, _, _ = syscall.RawSyscall6(syscall.SYS_CLOSE, n, 0, 0, 0, 0, 0)
		}
	}
	all := ^uint64(0)
	for {
		sig, _, err := syscall.RawSyscall6(syscall.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&all)), 0, 0, unsafe.Sizeof(all), 0, 0)
		switch {
		case err == syscall.EINTR:
		case err != 0:
			exit(cannotExecute)
		case sig == uintptr(syscall.SIGCHLD):
			reap(child)
		default: // the child is there until reap says otherwise
			_, _, _ = syscall.RawSyscall6(syscall.SYS_KILL, child, sig, 0, 0, 0, 0)
		}
	}
}

// reap waits for whatever has ended, and ends this process as its child did.
//
//go:norace
//go:nosplit
func reap(child uintptr) {
	for {
		var status int32
		pid, _, err := syscall.RawSyscall6(syscall.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&status)), syscall.WNOHANG, 0, 0, 0)
		if err != 0 || pid == 0 {
			return
		}
		if pid != child {
			continue
		}
		if sig := status & 0x7f; sig != 0 {
			exit(uintptr(128 + sig))
		}
		exit(uintptr(status>>8) & 0xff)
	}
}

//go:norace
//go:nosplit
func exit(code uintptr) {
	for {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_EXIT_GROUP, code, 0, 0, 0, 0, 0)
	}
}
