package archive

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"carob/internal/fault"
	"carob/internal/sys/disk"
	"carob/internal/sys/fd"
)

// The names by which image layers say that something of a lower layer is gone; see
// image-spec's layer.md.
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// PackLayer writes what an overlay's upper directory changes as the tar of an image
// layer. overlayfs's marks become the layer's, file capabilities and user.* attributes
// are kept, other attributes are left out, as are sockets. The top directory itself is
// not written. Unsupported is what a layer cannot say: a name that begins with .wh., or
// a directory or file of which overlayfs has only a part here. upper stays the caller's.
func PackLayer(ctx context.Context, w io.Writer, upper *os.File, ids IDs) error {
	return packTree(ctx, w, upper, &packer{ids: ids, attributes: true, layer: true})
}

// PackUpper is PackLayer without the marks: what is gone of a lower layer it does not say.
func PackUpper(ctx context.Context, w io.Writer, upper *os.File, ids IDs) error {
	return packTree(ctx, w, upper, &packer{ids: ids, attributes: true, layer: true, unmarked: true})
}

// PackRoot writes a whole root file system: like Pack of its content, but with the
// attributes that PackLayer keeps. root stays the caller's.
func PackRoot(ctx context.Context, w io.Writer, root *os.File, ids IDs) error {
	return packTree(ctx, w, root, &packer{ids: ids, attributes: true})
}

func packTree(ctx context.Context, w io.Writer, top *os.File, p *packer) error {
	p.tw, p.links = tar.NewWriter(w), map[[2]uint64]string{}
	err := p.tree(ctx, top, ".")
	if err == nil {
		err = p.tw.Close()
	}
	return err
}

// layerEntry writes one entry of an upper directory.
func (p *packer) layerEntry(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if gone(err) || name == "." {
		return nil
	}
	if err != nil {
		return err
	}
	if disk.IsWhiteout(info) {
		return p.mark(info, path.Join(path.Dir(name), whiteoutPrefix+path.Base(name)))
	}
	if strings.HasPrefix(path.Base(name), whiteoutPrefix) && !p.unmarked {
		return fault.New(fault.Unsupported, fmt.Sprintf("%.200q: in an image layer a name that begins with %s says that a file is gone", name, whiteoutPrefix))
	}
	return p.entry(root, name, name)
}

// mark writes an empty file whose name is what it says.
func (p *packer) mark(info os.FileInfo, name string) error {
	if p.unmarked {
		return nil
	}
	return p.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, ModTime: info.ModTime(), Format: tar.FormatPAX})
}

// dir writes a directory's header, and that it is opaque.
func (p *packer) dir(root *os.Root, name, as string, info os.FileInfo) error {
	if !p.attributes {
		return p.head(info, as, "", nil)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|fd.NoBlock, 0)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if !now.IsDir() {
		return fault.New(fault.Conflict, as+": replaced while being copied")
	}
	a, err := p.read(f, as)
	if err != nil {
		return err
	}
	if err := p.head(now, as, "", a.Kept); err != nil || !a.Opaque || !p.layer {
		return err
	}
	return p.mark(info, path.Join(as, opaqueName))
}

// read reads the attributes that are wanted, none for cp.
func (p *packer) read(f *os.File, as string) (disk.Attributes, error) {
	if !p.attributes {
		return disk.Attributes{}, nil
	}
	a, err := disk.ReadAttributes(f, p.ids.Base)
	if err == nil && p.layer && a.Partial != "" {
		err = fault.New(fault.Unsupported, fmt.Sprintf("%.200q: overlayfs keeps only a part of it here (%s); mount overlays with redirect_dir=off and metacopy=off", as, a.Partial))
	}
	return a, err
}

// walk visits what is below root in the order of names.
func (p *packer) walk(ctx context.Context, root *os.Root, as string) error {
	return fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if gone(err) && name != "." {
			return nil // the container removed it meanwhile
		}
		if err != nil {
			return err
		}
		if p.layer {
			return p.layerEntry(root, name)
		}
		return p.entry(root, name, path.Join(as, name))
	})
}
