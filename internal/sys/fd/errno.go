package fd

import "golang.org/x/sys/unix"

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
)

// SIGKILL is its number, the same on every architecture.
const SIGKILL = int(unix.SIGKILL)

// NoFollow makes an open refuse a symbolic link as last element.
const NoFollow = unix.O_NOFOLLOW
