package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Poll is an epoll instance.
type Poll struct{ fd int }

// Events is a set of conditions of a descriptor.
type Events uint32

// The conditions. Hung and Failed are always reported, asked for or not.
const (
	Readable Events = syscall.EPOLLIN
	Writable Events = syscall.EPOLLOUT
	Failed   Events = syscall.EPOLLERR
	Hung     Events = syscall.EPOLLHUP
	// Edge reports a condition only when it begins anew.
	Edge Events = unix.EPOLLET
)

// Event says that a descriptor is ready. Fd and Tag are what Add was given.
type Event = syscall.EpollEvent

// Tag returns the tag of the event's descriptor.
func Tag(e *Event) uint32 { return uint32(e.Pad) }

// NewPoll makes an instance, close-on-exec.
func NewPoll() (Poll, Errno) {
	fd, _, e := syscall.RawSyscall(syscall.SYS_EPOLL_CREATE1, syscall.EPOLL_CLOEXEC, 0, 0)
	return Poll{int(fd)}, e
}

// Add watches fd. It fails with EPERM for what is always ready: regular files
// and some devices.
func (p Poll) Add(fd int, events Events, tag uint32) Errno {
	return p.ctl(syscall.EPOLL_CTL_ADD, fd, events, tag)
}

// Change replaces what fd is watched for.
func (p Poll) Change(fd int, events Events, tag uint32) Errno {
	return p.ctl(syscall.EPOLL_CTL_MOD, fd, events, tag)
}

// Remove ends the watch. It must come before fd is closed: a child between fork
// and exec still holds the file open, and epoll watches files, not descriptors.
func (p Poll) Remove(fd int) Errno { return p.ctl(syscall.EPOLL_CTL_DEL, fd, 0, 0) }

func (p Poll) ctl(op uintptr, fd int, events Events, tag uint32) Errno {
	ev := Event{Events: uint32(events), Fd: int32(fd), Pad: int32(tag)}
	_, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(p.fd), op, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return e
}

// Wait fills events with what is ready and returns how many there are. It blocks
// for up to timeout milliseconds, for good when it is negative. A signal counts
// as nothing ready.
func (p Poll) Wait(events []Event, timeout int) int {
	n, _, e := syscall.Syscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(timeout), 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}
