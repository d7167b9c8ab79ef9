package fd

import (
	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Errno is a system call's error as it crosses a process boundary.
type Errno = unix.Errno

// The errnos that mean something to a person or decide what is done next.
const (
	ENOENT     = unix.ENOENT
	ENOTDIR    = unix.ENOTDIR
	EISDIR     = unix.EISDIR
	EACCES     = unix.EACCES
	EPERM      = unix.EPERM
	EBUSY      = unix.EBUSY
	EINVAL     = unix.EINVAL
	ENOEXEC    = unix.ENOEXEC
	ENOSYS     = unix.ENOSYS
	ENOTTY     = unix.ENOTTY
	EOPNOTSUPP = unix.EOPNOTSUPP
	ESRCH      = unix.ESRCH
	ECHILD     = unix.ECHILD
	ECONNRESET = unix.ECONNRESET
	ELOOP      = unix.ELOOP
	EPIPE      = unix.EPIPE
)

// SIGKILL is its number, the same on every architecture.
const SIGKILL = int(unix.SIGKILL)

// NoFollow makes an open refuse a symbolic link as last element.
const NoFollow = unix.O_NOFOLLOW

// KindOf is what the errno of a step on the way to a process means: who may not do it, what
// the kernel does not have, what was asked wrongly.
func KindOf(e Errno) fault.Kind {
	switch e {
	case EPERM, EACCES:
		return fault.Denied
	case ENOSYS, EOPNOTSUPP:
		return fault.Unsupported
	case EINVAL:
		return fault.Invalid
	}
	return fault.Internal
}
