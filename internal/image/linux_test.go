package image

import (
	"errors"
	"os"
	"testing"

	"github.com/containerd/continuity/sysx"
	"golang.org/x/sys/unix"
)

func xattr(t *testing.T, path, name string) string {
	t.Helper()
	v, err := sysx.LGetxattr(path, name)
	if err != nil && !errors.Is(err, sysx.ENODATA) {
		t.Fatal(err)
	}
	return string(v)
}

func ownerOf(t *testing.T, path string) (uid, gid uint32) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid, st.Gid
}

// lock sets the immutable flag; false where the file system has none.
func lock(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, unix.STATX_ATTR_IMMUTABLE) == nil
}
