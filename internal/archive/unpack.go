package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// Options say whose the unpacked files are.
type Options struct {
	IDs IDs
	// KeepOwner gives files the owner the stream names; otherwise they belong to
	// root of the tree.
	KeepOwner bool
}

// Skipped names what a stream held and Unpack does not make: device nodes and
// FIFOs.
type Skipped []string

// Unpack makes the tree of a tar stream inside the directory dir (opened, O_PATH
// is enough). Names are taken below dir whatever they say; an entry that a symbolic
// link would lead out of dir is an error, and so is a directory in a file's place or
// the reverse. A file replaces a file. What was unpacked before an error stays.
// dir stays the caller's.
func Unpack(ctx context.Context, r io.Reader, dir *os.File, o Options) (Skipped, error) {
	root, err := os.OpenRoot(fd.Path(dir))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "cp: "+dir.Name(), err)
	}
	u := &unpacker{root: root, o: o}
	err = fd.As(uint32(o.IDs.tree(0)), uint32(o.IDs.tree(0)), func() error { return u.all(ctx, tar.NewReader(r)) })
	err = errors.Join(err, u.times(), root.Close())
	if err != nil {
		return u.skipped, fmt.Errorf("cp: %w", err)
	}
	return u.skipped, nil
}

type unpacker struct {
	root    *os.Root
	o       Options
	skipped Skipped
	dirs    []dirTime
}

// dirTime is set at the end: making a directory's entries changes it.
type dirTime struct {
	name string
	at   time.Time
}

func (u *unpacker) all(ctx context.Context, tr *tar.Reader) error {
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fault.Wrap(fault.Invalid, "tar stream", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name := below(h.Name)
		if err := u.entry(name, h, tr); err != nil {
			return fmt.Errorf("%s: %w", name, refusal(err))
		}
	}
}

// below makes a name from a stream relative to the tree: "../../x" and "/x" are "x".
func below(unsafeName string) string {
	if name := path.Clean("/" + unsafeName)[1:]; name != "" {
		return name
	}
	return "."
}

func refusal(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fault.Wrap(fault.Denied, "", err)
	case errors.Is(err, fs.ErrNotExist):
		return fault.Wrap(fault.NotFound, "", err)
	}
	return err
}

func (u *unpacker) entry(name string, h *tar.Header, r io.Reader) error {
	if dir := path.Dir(name); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.dir(name, h)
	case tar.TypeReg:
		return u.file(name, h, r)
	case tar.TypeSymlink:
		if err := u.clear(name); err != nil {
			return err
		}
		if err := u.root.Symlink(h.Linkname, name); err != nil {
			return err
		}
		return u.own(name, h)
	case tar.TypeLink:
		if err := u.clear(name); err != nil {
			return err
		}
		return u.root.Link(below(h.Linkname), name)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		u.skipped = append(u.skipped, name)
		return nil
	case tar.TypeXGlobalHeader:
		return nil
	}
	return fault.New(fault.Unsupported, fmt.Sprintf("tar entry of type %q", h.Typeflag))
}

// clear removes what a file or link replaces; a directory is refused.
func (u *unpacker) clear(name string) error {
	info, err := u.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fault.New(fault.Conflict, "is a directory, cannot be replaced by a file")
	}
	return u.root.Remove(name)
}

func (u *unpacker) dir(name string, h *tar.Header) error {
	info, err := u.root.Stat(name) // a link to a directory inside is a directory
	switch {
	case err == nil && !info.IsDir():
		return fault.New(fault.Conflict, "is a file, cannot be replaced by a directory")
	case err == nil && name == ".":
		return nil // the destination itself keeps its mode and owner
	case err != nil:
		if err := u.root.Mkdir(name, 0o700); err != nil {
			return err
		}
		if err := u.own(name, h); err != nil {
			return err
		}
		if err := u.root.Chmod(name, mode(h)); err != nil {
			return err
		}
	}
	u.dirs = append(u.dirs, dirTime{name, h.ModTime})
	return nil
}

func (u *unpacker) file(name string, h *tar.Header, r io.Reader) (err error) {
	if err := u.clear(name); err != nil {
		return err
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	uid, gid := u.owner(h)
	if err := f.Chown(uid, gid); err != nil {
		return err
	}
	if err := f.Chmod(mode(h)); err != nil { // after chown, which clears setuid
		return err
	}
	return u.root.Chtimes(name, h.ModTime, h.ModTime)
}

// mode is the permission part with setuid, setgid and sticky.
func mode(h *tar.Header) fs.FileMode {
	return h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
}

func (u *unpacker) owner(h *tar.Header) (uid, gid int) {
	if !u.o.KeepOwner {
		return u.o.IDs.tree(0), u.o.IDs.tree(0)
	}
	return u.o.IDs.tree(h.Uid), u.o.IDs.tree(h.Gid)
}

func (u *unpacker) own(name string, h *tar.Header) error {
	uid, gid := u.owner(h)
	return u.root.Lchown(name, uid, gid)
}

func (u *unpacker) times() error {
	var errs []error
	for _, d := range slices.Backward(u.dirs) {
		if err := u.root.Chtimes(d.name, d.at, d.at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
