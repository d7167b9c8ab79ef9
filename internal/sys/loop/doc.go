// Package loop is the kernel as a single-threaded event loop needs it: epoll,
// non-blocking descriptors, packets with files, pidfds. Every function is one
// system call or two, repeats EINTR, allocates nothing and reports an errno, not
// an error value: the pod supervisor is built on it, and an allocation per event
// would be memory that no collector gives back in time. It holds no policy and
// no state.
package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Errno is a kernel error number; 0 is success.
type Errno = syscall.Errno

// The errors that an event loop tells apart.
const (
	EAGAIN  = syscall.EAGAIN
	EBUSY   = syscall.EBUSY
	ECHILD  = syscall.ECHILD
	EEXIST  = syscall.EEXIST
	EINVAL  = syscall.EINVAL
	EIO     = syscall.EIO
	ENOENT  = syscall.ENOENT
	ENXIO   = syscall.ENXIO
	EPERM   = syscall.EPERM
	EPIPE   = syscall.EPIPE
	EPROTO  = syscall.EPROTO
	ESRCH   = syscall.ESRCH
	ENOTTY  = syscall.ENOTTY
	ENOSPC  = syscall.ENOSPC
	ENOMEM  = syscall.ENOMEM
	ENOSYS  = syscall.ENOSYS
	ENOTSUP = syscall.ENOTSUP
)

// SIGKILL is the signal that cannot be caught.
const SIGKILL = int(syscall.SIGKILL)

// result turns a raw result into a count, 0 with an error.
func result(n uintptr, e Errno) (int, Errno) {
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// Nanotime returns the time in nanoseconds since 1970.
func Nanotime() int64 {
	var ts syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&ts)), 0) // cannot fail
	return ts.Nano()
}
