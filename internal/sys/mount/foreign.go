package mount

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// CloneFrom returns a detached copy of a mount that is in another process's mount
// namespace, named by its path there. The calling goroutine waits; the thread that
// visits the namespace is not used again.
func CloneFrom(pid int, path string) (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with its namespace
		f, err := cloneInside(pid, path)
		done <- result{f, err}
	}()
	r := <-done
	return r.f, r.err
}

func cloneInside(pid int, path string) (*os.File, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/ns/mnt"
	ns, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, wrap("open", name, err)
	}
	defer unix.Close(ns)
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return nil, wrap("unshare", name, err)
	}
	if err := unix.Setns(ns, unix.CLONE_NEWNS); err != nil {
		return nil, wrap("setns", name, err)
	}
	return Clone(nil, path, false)
}
