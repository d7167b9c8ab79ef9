package disk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Remove removes a tree that somebody foreign has written, or a file or link. It follows no
// link and enters no mount: os.RemoveAll would empty what is mounted in the tree. Trees may
// be of any depth. It stops at the first thing that does not go, whose path the error has:
// Conflict is one that is mounted on, immutable or append-only. What is gone is success.
func Remove(ctx context.Context, path string) error {
	parent, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return vanished(err)
	}
	defer parent.Close() // nothing is written through it
	r := removal{ctx: ctx}
	return r.entry(parent, filepath.Base(path), 0)
}

type removal struct {
	ctx context.Context
	// top is the tree's uppermost directory; moved counts what was moved there.
	top   *os.File
	moved int
}

// maxOpen is how many directories are open at a time. What lies deeper is moved to the top
// first.
const maxOpen = 64

func (r *removal) entry(parent *os.File, name string, depth int) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	err := unix.Unlinkat(int(parent.Fd()), name, 0)
	if !errors.Is(err, unix.EISDIR) {
		return r.left(parent, name, err)
	}
	if depth == maxOpen {
		return r.left(parent, name, r.raise(parent, name))
	}
	fd, err := unix.Openat2(int(parent.Fd()), name, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return r.left(parent, name, err)
	}
	dir := os.NewFile(uintptr(fd), filepath.Join(parent.Name(), name))
	defer dir.Close() // only read from
	if depth == 0 {
		r.top = dir
	}
	if err := r.content(dir, depth); err != nil {
		return err
	}
	return r.left(parent, name, unix.Unlinkat(int(parent.Fd()), name, unix.AT_REMOVEDIR))
}

// content removes what is in a directory, and reads it again until there is nothing: what
// is removed while a directory is read may hide other names, and deeper trees come to the top.
func (r *removal) content(dir *os.File, depth int) error {
	for found := 0; ; {
		names, err := dir.Readdirnames(256)
		switch {
		case len(names) == 0 && found == 0 && errors.Is(err, io.EOF):
			return nil
		case len(names) == 0 && errors.Is(err, io.EOF):
			found = 0
			_, err = dir.Seek(0, io.SeekStart)
		}
		if err != nil {
			return err
		}
		found += len(names)
		for _, name := range names {
			if err := r.entry(dir, name, depth+1); err != nil {
				return err
			}
		}
	}
}

// raise moves a directory to the top of the tree, under a name that nothing there has.
func (r *removal) raise(parent *os.File, name string) error {
	for {
		r.moved++
		err := unix.Renameat2(int(parent.Fd()), name, int(r.top.Fd()), ".deep-"+strconv.Itoa(r.moved), unix.RENAME_NOREPLACE)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
}

// left says what could not be removed, and why.
func (r *removal) left(parent *os.File, name string, err error) error {
	path := filepath.Join(parent.Name(), name)
	switch {
	case err == nil || errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EBUSY):
		return fault.New(fault.Conflict, path+": something is mounted there")
	case errors.Is(err, unix.EPERM):
		return fault.Wrap(fault.Conflict, "immutable or append-only (see chattr)", &fs.PathError{Op: "remove", Path: path, Err: err})
	}
	return &fs.PathError{Op: "remove", Path: path, Err: err}
}

// Born tells when a file was made, or where the file system does not keep that, when it was
// last changed. It does not follow a link.
func Born(path string) (time.Time, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME|unix.STATX_MTIME, &st); err != nil {
		return time.Time{}, &fs.PathError{Op: "statx", Path: path, Err: err}
	}
	at := st.Mtime
	if st.Mask&unix.STATX_BTIME != 0 {
		at = st.Btime
	}
	return time.Unix(at.Sec, int64(at.Nsec)), nil
}
