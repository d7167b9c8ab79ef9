package ns

import (
	"runtime"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

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
