package fd

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// As runs f on a thread whose file system user and group are uid and gid, with all
// capabilities kept. Root's own files cannot be created below an id-mapped mount
// that has no place for uid 0 (EOVERFLOW); the mapped root's can. As waits for f; its
// thread is not used again. With uid and gid 0, or without the privilege (f then
// meets what it meets), f runs as it is.
func As(uid, gid uint32, f func() error) error {
	if uid == 0 && gid == 0 || unix.Geteuid() != 0 {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- as(uid, gid, f)
	}()
	return <-done
}

func as(uid, gid uint32, f func() error) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return failed("capget", "thread", err)
	}
	if _, err := unix.SetfsgidRetGid(int(gid)); err != nil {
		return failed("setfsgid", "thread", err)
	}
	if _, err := unix.SetfsuidRetUid(int(uid)); err != nil {
		return failed("setfsuid", "thread", err)
	}
	// Leaving fsuid 0 drops the file capabilities from the effective set
	// (capabilities(7)); they are still permitted.
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return failed("capset", "thread", err)
	}
	return f()
}
