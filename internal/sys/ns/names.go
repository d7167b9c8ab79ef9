package ns

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Names reads host and domain name of a UTS namespace.
func Names(uts *os.File) (host, domain string, err error) {
	var name unix.Utsname
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends in the other namespace
		err := unix.Setns(int(uts.Fd()), unix.CLONE_NEWUTS)
		if err == nil {
			err = unix.Uname(&name)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return "", "", fault.Wrap(fault.Denied, "uts namespace", err)
	}
	return unix.ByteSliceToString(name.Nodename[:]), unix.ByteSliceToString(name.Domainname[:]), nil
}
