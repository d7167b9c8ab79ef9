// Package nsfs asks open namespaces who they are, who owns them and what they are
// below (ioctl_nsfs(2)). It only looks: nothing is entered or made.
package nsfs

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// NS is an open namespace. It keeps the namespace alive until Close.
type NS struct {
	fd   int
	name string
}

// Of opens a namespace of a process; kind is a name in /proc/PID/ns. Kinds: NotFound
// when the process is gone, Denied.
func Of(pid int, kind string) (NS, error) { return Open("/proc/" + strconv.Itoa(pid) + "/ns/" + kind) }

// Open opens a namespace by a path: a link in /proc/PID/ns or /proc/PID/fd, or a file
// that one is bound to.
func Open(path string) (NS, error) {
	for {
		n, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return NS{fd: -1}, failed(path, "open", err)
		}
		return NS{n, path}, nil
	}
}

// Close lets go of the namespace.
func (n NS) Close() {
	if n.fd >= 0 {
		_ = unix.Close(n.fd) // nothing was written
	}
}

// Inode is the namespace's number, as in "net:[4026531833]".
func (n NS) Inode() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(n.fd, &st); err != nil {
		return 0, failed(n.name, "fstat", err)
	}
	return st.Ino, nil
}

// Owner opens the user namespace that owns this one. Denied when it is outside of
// what the caller may see: the caller's own user namespace and those below it.
func (n NS) Owner() (NS, error) { return n.ask(unix.NS_GET_USERNS, "NS_GET_USERNS") }

// Parent opens the namespace above a pid or user namespace. Denied when there is none
// or the caller may not see it: the kernel does not tell these apart; Invalid for
// other kinds.
func (n NS) Parent() (NS, error) { return n.ask(unix.NS_GET_PARENT, "NS_GET_PARENT") }

func (n NS) ask(request uint, call string) (NS, error) {
	fd, err := unix.IoctlRetInt(n.fd, request)
	if err != nil {
		return NS{fd: -1}, failed(n.name, call, err)
	}
	return NS{fd, n.name + " " + call}, nil
}

// OwnerUID is the user who made a user namespace, as the caller's user namespace
// names them; Invalid for other kinds.
func (n NS) OwnerUID() (uint32, error) {
	uid, err := unix.IoctlGetUint32(n.fd, unix.NS_GET_OWNER_UID)
	if err != nil {
		return 0, failed(n.name, "NS_GET_OWNER_UID", err)
	}
	return uid, nil
}

func failed(name, call string, err error) error {
	kind := fault.Internal
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH):
		kind = fault.NotFound
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		kind = fault.Denied
	case errors.Is(err, unix.EINVAL):
		kind = fault.Invalid
	case errors.Is(err, unix.ENOTTY):
		kind = fault.Unsupported
	}
	return fault.Wrap(kind, name+": "+call, err)
}
