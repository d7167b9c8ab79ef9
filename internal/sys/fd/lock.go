package fd

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Lock opens path, creating it 0600, and takes an exclusive flock on it, which
// goes with the returned file and with the process. It waits when wait is set;
// otherwise a held lock is a Conflict.
func Lock(path string, wait bool) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	err = control(f, func(n int) error { return retry(func() error { return unix.Flock(n, how) }) })
	if err == nil {
		return f, nil
	}
	_ = f.Close() // never locked
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fault.New(fault.Conflict, path+": held by another process")
	}
	return nil, failed("flock", path, err)
}

// LockDir takes an exclusive flock on a directory, as Lock does on a file. It waits.
// NotFound says that there is none, or that it has been removed meanwhile, whatever has
// its name now.
func LockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, failed("open", path, err)
	}
	err = control(f, func(n int) error { return retry(func() error { return unix.Flock(n, unix.LOCK_EX) }) })
	if err == nil && !Names(path, f) {
		err = unix.ENOENT
	}
	if err != nil {
		_ = f.Close() // nobody waits for what is gone
		return nil, failed("flock", path, err)
	}
	return f, nil
}

// Names tells whether a path still leads to an open file.
func Names(path string, f *os.File) bool {
	own, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(path)
	return err == nil && os.SameFile(own, now)
}

// NobodyListens tells whether dialling a unix socket failed because there is no
// socket or no process behind it, in distinction to one that may not be used.
func NobodyListens(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED)
}
