package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// Pack writes what top is (an O_PATH descriptor, see fd.InRoot) to w as a tar
// stream whose first name is as; with "." a directory's content has no common first
// name. Hard links within the tree stay links; sockets are left out, as tar has no
// word for them. Pack ends between two files when ctx is cancelled. top stays the
// caller's.
func Pack(ctx context.Context, w io.Writer, top *os.File, as string, ids IDs) error {
	info, err := top.Stat()
	if err != nil {
		return fault.Wrap(fault.Internal, "cp", err)
	}
	p := &packer{tw: tar.NewWriter(w), ids: ids, links: map[[2]uint64]string{}}
	switch {
	case info.IsDir():
		err = p.tree(ctx, top, as)
	case info.Mode()&fs.ModeSymlink != 0:
		var to string
		if to, err = fd.ReadLink(top); err == nil {
			err = p.head(info, as, to, nil)
		}
	default:
		err = p.file(info, as, func() (*os.File, error) {
			return os.OpenFile(fd.Path(top), os.O_RDONLY|fd.NoBlock, 0)
		})
	}
	if err == nil {
		err = p.tw.Close()
	}
	if err != nil {
		return fmt.Errorf("cp: %w", err)
	}
	return nil
}

type packer struct {
	tw    *tar.Writer
	ids   IDs
	links map[[2]uint64]string // device and inode of files with several names
	// attributes keeps extended attributes; layer turns overlayfs's marks into a layer's.
	// unmarked leaves out those marks.
	attributes, layer, unmarked bool
}

func (p *packer) tree(ctx context.Context, top *os.File, as string) error {
	root, err := os.OpenRoot(fd.Path(top))
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // only read from
	return p.walk(ctx, root, as)
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func (p *packer) entry(root *os.Root, name, as string) error {
	info, err := root.Lstat(name)
	if err != nil {
		if gone(err) {
			return nil
		}
		return err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := root.Readlink(name)
		if gone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return p.head(info, as, to, nil)
	case info.IsDir():
		return p.dir(root, name, as, info)
	}
	return p.file(info, as, func() (*os.File, error) { return root.OpenFile(name, os.O_RDONLY|fd.NoBlock, 0) })
}

// head writes a header without content.
func (p *packer) head(info os.FileInfo, as, link string, attributes map[string]string) error {
	h, err := tar.FileInfoHeader(bare{info}, link)
	if err != nil {
		return err
	}
	h.Name = as
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{} // of this machine, not of the file
	if info.IsDir() {
		h.Name += "/"
	}
	for name, value := range attributes {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+name] = value
	}
	uid, gid := fd.Owner(info)
	h.Uid, h.Gid, h.Format = p.ids.stream(uid), p.ids.stream(gid), tar.FormatPAX
	return p.tw.WriteHeader(h)
}

// file writes a regular file, or the header of a device or FIFO, which are not
// opened.
func (p *packer) file(info os.FileInfo, as string, open func() (*os.File, error)) error {
	if info.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	if !info.Mode().IsRegular() {
		return p.head(info, as, "", nil)
	}
	if done, err := p.hardLink(info, as); done || err != nil {
		return err
	}
	f, err := open()
	if err != nil {
		if gone(err) {
			return nil
		}
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if !now.Mode().IsRegular() {
		return fault.New(fault.Conflict, as+": replaced while being copied")
	}
	a, err := p.read(f, as)
	if err != nil {
		return err
	}
	if err := p.head(now, as, "", a.Kept); err != nil {
		return err
	}
	n, err := io.CopyN(p.tw, f, now.Size())
	if errors.Is(err, io.EOF) {
		return fault.New(fault.Conflict, fmt.Sprintf("%s: shrank from %d to %d bytes while being copied", as, now.Size(), n))
	}
	return err
}

func (p *packer) hardLink(info os.FileInfo, as string) (done bool, err error) {
	dev, ino, count := fd.Link(info)
	if count < 2 {
		return false, nil
	}
	first, seen := p.links[[2]uint64{dev, ino}]
	if !seen {
		p.links[[2]uint64{dev, ino}] = as
		return false, nil
	}
	uid, gid := fd.Owner(info)
	return true, p.tw.WriteHeader(&tar.Header{
		Typeflag: tar.TypeLink, Name: as, Linkname: first, Mode: int64(info.Mode().Perm()),
		Uid: p.ids.stream(uid), Gid: p.ids.stream(gid), ModTime: info.ModTime(), Format: tar.FormatPAX,
	})
}
