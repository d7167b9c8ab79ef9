// Package bundle reads archives of images: docker-archive, oci-archive and what is both.
// It finds which images there are, with their names, and checks digests, sizes and
// bounds of everything but the layers' content. It writes nothing.
//
// Trust: archives are hostile. Nothing of one becomes the name of a file here.
package bundle

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image/unpack"
)

// Image is one image of an archive, checked but for its layers' content.
type Image struct {
	// Names are full references.
	Names []string
	// Config is the configuration, byte for byte, and Parsed what it says.
	Config []byte
	Parsed v1.Image
	// Layers are lowest first, as many as the configuration has diff IDs.
	Layers []Layer
}

// Layer is one layer, packed or not.
type Layer struct {
	// Member is its name in the archive.
	Member string
	R      io.Reader
	// Digest is that of the member itself; empty in a docker-archive.
	Digest digest.Digest
}

// Seekable is where an archive lies, without outer packing.
type Seekable interface {
	io.ReadSeeker
	io.ReaderAt
}

// Images reads the table of contents and the manifests of an archive and returns its
// images that run here. Their layers are read from f later. Every error of the archive's
// is Invalid.
func Images(ctx context.Context, f Seekable, l unpack.Limits) ([]Image, error) {
	a, err := open(ctx, f, l)
	if err != nil {
		return nil, err
	}
	return a.images()
}

// CheckConfig reads an image's configuration and holds it against the number of layers
// that its manifest has. Every error is Invalid.
func CheckConfig(text []byte, layers int, l unpack.Limits) (v1.Image, error) {
	p := Image{Config: text, Layers: make([]Layer, layers)}
	err := (&contents{limits: l}).checkConfig(&p, digest.FromBytes(text).String())
	return p.Parsed, err
}

// contents is an archive's table of contents. Only regular members have content;
// links are kept because "docker save" once wrote a repeated layer as one.
type contents struct {
	f       Seekable
	limits  unpack.Limits
	members map[string]member
	named   int   // bytes of the members' names and links
	read    int64 // bytes of JSON so far: few may be read very often
}

// maxReads is how much JSON of an archive is read in all, in documents of the largest size.
const maxReads = 4

type member struct {
	offset, size int64
	link         string // the path of the member meant, for links
}

func open(ctx context.Context, f Seekable, l unpack.Limits) (*contents, error) {
	a := &contents{f: f, limits: l, members: map[string]member{}}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	for r, n := tar.NewReader(f), 0; ; n++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, "no tar, or a truncated one", err)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if n >= l.Entries {
			return nil, unpack.Invalid("more than %d entries", l.Entries)
		}
		if err := a.note(h, size); err != nil {
			return nil, err
		}
	}
}

func (a *contents) note(h *tar.Header, end int64) error {
	name, err := unpack.Inside(h.Name)
	if err != nil {
		return unpack.Invalid("entry %.200q: %w", h.Name, err)
	}
	if a.named += len(name) + len(h.Linkname); a.named > unpack.MaxNames {
		return unpack.Invalid("names of more than %d bytes in all", unpack.MaxNames)
	}
	switch h.Typeflag {
	case tar.TypeReg:
		// The reader stands where this member's content begins. A sparse member's
		// content is not its bytes; no tool that saves images writes one.
		at, err := a.f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if h.Size > end-at {
			return unpack.Invalid("entry %.200q: truncated, or sparse", h.Name)
		}
		a.members[name] = member{offset: at, size: h.Size}
	case tar.TypeSymlink:
		a.members[name] = member{link: path.Join(path.Dir(name), h.Linkname)}
	case tar.TypeLink:
		a.members[name] = member{link: path.Clean(h.Linkname)}
	}
	return nil
}

// member returns a member's content; NotFound's cousin here is an invalid archive.
func (a *contents) member(unsafeName string) (*io.SectionReader, error) {
	name := path.Clean(unsafeName)
	for range unpack.MaxLinks {
		m, ok := a.members[name]
		if !ok {
			return nil, unpack.Invalid("%.200q is missing", unsafeName)
		}
		if m.link == "" {
			return io.NewSectionReader(a.f, m.offset, m.size), nil
		}
		name = m.link
	}
	return nil, unpack.Invalid("%.200q is a link that leads nowhere", unsafeName)
}

// document returns a small member whole.
func (a *contents) document(name string) ([]byte, error) {
	r, err := a.member(name)
	if err != nil {
		return nil, err
	}
	if r.Size() > a.limits.JSON {
		return nil, unpack.Invalid("%.200q: %d bytes of JSON are more than the %d accepted", name, r.Size(), a.limits.JSON)
	}
	if a.read += r.Size(); a.read > maxReads*a.limits.JSON {
		return nil, unpack.Invalid("%.200q: more than %d bytes of JSON in all", name, maxReads*a.limits.JSON)
	}
	return io.ReadAll(r)
}

func (a *contents) readJSON(name string, into any) error {
	text, err := a.document(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return unpack.Invalid("%.200q: %w", name, err)
	}
	return nil
}

// images finds out the format. Docker writes both since version 25; its own file
// knows the names better.
func (a *contents) images() ([]Image, error) {
	if _, ok := a.members["manifest.json"]; ok {
		return a.dockerImages()
	}
	if _, ok := a.members[v1.ImageIndexFile]; ok {
		return a.ociImages()
	}
	return nil, unpack.Invalid(`holds neither manifest.json nor index.json; a root filesystem goes in with "carob image import"`)
}

// checkConfig reads a configuration and holds it against its layers.
func (a *contents) checkConfig(p *Image, subject string) error {
	if err := json.Unmarshal(p.Config, &p.Parsed); err != nil {
		return unpack.Invalid("configuration %.200q: %w", subject, err)
	}
	ids := p.Parsed.RootFS.DiffIDs
	switch {
	case len(ids) != len(p.Layers):
		return unpack.Invalid("configuration %.200q: describes %d layers, the manifest %d; this is no image to run", subject, len(ids), len(p.Layers))
	case len(ids) > a.limits.Layers:
		return unpack.Invalid("configuration %.200q: %d layers are more than the %d accepted", subject, len(ids), a.limits.Layers)
	case p.Parsed.OS != "" && p.Parsed.OS != "linux":
		return unpack.Invalid("configuration %.200q: an image for %.20q, not for linux", subject, p.Parsed.OS)
	}
	for _, id := range ids {
		if err := checkDigest(id); err != nil {
			return unpack.Invalid("configuration %.200q: %w", subject, err)
		}
	}
	return nil
}

// checkDigest accepts what this store computes. It runs before a digest becomes
// part of a member's or a file's name.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %.200q: %w", d, err)
	}
	if d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %.200q: only sha256 is read", d)
	}
	return nil
}
