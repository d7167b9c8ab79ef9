package mount

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Entry is one line of the mount table of this process's mount namespace.
type Entry struct {
	// Target is where it is mounted, Source what mountinfo calls the mount source.
	Target, Source string
}

// Find lists the mounts of a type of file system whose source begins so, in the order of
// the table.
func Find(fstype, source string) (found []Entry, err error) {
	all, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		return i.FSType != fstype || !strings.HasPrefix(i.Source, source), false
	})
	for _, i := range all {
		found = append(found, Entry{Target: i.Mountpoint, Source: i.Source})
	}
	return found, err
}

// Within lists where something is mounted on a directory of the host or below it.
func Within(dir string) (targets []string, err error) {
	real, err := filepath.EvalSymlinks(dir) // the kernel's table has no links
	if err != nil {
		return nil, err
	}
	all, err := mountinfo.GetMounts(mountinfo.PrefixFilter(real))
	for _, i := range all {
		targets = append(targets, i.Mountpoint)
	}
	return targets, err
}

// Attach mounts a detached mount on a directory of the host.
func Attach(m *os.File, dir string) error { return attach(m, dir) }

// Release takes off what is mounted on a directory of the host. Unlike Unmount it does
// not take it from under those who use it: Conflict. Nothing mounted there is Invalid.
func Release(dir string) error {
	err := wrap("umount2", dir, unix.Unmount(dir, unix.UMOUNT_NOFOLLOW))
	e, ok := unwrap(err)
	switch {
	case ok && e.Errno == unix.EBUSY:
		return fault.Wrap(fault.Conflict, "", e)
	case ok && e.Errno == unix.EINVAL:
		return fault.Wrap(fault.Invalid, "", e)
	}
	return err
}
