package mount

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"carob/internal/sys/fd"
	"carob/internal/sys/task"
)

// CloneFrom returns a detached copy of a mount that is in another process's mount
// namespace, named by its path there. The calling goroutine waits; the thread that
// visits the namespace is not used again.
func CloneFrom(pid int, path string) (*os.File, error) {
	return onThread(func() (*os.File, error) { return cloneInside(pid, path) })
}

// Below returns a detached copy of what is at a path in a detached mount, with links
// resolved inside it. It takes the mount over. A detached mount can be copied since
// Linux 6.15; before it must be in the caller's namespace, so a thread takes it into one
// of its own and dies with it.
func Below(m *os.File, unsafePath string) (*os.File, error) {
	defer m.Close()
	return onThread(func() (*os.File, error) {
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return nil, wrap("unshare", unsafePath, err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return nil, wrap("mount private", "/", err)
		}
		if err := attach(m, "/"); err != nil {
			return nil, err
		}
		at, err := fd.InRoot(m, unsafePath, true)
		if err != nil {
			return nil, err
		}
		defer at.Close()
		return Clone(at, "", false)
	})
}

// onThread runs do on a thread that may change its namespaces and waits for it. It is
// never the process's first thread, which cannot end and whose namespaces are what
// /proc/PID shows of the process.
func onThread(do func() (*os.File, error)) (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with its namespace
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread() // held so long, another one has to do it
			f, err := onThread(do)
			done <- result{f, err}
			return
		}
		f, err := do()
		done <- result{f, err}
	}()
	r := <-done
	return r.f, r.err
}

func cloneInside(pid int, path string) (*os.File, error) {
	name := "mount namespace of " + strconv.Itoa(pid)
	ns, err := task.Ask(pid, func(dir string) (int, error) { return unix.Open(dir+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0) })
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
