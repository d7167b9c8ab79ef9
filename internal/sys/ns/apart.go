package ns

import (
	"runtime"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// InCgroup runs f on a thread in the cgroup namespace of a process, in which what f starts is
// too.
func InCgroup(pid int, f func() error) error {
	of, err := Open(pid, "cgroup")
	if err != nil {
		return err
	}
	defer of.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends where it is
		if err := unix.Setns(int(of.Fd()), unix.CLONE_NEWCGROUP); err != nil {
			done <- fault.Wrap(fault.Denied, "cgroup namespace", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// Apart runs f on a thread with a mount namespace of its own, in which the host's mounts
// come and from which none goes out: what f mounts, what it starts sees, and it goes with
// the last of them. Other goroutines that f starts are where the program is.
func Apart(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread is nobody else's any more, and ends with f.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			done <- fault.Wrap(fault.Denied, "mount namespace: unshare", err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
			done <- fault.Wrap(fault.Denied, "mount namespace: propagation", err)
			return
		}
		done <- f()
	}()
	return <-done
}
