package cgroup

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// os.Open would hand each cgroup file to the runtime's poller (kernfs files accept
// epoll): two extra system calls for every read. Stats of sixty containers are
// a thousand reads, so files are read and written with plain calls here.

func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// open returns a CLOEXEC fd.
func open(path string, flags int) (fd int, err error) {
	err = retry(func() (e error) {
		fd, e = unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		return e
	})
	return fd, pathError("open", path, err)
}

// maxFile bounds what is read of one file; memory.stat and cgroup.procs of a
// large group stay below it, and a file that does not is refused, not cut.
const maxFile = 16 << 20

// readInto reads a whole file into buf's storage, growing it if needed.
func readInto(path string, buf []byte) ([]byte, error) {
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return buf[:0], err
	}
	defer unix.Close(fd)
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= maxFile {
				return nil, pathError("read", path, unix.EFBIG)
			}
			buf = append(buf, 0)[:len(buf)]
		}
		var n int
		err := retry(func() (e error) {
			n, e = unix.Read(fd, buf[len(buf):cap(buf)])
			return e
		})
		if err != nil {
			return nil, pathError("read", path, err)
		}
		if n == 0 {
			return buf, nil
		}
		buf = buf[:len(buf)+n]
	}
}

func readFile(path string) (string, error) {
	b, err := readInto(path, make([]byte, 0, 4096))
	return string(b), err
}

// writeFile writes value with one write(2): the kernel takes each for one order.
func writeFile(path, value string) error {
	fd, err := open(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return pathError("write", path, writeTo(fd, value))
}

func writeTo(fd int, value string) error {
	if value == "" { // a write of no bytes never reaches the kernel's parser
		value = "\n"
	}
	return retry(func() error {
		_, err := unix.Write(fd, []byte(value))
		return err
	})
}

// kind translates what the kernel said about a value into a kind of refusal.
func kind(err error) fault.Kind {
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE), errors.Is(err, unix.EOVERFLOW), errors.Is(err, unix.ENODEV):
		return fault.Invalid
	case errors.Is(err, unix.EBUSY):
		return fault.Conflict
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		return fault.Denied
	case errors.Is(err, unix.EOPNOTSUPP):
		return fault.Unsupported
	case errors.Is(err, unix.ENOENT):
		return fault.NotFound
	case errors.Is(err, unix.EEXIST):
		return fault.Exists
	}
	return fault.Internal
}
