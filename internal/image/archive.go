package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image/unpack"
)

// Load adds the images of an archive made by "docker save", "podman save", skopeo
// and the like: docker-archive or oci-archive, plain or packed with gzip, zstd,
// xz or bzip2. All of the archive's images arrive, or none. Each is returned with
// the names that the archive gives it. Cancelling ctx undoes it.
func (s *Store) Load(ctx context.Context, r io.Reader) ([]Image, error) {
	tx := &transaction{store: s}
	imgs, err := tx.load(ctx, r)
	if e := tx.end(); err == nil && e != nil {
		err = e
	}
	if err != nil {
		return nil, fmt.Errorf("image archive: %w", err)
	}
	return imgs, nil
}

func (tx *transaction) load(ctx context.Context, r io.Reader) ([]Image, error) {
	t, err := tx.store.holds.temp("archive-")
	if err != nil {
		return nil, err
	}
	tx.temps = append(tx.temps, t)
	f, err := spool(ctx, filepath.Join(t.dir, "archive"), r, tx.store.limits)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a, err := openArchive(f, tx.store.limits)
	if err != nil {
		return nil, err
	}
	wanted, err := a.images()
	if err != nil {
		return nil, err
	}
	arrivals := make([]arrival, len(wanted))
	for i, p := range wanted {
		if arrivals[i], err = tx.loadOne(ctx, p); err != nil {
			return nil, err
		}
	}
	imgs, err := tx.commit(arrivals)
	for i := range imgs {
		imgs[i].Names = nil
		for _, n := range arrivals[i].names {
			imgs[i].Names = append(imgs[i].Names, familiar(n))
		}
	}
	return imgs, err
}

// packedImage is one image of an archive, checked but for its layers' content.
type packedImage struct {
	names  []string // full
	config []byte
	parsed v1.Image
	layers []packedLayer // lowest first, as many as the config has diff IDs
}

type packedLayer struct {
	member string
	r      io.Reader
	digest digest.Digest // of the member itself; empty in a docker-archive
}

func (tx *transaction) loadOne(ctx context.Context, p packedImage) (arrival, error) {
	a := arrival{config: p.config, names: p.names, record: record{Config: p.parsed.Config}}
	if p.parsed.Created != nil {
		a.record.Created = p.parsed.Created.UTC()
	}
	for i, l := range p.layers {
		b := unpack.Blob{R: l.r, Packed: l.digest, Plain: p.parsed.RootFS.DiffIDs[i]}
		if _, err := tx.add(ctx, &a.record, p.parsed.RootFS.DiffIDs[:i], b); err != nil {
			return arrival{}, fmt.Errorf("layer %.200s: %w", l.member, err)
		}
	}
	return a, nil
}

// spool writes the archive, without its outer packing, to a file: its parts come in
// any order.
func spool(ctx context.Context, path string, r io.Reader, l unpack.Limits) (*os.File, error) {
	source := unpack.NewMeter(ctx, r, l.Archive)
	plain, err := unpack.Decompress(source)
	if err != nil {
		return nil, unpack.Explain(ctx, err, source)
	}
	defer plain.Close()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, unpack.NewMeter(ctx, plain, l.Archive)); err != nil {
		return nil, errors.Join(unpack.Explain(ctx, err, source), f.Close())
	}
	return f, nil
}

// contents is an archive's table of contents. Only regular members have content;
// links are kept because "docker save" once wrote a repeated layer as one.
type contents struct {
	f       seekable
	limits  unpack.Limits
	members map[string]member
}

type seekable interface {
	io.ReadSeeker
	io.ReaderAt
}

type member struct {
	offset, size int64
	link         string // the path of the member meant, for links
}

func openArchive(f seekable, l unpack.Limits) (*contents, error) {
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

// open returns a member's content; NotFound's cousin here is an invalid archive.
func (a *contents) open(unsafeName string) (*io.SectionReader, error) {
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

// read returns a small member whole.
func (a *contents) read(name string) ([]byte, error) {
	r, err := a.open(name)
	if err != nil {
		return nil, err
	}
	if r.Size() > a.limits.JSON {
		return nil, unpack.Invalid("%.200q: %d bytes of JSON are more than the %d accepted", name, r.Size(), a.limits.JSON)
	}
	return io.ReadAll(r)
}

func (a *contents) readJSON(name string, into any) error {
	text, err := a.read(name)
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
func (a *contents) images() ([]packedImage, error) {
	if _, ok := a.members["manifest.json"]; ok {
		return a.dockerImages()
	}
	if _, ok := a.members[v1.ImageIndexFile]; ok {
		return a.ociImages()
	}
	return nil, unpack.Invalid(`holds neither manifest.json nor index.json; a root filesystem goes in with "carob image import"`)
}

// checkConfig reads a configuration and holds it against its layers.
func (a *contents) checkConfig(p *packedImage, subject string) error {
	if err := json.Unmarshal(p.config, &p.parsed); err != nil {
		return unpack.Invalid("configuration %.200q: %w", subject, err)
	}
	ids := p.parsed.RootFS.DiffIDs
	switch {
	case len(ids) != len(p.layers):
		return unpack.Invalid("configuration %.200q: describes %d layers, the manifest %d; this is no image to run", subject, len(ids), len(p.layers))
	case len(ids) > a.limits.Layers:
		return unpack.Invalid("configuration %.200q: %d layers are more than the %d accepted", subject, len(ids), a.limits.Layers)
	case p.parsed.OS != "" && p.parsed.OS != "linux":
		return unpack.Invalid("configuration %.200q: an image for %.20q, not for linux", subject, p.parsed.OS)
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
