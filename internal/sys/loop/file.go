package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read reads into b. End of file is 0 bytes without an error.
func Read(fd int, b []byte) (int, Errno) {
	for {
		n, _, e := syscall.Syscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if e != syscall.EINTR {
			return result(n, e)
		}
	}
}

// ReadAt reads from the start of a file, leaving its position alone.
func ReadAt(fd int, b []byte, off int64) (int, Errno) {
	n, _, e := syscall.Syscall6(syscall.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(off), 0, 0)
	return result(n, e)
}

// Write writes b once, as much of it as goes.
func Write(fd int, b []byte) (int, Errno) {
	for {
		n, _, e := syscall.Syscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if e != syscall.EINTR {
			return result(n, e)
		}
	}
}

// Vec is a piece of what WriteVec writes.
type Vec = syscall.Iovec

// Piece returns b as a piece; it must stay alive until it is written.
func Piece(b []byte) Vec { return Vec{Base: unsafe.SliceData(b), Len: uint64(len(b))} }

// Rest returns v without its first n bytes.
func Rest(v Vec, n int) Vec {
	return Vec{Base: (*byte)(unsafe.Add(unsafe.Pointer(v.Base), n)), Len: v.Len - uint64(n)}
}

// WriteVec writes the pieces as one, as much of them as goes. 1024
// are the most there can be (IOV_MAX).
func WriteVec(fd int, v []Vec) (int, Errno) {
	for {
		n, _, e := syscall.Syscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)))
		if e != syscall.EINTR {
			return result(n, e)
		}
	}
}

// OpenFile opens a file of the kernel's for reading.
func OpenFile(path string) (int, Errno) {
	n, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		e, _ := err.(syscall.Errno)
		return -1, e
	}
	return n, 0
}

// Close closes fd. Errors of close(2) tell of lost data of network file systems
// and leave the descriptor closed all the same.
func Close(fd int) { _, _, _ = syscall.Syscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }

// Pipe makes a pipe, both ends close-on-exec and blocking.
func Pipe() (r, w int, e Errno) {
	var p [2]int32
	_, _, e = syscall.RawSyscall(syscall.SYS_PIPE2, uintptr(unsafe.Pointer(&p)), syscall.O_CLOEXEC, 0)
	return int(p[0]), int(p[1]), e
}

// Unblock makes reads and writes of fd return EAGAIN instead of waiting, for
// everyone who shares the open file.
func Unblock(fd int) Errno {
	flags, _, e := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
	if e != 0 || flags&syscall.O_NONBLOCK != 0 {
		return e
	}
	_, _, e = syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_SETFL, flags|syscall.O_NONBLOCK)
	return e
}

// Widen makes a pipe hold so many bytes more. EBADF is no pipe, EPERM more than
// /proc/sys/fs/pipe-max-size (1 MiB) or than a user may have in pipes.
func Widen(fd, more int) Errno {
	size, _, e := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if e != 0 {
		return e
	}
	_, _, e = syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), unix.F_SETPIPE_SZ, size+uintptr(more))
	return e
}

// Waiting returns how many bytes can be read from a pipe, socket or terminal.
func Waiting(fd int) int {
	var n int32
	if _, _, e := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&n))); e != 0 {
		return 0
	}
	return int(n)
}

// SetSize sets the size of a terminal in characters.
func SetSize(fd int, rows, cols uint16) Errno {
	ws := unix.Winsize{Row: rows, Col: cols}
	_, _, e := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), unix.TIOCSWINSZ, uintptr(unsafe.Pointer(&ws)))
	return e
}

// Map returns zeroed memory straight from the kernel, which only counts where it
// has been touched and is given back by Unmap. It is nil when there is none.
func Map(size int) []byte {
	p, _, e := syscall.RawSyscall6(syscall.SYS_MMAP, 0, uintptr(size), syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS, ^uintptr(0), 0)
	if e != 0 {
		return nil
	}
	// Through memory, as vet takes a uintptr for an address that the collector may
	// have moved away from; this one is not the collector's.
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&p))), size)
}

// Unmap gives all of Map's memory back. nil is nothing.
func Unmap(b []byte) {
	if b = b[:cap(b)]; len(b) > 0 {
		_, _, _ = syscall.RawSyscall(syscall.SYS_MUNMAP, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0)
	}
}

// Empty gives back what Map's memory occupies; it reads as zeroes afterwards.
func Empty(b []byte) {
	if b = b[:cap(b)]; len(b) > 0 {
		_, _, _ = syscall.RawSyscall(syscall.SYS_MADVISE, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MADV_DONTNEED)
	}
}

// SmallPages keeps the kernel from backing the 4 MiB of heap around p with huge
// pages, which it does where transparent_hugepage is "always": one would be more
// than three supervisors. It is a hint and cannot fail in a way that matters.
// Children start anew with execve; prctl PR_SET_THP_DISABLE would reach them.
func SmallPages[T any](p *T) {
	const span = 4 << 20 // what the Go runtime maps of its heap at once
	at := uintptr(unsafe.Pointer(p)) &^ (span - 1)
	_, _, _ = syscall.RawSyscall(syscall.SYS_MADVISE, at, span, syscall.MADV_NOHUGEPAGE)
}

// IsOpen reports whether there is such a descriptor.
func IsOpen(fd int) bool {
	_, _, e := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
	return e == 0
}
