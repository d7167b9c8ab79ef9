// Package procfs reads small files and links below one directory by descriptor. A
// descriptor of /proc/PID stays with its process: once that has ended, every read
// below it says NotFound, even when the number is in use again, so that what is read
// of one process is never mixed with another's. It keeps no state and reads nothing
// that could block: a FIFO in a directory of somebody else's is not waited for.
package procfs

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Dir is an open directory, the caller's to Close. The zero value is not open.
type Dir struct{ fd int }

// Limit is the most that Read takes of one file, in bytes.
const Limit = 4 << 20

// Open opens a directory by its path, following links.
func Open(path string) (Dir, error) { return open(unix.AT_FDCWD, path) }

// Dir opens a directory below d.
func (d Dir) Dir(name string) (Dir, error) { return open(d.fd, name) }

func open(at int, name string) (Dir, error) {
	n, err := openat(at, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return Dir{-1}, failed(name, "open", err)
	}
	return Dir{n}, nil
}

// Close gives the descriptor back.
func (d Dir) Close() {
	if d.fd >= 0 {
		_ = unix.Close(d.fd) // of an O_PATH descriptor: nothing to lose
	}
}

// Read puts a whole file into b, replacing what is there. A file longer than Limit
// is cut. Kinds: NotFound when file or process is gone, Denied.
func (d Dir) Read(name string, b *bytes.Buffer) error { return d.read(name, b, false) }

// ReadShort is Read of a file that the kernel hands out in one piece when there is room
// for it, as it does status, stat, cmdline and cgroup of a process: it does not ask
// again for the end. Of a file made of records, as mountinfo is, it may miss some.
func (d Dir) ReadShort(name string, b *bytes.Buffer) error { return d.read(name, b, true) }

// File is ReadShort of a file by its path, for directories that are read once.
func File(path string, b *bytes.Buffer) error { return Dir{unix.AT_FDCWD}.ReadShort(path, b) }

func (d Dir) read(name string, b *bytes.Buffer, short bool) error {
	b.Reset()
	n, err := openat(d.fd, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return failed(name, "open", err)
	}
	defer unix.Close(n)
	for b.Len() < Limit {
		b.Grow(4096)
		free := b.AvailableBuffer()
		got, err := unix.Read(n, free[:cap(free)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return failed(name, "read", err)
		case got == 0:
			return nil
		}
		b.Write(free[:got])
		if short && got < cap(free) {
			return nil
		}
	}
	return nil
}

// Link returns the target of a link as text.
func (d Dir) Link(name string) (string, error) {
	var buf [unix.PathMax]byte
	for {
		n, err := unix.Readlinkat(d.fd, name, buf[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "", failed(name, "readlink", err)
		}
		return string(buf[:n]), nil
	}
}

func openat(at int, name string, flags int) (int, error) {
	for {
		n, err := unix.Openat(at, name, flags|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func failed(name, call string, err error) error {
	kind := fault.Internal
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EINVAL):
		kind = fault.NotFound
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		kind = fault.Denied
	}
	return fault.Wrap(kind, name+": "+call, err)
}
