package exe

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Protect returns when this program is safe. Where Entry has not made it so, Protect
// executes it anew: from a clone of its mount or, where that cannot be had, from a
// sealed memory file.
func Protect() error {
	self, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return failed("open /proc/self/exe", err)
	}
	defer unix.Close(self)
	var st unix.Statfs_t
	if err := unix.Fstatfs(self, &st); err != nil {
		return failed("statfs /proc/self/exe", err)
	}
	if st.Flags&unix.ST_RDONLY != 0 || sealed() {
		setName()
		return nil
	}
	copied, err := readOnly(self)
	if err != nil {
		return err
	}
	return again(copied)
}

func readOnly(self int) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	tree, err := unix.OpenTree(self, "", flags)
	if err == nil {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err == nil {
			return tree, nil
		}
		unix.Close(tree)
	}
	return memory()
}

// again uses syscall.Exec because that gives the new program the limit of open files that
// this one was started with. A second processor would only look for work that there is not:
// 1 ms of CPU time in the life of a start.
func again(program int) error {
	env := append(os.Environ(), "GOMAXPROCS=1")
	return failed("execve", syscall.Exec("/proc/self/fd/"+strconv.Itoa(program), os.Args, env))
}

// setName gives the process the name of its program: execve took that of a descriptor.
// prctl(2) would name this thread, which need not be the first. A name that ps shows is
// worth no error.
func setName() {
	n, err := unix.Open("/proc/self/comm", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = unix.Write(n, []byte(filepath.Base(os.Args[0])))
	_ = unix.Close(n)
}

const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

func sealed() bool {
	f, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(f)
	got, err := unix.FcntlInt(uintptr(f), unix.F_GET_SEALS, 0)
	return err == nil && got&seals == seals
}

func memory() (int, error) {
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return -1, err
	}
	n, err := unix.MemfdCreate("carob-oci", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, failed("memfd_create", err)
	}
	for len(text) > 0 {
		w, err := unix.Write(n, text)
		if err != nil {
			return -1, failed("write", err)
		}
		text = text[w:]
	}
	_, err = unix.FcntlInt(uintptr(n), unix.F_ADD_SEALS, seals)
	return n, failed("fcntl F_ADD_SEALS", err)
}

func failed(call string, err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(fault.Internal, call, err)
}
