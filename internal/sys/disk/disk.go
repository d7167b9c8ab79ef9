// Package disk has the few file-system calls that package os lacks: flushing one
// file system, asking how much there is and how much a tree takes, removing a foreign tree, taking inode flags away, and telling a full or broken disk from a
// bad request. It holds no state and decides nothing.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Sync writes everything that is dirty on f's file system to the disk: syncfs(2).
func Sync(f *os.File) error {
	for {
		err := unix.Syncfs(int(f.Fd()))
		if err != unix.EINTR {
			return wrap("syncfs", f, err)
		}
	}
}

// Unlock takes the immutable and append-only flags (chattr +i, +a) off an open
// file or directory; a file system without inode flags is no error. It needs
// CAP_LINUX_IMMUTABLE when there is something to take away.
func Unlock(f *os.File) error {
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return wrap("get inode flags", f, err)
	}
	const locked = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND // same bits as FS_IMMUTABLE_FL, FS_APPEND_FL
	if flags&locked == 0 {
		return nil
	}
	return wrap("set inode flags", f, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^locked))
}

// Troubled reports whether err is the disk's or the machine's fault rather than
// the request's: no space, no quota, read-only, broken, out of files or memory.
func Troubled(err error) bool {
	for _, e := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO, unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Taken reports whether err says that a rename met a directory with something in
// it. (os.IsExist knows only one of the two codes file systems use.)
func Taken(err error) bool {
	return errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY)
}

func wrap(call string, f *os.File, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", call, f.Name(), err)
}

// Space is what a file system has, in bytes and inodes.
type Space struct{ Bytes, Inodes, FreeInodes uint64 }

// SpaceOf asks the file system that a path is on.
func SpaceOf(path string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Space{}, fmt.Errorf("statfs: %s: %w", path, err)
	}
	return Space{Bytes: st.Blocks * uint64(st.Bsize), Inodes: st.Files, FreeInodes: st.Ffree}, nil
}

// Tree counts the bytes that files below a directory occupy, and the files. Links are not
// followed; a file with several names counts once for each. What vanishes while it is
// counted is left out. Directories may be deeper than a path is long (PATH_MAX).
func Tree(ctx context.Context, dir string) (bytes, inodes uint64, err error) {
	c := count{ctx: ctx}
	err = c.below(dir)
	return c.bytes, c.inodes, err
}

type count struct {
	ctx           context.Context
	bytes, inodes uint64
}

// longPath is where a path is long enough: with a name more (NAME_MAX) and what leads to a
// descriptor it is still shorter than PATH_MAX.
const longPath = 3500

func (c *count) below(top string) error {
	return filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch {
		case c.ctx.Err() != nil:
			return c.ctx.Err()
		case err != nil:
			return vanished(err)
		case d.IsDir() && path != top && len(path) > longPath:
			return c.deeper(path)
		}
		info, err := d.Info()
		if err != nil {
			return vanished(err)
		}
		c.inodes++
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			c.bytes += uint64(st.Blocks) * 512 // stat(2): whatever the block size
		}
		return nil
	})
}

// deeper goes on with a directory by a short name of it, and leaves it to that.
func (c *count) deeper(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return fs.SkipDir // it has become something else
	}
	if err != nil {
		return vanished(&fs.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(fd)
	if err := c.below("/proc/self/fd/" + strconv.Itoa(fd) + "/."); err != nil {
		return err
	}
	return fs.SkipDir
}

func vanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
