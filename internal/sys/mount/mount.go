package mount

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Error is a mount system call that did not succeed.
type Error struct {
	Call   string
	Target string
	Errno  unix.Errno
}

// Error returns "target: call: errno text".
func (e *Error) Error() string { return e.Target + ": " + e.Call + ": " + e.Errno.Error() }

// Unwrap returns the errno.
func (e *Error) Unwrap() error { return e.Errno }

// wrap makes a typed error of a system call's result; nil stays nil.
func wrap(call, target string, err error) error {
	if err == nil {
		return nil
	}
	errno, ok := err.(unix.Errno)
	if !ok {
		errno = unix.EIO
	}
	e := &Error{Call: call, Target: target, Errno: errno}
	switch errno {
	case unix.ENOENT, unix.ENOTDIR:
		return fault.Wrap(fault.NotFound, "", e)
	case unix.EPERM, unix.EACCES:
		return fault.Wrap(fault.Denied, "", e)
	case unix.ENOSYS, unix.ENODEV, unix.EOPNOTSUPP:
		return fault.Wrap(fault.Unsupported, "", e)
	}
	return e
}

// Option is a parameter of a file system: a flag when Value is empty and File nil,
// a string, or a descriptor.
type Option struct {
	Key, Value string
	File       *os.File
}

// Context is the option that gives every file of a file system an SELinux label; "" is none.
func Context(label string) []Option {
	if label == "" {
		return nil
	}
	return []Option{{Key: "context", Value: label}}
}

// Flags are attributes of a mount, as mount_setattr(2) names them.
type Flags uint64

// The flags a mount can be made with.
const (
	ReadOnly Flags = unix.MOUNT_ATTR_RDONLY
	NoSuid   Flags = unix.MOUNT_ATTR_NOSUID
	NoDev    Flags = unix.MOUNT_ATTR_NODEV
	NoExec   Flags = unix.MOUNT_ATTR_NOEXEC
	NoAtime  Flags = unix.MOUNT_ATTR_NOATIME
)

// New makes a file system of a type and returns it as a detached mount.
func New(fstype string, flags Flags, options ...Option) (*os.File, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, wrap("fsopen", fstype, err)
	}
	defer unix.Close(fs)
	// What stands in the first column of a mount table: "none" helps nobody.
	if !slices.ContainsFunc(options, func(o Option) bool { return o.Key == "source" }) {
		options = append([]Option{{Key: "source", Value: fstype}}, options...)
	}
	for _, o := range options {
		switch {
		case o.File != nil:
			err = unix.FsconfigSetFd(fs, o.Key, int(o.File.Fd()))
		case o.Value == "":
			err = unix.FsconfigSetFlag(fs, o.Key)
		default:
			err = unix.FsconfigSetString(fs, o.Key, o.Value)
		}
		if err != nil {
			return nil, wrap("fsconfig "+o.Key, fstype, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, wrap("fsconfig create", fstype, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(flags))
	if err != nil {
		return nil, wrap("fsmount", fstype, err)
	}
	return os.NewFile(uintptr(fd), fstype), nil
}

// Clone returns a detached copy of the mount at path, resolved from dir (nil: the
// working directory), with what is mounted below it when recursive.
func Clone(dir *os.File, path string, recursive bool) (*os.File, error) {
	at, flags := unix.AT_FDCWD, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH
	if dir != nil {
		at = int(dir.Fd())
	}
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(at, path, uint(flags))
	if err != nil {
		return nil, wrap("open_tree", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// atime is the mask of the flags about access times.
const atime = unix.MOUNT_ATTR__ATIME

// Attributes are changes to a mount.
type Attributes struct {
	// Set are flags to set, Clear to take away. Of the access times' flags only one can
	// be set; setting one, or none of them to have relatime, needs all of them in Clear.
	Set, Clear Flags
	// Propagation is "", private, slave, shared or unbindable.
	Propagation string
	// Users is a user namespace whose mapping the mount takes on; nil for none. The
	// file system must support it (Linux 5.12, per file system).
	Users *os.File
	// Recursive changes what is mounted below, too; all or nothing.
	Recursive bool
}

// SetAttributes changes a detached mount.
func SetAttributes(m *os.File, a Attributes) error {
	attr := unix.MountAttr{Attr_set: uint64(a.Set), Attr_clr: uint64(a.Clear)}
	if a.Set&atime != 0 {
		attr.Attr_clr |= atime
	}
	switch a.Propagation {
	case "private":
		attr.Propagation = unix.MS_PRIVATE
	case "slave":
		attr.Propagation = unix.MS_SLAVE
	case "shared":
		attr.Propagation = unix.MS_SHARED
	case "unbindable":
		attr.Propagation = unix.MS_UNBINDABLE
	}
	if a.Users != nil {
		attr.Attr_set |= unix.MOUNT_ATTR_IDMAP
		attr.Userns_fd = uint64(a.Users.Fd())
	}
	if attr == (unix.MountAttr{}) {
		return nil
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if a.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	return wrap("mount_setattr", m.Name(), unix.MountSetattr(int(m.Fd()), "", flags, &attr))
}

// FSType returns the name of the file system that a path is on, as far as its
// magic number is known, for messages.
func FSType(path string) string {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return "unknown file system"
	}
	names := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "nfs",
		unix.FUSE_SUPER_MAGIC: "fuse", unix.PROC_SUPER_MAGIC: "proc", unix.SYSFS_MAGIC: "sysfs",
		unix.CGROUP_SUPER_MAGIC: "cgroup", unix.CGROUP2_SUPER_MAGIC: "cgroup2",
		unix.DEVPTS_SUPER_MAGIC: "devpts",
	}
	if n, ok := names[int64(st.Type)]; ok {
		return n
	}
	return "unknown file system"
}

// Tmpfs mounts a memory file system of at most size bytes (0: the kernel's
// default) on a directory of the host. Unlike the rest of the package it is
// attached; Unmount takes it back.
func Tmpfs(dir string, size int64) error {
	options := []Option{{Key: "mode", Value: "0777"}}
	if size > 0 {
		options = append(options, Option{Key: "size", Value: itoa(size)})
	}
	m, err := New("tmpfs", NoSuid|NoDev, options...)
	if err != nil {
		return err
	}
	defer m.Close()
	return attach(m, dir)
}

// attach mounts a detached mount on a directory.
func attach(m *os.File, dir string) error {
	return wrap("move_mount", dir, unix.MoveMount(int(m.Fd()), "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// Unmount detaches what is mounted on a directory of the host; nothing there is
// not an error.
func Unmount(dir string) error {
	err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err == unix.EINVAL || err == unix.ENOENT {
		return nil
	}
	return wrap("umount2", dir, err)
}
