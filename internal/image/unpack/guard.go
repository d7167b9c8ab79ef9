package unpack

import (
	"archive/tar"
	"fmt"
	"math"
	"path"
	"strings"

	"carob/internal/fault"
)

// Limits bound what an archive may make this machine do.
type Limits struct {
	Archive int64 // bytes of an archive, after its outer compression
	Layer   int64 // bytes of one layer, unpacked, holes counted
	Entries int   // entries of one layer or archive
	Layers  int   // layers of one image; overlayfs stops at 500
	Images  int   // images of one archive
	JSON    int64 // bytes of one manifest or configuration
}

// DefaultLimits are far above every real image and far below what fills a machine.
func DefaultLimits() Limits {
	return Limits{Archive: 512 << 30, Layer: 128 << 30, Entries: 1 << 20, Layers: 256, Images: 1000, JSON: 8 << 20}
}

const (
	// maxDepth bounds the components of a path: resolving one costs a system call
	// per component and entry.
	maxDepth = 512
	// MaxNames bounds the bytes of all names and links of one archive that are remembered.
	MaxNames = 256 << 20
	// MaxLinks is how many links are followed on one path: the kernel's own limit (path_resolution(7)).
	MaxLinks = 40
	// maxOwner is the last real ID: the one after it means "leave as it is" to
	// chown(2), and larger ones would be cut to 32 bits, to root's for one.
	maxOwner = math.MaxUint32 - 1
)

// guard decides entry by entry whether a layer may be unpacked. The unpacker
// resolves every path inside the layer anyway; the guard refuses instead of
// repairing, so that nobody wonders where a file went.
type guard struct {
	limits  Limits
	entries int
	bytes   int64
	links   map[string]string // the layer's symbolic links: path → text
	linked  int               // bytes of all that links has been told
}

func newGuard(l Limits) *guard { return &guard{limits: l, links: map[string]string{}} }

// check reports whether the entry is to be unpacked; an error ends the whole layer.
// It may be given names that are cleaned already.
func (g *guard) check(h *tar.Header) (bool, error) {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return false, nil
	}
	if err := g.count(h); err != nil {
		return false, err
	}
	name, err := Inside(h.Name)
	if err != nil {
		return false, Invalid("entry %.200q: %w", h.Name, err)
	}
	if name == "." {
		if h.Typeflag != tar.TypeDir {
			return false, Invalid("entry %.200q: the root is not a directory", h.Name)
		}
		return true, nil
	}
	base := path.Base(name)
	if strings.HasPrefix(base, ".wh..wh.") && base != ".wh..wh..opq" {
		return false, nil // aufs's own bookkeeping, never part of an image
	}
	dir, err := g.follow(path.Dir(name))
	if err != nil {
		return false, Invalid("entry %.200q: %w", h.Name, err)
	}
	return true, g.note(path.Join(dir, base), h)
}

// count holds the entry against the limits.
func (g *guard) count(h *tar.Header) error {
	g.entries++
	if g.entries > g.limits.Entries {
		return Invalid("more than %d entries", g.limits.Entries)
	}
	if h.Size < 0 || h.Size > g.limits.Layer-g.bytes {
		return Invalid("entry %.200q: unpacks to more than %d bytes in all", h.Name, g.limits.Layer)
	}
	g.bytes += h.Size
	for _, id := range []int{h.Uid, h.Gid} {
		if id < 0 || id > maxOwner {
			return Invalid("entry %.200q: owner %d:%d is out of range", h.Name, h.Uid, h.Gid)
		}
	}
	return nil
}

// note remembers the entry's link or checks where its hard link leads.
func (g *guard) note(name string, h *tar.Header) error {
	delete(g.links, name)
	switch h.Typeflag {
	case tar.TypeSymlink:
		if g.linked += len(name) + len(h.Linkname); g.linked > MaxNames {
			return Invalid("symbolic links of more than %d bytes in all", MaxNames)
		}
		g.links[name] = h.Linkname
	case tar.TypeLink:
		target, err := Inside(h.Linkname)
		if err == nil {
			_, err = g.follow(path.Dir(target))
		}
		if err != nil {
			return Invalid("entry %.200q: hard link to %.200q: %w", h.Name, h.Linkname, err)
		}
	}
	return nil
}

// follow returns where dir is after the layer's own symbolic links, and refuses one
// that leads out of the layer: an absolute one, or one that climbs over its root.
func (g *guard) follow(dir string) (string, error) {
	for range MaxLinks {
		link, rest, ok := g.firstLink(dir)
		if !ok {
			return dir, nil
		}
		text := g.links[link]
		next := path.Join(path.Dir(link), text)
		if path.IsAbs(text) || next == ".." || strings.HasPrefix(next, "../") {
			return "", fmt.Errorf("lies below the symbolic link %.200q, which leads out of the archive to %.200q", link, text)
		}
		dir = path.Join(next, rest)
	}
	return "", fmt.Errorf("lies below too many symbolic links")
}

func (g *guard) firstLink(dir string) (link, rest string, ok bool) {
	if len(g.links) == 0 {
		return "", "", false
	}
	for i := 0; i <= len(dir); i++ {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		if _, ok := g.links[dir[:i]]; ok {
			return dir[:i], strings.TrimPrefix(dir[i:], "/"), true
		}
	}
	return "", "", false
}

// Inside returns the name relative to the archive's root. An absolute name is what
// some tars write for the same thing; a climbing one never is.
func Inside(unsafeName string) (string, error) {
	for part := range strings.SplitSeq(unsafeName, "/") {
		if part == ".." {
			return "", fmt.Errorf("the path climbs with %q", "..")
		}
	}
	name := strings.TrimPrefix(path.Clean("/"+unsafeName), "/")
	if name == "" {
		name = "."
	}
	if strings.Count(name, "/") >= maxDepth {
		return "", fmt.Errorf("the path has more than %d parts", maxDepth)
	}
	return name, nil
}

// Invalid makes a fault of that kind.
func Invalid(format string, args ...any) error {
	return fault.Wrap(fault.Invalid, "", fmt.Errorf(format, args...))
}
