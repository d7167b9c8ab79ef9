package disk

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// fsxattr is struct fsxattr of linux/fs.h.
type fsxattr struct {
	flags, extentSize, extents, project, cowExtentSize uint32
	_                                                  [8]byte
}

// The requests of ioctl_xfs_fsgetxattr(2), which ext4 has too.
const (
	getAttributes = 0x801c581f // FS_IOC_FSGETXATTR
	setAttributes = 0x401c5820 // FS_IOC_FSSETXATTR
)

// inherit is FS_XFLAG_PROJINHERIT: what is made in the directory is of its project.
const inherit = 0x200

// ProjectOf returns the project that an open file or directory is counted to, 0 where
// the file system knows none.
func ProjectOf(f *os.File) (uint32, error) {
	var x fsxattr
	err := ioctl(f, getAttributes, &x)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
		return 0, nil
	}
	return x.project, wrap("get project", f, err)
}

// SetProject counts an open, empty directory and all that is made in it to a project.
// Unsupported is a file system without projects.
func SetProject(dir *os.File, project uint32) error {
	var x fsxattr
	err := ioctl(dir, getAttributes, &x)
	if err == nil {
		x.project, x.flags = project, x.flags|inherit
		err = ioctl(dir, setAttributes, &x)
	}
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return fault.Wrap(fault.Unsupported, "", wrap("set project", dir, err))
	}
	return wrap("set project", dir, err)
}

func ioctl(f *os.File, request uint, x *fsxattr) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(unsafe.Pointer(x))); errno != 0 {
		return errno
	}
	return nil
}

// The commands of quotactl_fd(2), shifted and with the type of quota, PRJQUOTA.
const (
	getQuota = 0x800007<<8 | 2
	setQuota = 0x800008<<8 | 2
	getState = ('X'<<8+8)<<8 | 2
)

// dqblk is struct if_dqblk of linux/quota.h; limits are in units of 1024 bytes.
type dqblk struct {
	hard, soft, space, hardInodes, softInodes, inodes, blockTime, inodeTime uint64
	valid                                                                   uint32
}

// statv is struct fs_quota_statv of linux/dqblk_xfs.h, as much of it as is looked at.
type statv struct {
	version int8
	_       uint8
	flags   uint16
	_       [184]byte
}

// enforced is FS_QUOTA_PDQ_ENFD: project limits hold, and are not only counted.
const enforced = 1 << 5

// QuotasHold says whether the file system of an open directory enforces limits of
// projects.
func QuotasHold(dir *os.File) bool {
	s := statv{version: 1}
	return quotactl(dir, getState, 0, unsafe.Pointer(&s)) == nil && s.flags&enforced != 0
}

// Used returns how many bytes and files are counted to a project on dir's file system.
func Used(dir *os.File, project uint32) (bytes, inodes uint64, err error) {
	var q dqblk
	err = quotactl(dir, getQuota, project, unsafe.Pointer(&q))
	if errors.Is(err, unix.ENOENT) { // XFS has no record of a project that nothing was counted to
		return 0, 0, nil
	}
	return q.space, q.inodes, wrap("get quota", dir, err)
}

// SetQuota bounds the bytes of a project on dir's file system, to the next KiB below; 0
// takes the bound away.
func SetQuota(dir *os.File, project uint32, bytes int64) error {
	const blockLimits = 1 // QIF_BLIMITS
	q := dqblk{hard: uint64(bytes) / 1024, valid: blockLimits}
	return wrap("set quota", dir, quotactl(dir, setQuota, project, unsafe.Pointer(&q)))
}

// quotactl names the file system by a file on it (Linux 5.14): the block device's node may
// not be there, and need not be looked for.
func quotactl(f *os.File, cmd uint, project uint32, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, f.Fd(), uintptr(cmd), uintptr(project), uintptr(arg), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
