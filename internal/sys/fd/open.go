package fd

import (
	"os"

	"golang.org/x/sys/unix"
)

// File types of a device node's mode, for mknod.
const (
	ModeChar  = unix.S_IFCHR
	ModeBlock = unix.S_IFBLK
	ModeFIFO  = unix.S_IFIFO
)

// Dup returns a second descriptor of an open file, close-on-exec, the caller's to
// close.
func Dup(f *os.File) (*os.File, error) { return DupAbove(f, 2) }

// DupAbove is Dup to the first free number above another.
func DupAbove(f *os.File, number int) (*os.File, error) {
	var n int
	err := control(f, func(fd int) (err error) {
		n, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, number+1)
		return err
	})
	if err != nil {
		return nil, failed("fcntl F_DUPFD", f.Name(), err)
	}
	return os.NewFile(uintptr(n), f.Name()), nil
}

// Onto makes old, and whoever has its descriptor, refer to f's open file from now on. Both
// stay the caller's.
func Onto(f, old *os.File) error {
	return control(old, func(to int) error {
		err := control(f, func(from int) error { return retry(func() error { return unix.Dup3(from, to, 0) }) })
		return failed("dup3", f.Name(), err)
	})
}

// OpenPath opens a path of the host as an O_PATH descriptor, following links.
func OpenPath(path string) (*os.File, error) {
	n, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, failed("open", path, err)
	}
	return os.NewFile(uintptr(n), path), nil
}

// Exchange swaps two names atomically (renameat2 RENAME_EXCHANGE, Linux 3.15).
// Both must exist.
func Exchange(a, b string) error {
	return failed("renameat2", a, unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE))
}
