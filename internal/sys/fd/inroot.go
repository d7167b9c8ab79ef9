package fd

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// NoBlock are flags for os.Root.OpenFile on a file that somebody else may swap:
// a FIFO in its place must not block, a terminal not become ours.
const NoBlock = unix.O_NONBLOCK | unix.O_NOCTTY

// InRoot opens path below root as an O_PATH descriptor, with every symbolic link
// and ".." resolved as if root were "/" (openat2 RESOLVE_IN_ROOT, Linux 5.6), so
// that nothing inside a container's file system leads out of it
// (CVE-2019-14271, CVE-2021-30465 and their kind). Magic links of procfs are
// refused. With follow false a symbolic link as last element is itself opened.
// A path that ends in "/" or "/." must be a directory.
func InRoot(root *os.File, path string, follow bool) (*os.File, error) {
	if path == "" {
		path = "/"
	}
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if !follow {
		how.Flags |= unix.O_NOFOLLOW
	}
	var fd int
	err := control(root, func(dir int) error {
		return again(func() (err error) {
			fd, err = unix.Openat2(dir, path, &how)
			return err
		})
	})
	if err != nil {
		return nil, failed("open", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// again also repeats EAGAIN, which openat2 gives when a rename raced with the
// resolution; a container that keeps renaming gets the error after some tries.
func again(f func() error) error {
	var err error
	for range 64 {
		if err = retry(f); err != unix.EAGAIN {
			return err
		}
	}
	return err
}

// control runs f with the descriptor of file held open.
func control(file *os.File, f func(fd int) error) error {
	rc, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := rc.Control(func(n uintptr) { inner = f(int(n)) }); err != nil {
		return err
	}
	return inner
}

// Path names an open descriptor in procfs, so that functions that take a path
// act on the file itself. It is valid while the file is open in this process.
func Path(f *os.File) string {
	var s string
	_ = control(f, func(n int) error { s = "/proc/self/fd/" + strconv.Itoa(n); return nil }) // a closed file gives "", which opens nothing
	return s
}

// ReadLink returns the target of the symbolic link that f is (O_PATH|O_NOFOLLOW).
func ReadLink(f *os.File) (string, error) {
	buf := make([]byte, unix.PathMax)
	var n int
	err := control(f, func(fd int) (err error) {
		n, err = unix.Readlinkat(fd, "", buf)
		return err
	})
	if err != nil {
		return "", failed("readlink", f.Name(), err)
	}
	return string(buf[:n]), nil
}

// Mode returns the permissions of a file described by info, with set-id and sticky bits.
func Mode(info os.FileInfo) uint32 {
	if st, ok := info.Sys().(*unixStat); ok {
		return st.Mode & 0o7777
	}
	return uint32(info.Mode().Perm())
}

// Owner returns the user and group of a file described by info.
func Owner(info os.FileInfo) (uid, gid uint32) {
	if st, ok := info.Sys().(*unixStat); ok {
		return st.Uid, st.Gid
	}
	return 0, 0
}

// Link identifies a file among others, for finding hard links; count is its number
// of names.
func Link(info os.FileInfo) (dev, ino uint64, count int) {
	if st, ok := info.Sys().(*unixStat); ok {
		return uint64(st.Dev), st.Ino, int(st.Nlink)
	}
	return 0, 0, 1
}

// Device returns the numbers of the device node at path.
func Device(path string) (major, minor int64, err error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Stat(path, &st) }); err != nil {
		return 0, 0, failed("stat", path, err)
	}
	if t := st.Mode & unix.S_IFMT; t != unix.S_IFBLK && t != unix.S_IFCHR {
		return 0, 0, failed("stat", path, unix.ENODEV)
	}
	return int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), nil
}
