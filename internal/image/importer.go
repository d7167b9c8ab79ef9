package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	cfs "github.com/containerd/continuity/fs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/image/unpack"
	"carob/internal/ref"
	"carob/internal/sys/disk"
)

// ImportTar makes a one-layer image of a root filesystem in a tar, which may be
// plain or packed with gzip or zstd. An empty name makes an image without a name.
// The same content and config give the same image. Cancelling ctx undoes it.
func (s *Store) ImportTar(ctx context.Context, name string, r io.Reader, cfg v1.ImageConfig) (Image, error) {
	return s.importOne(ctx, name, r, record{Config: cfg})
}

// ImportDir makes a one-layer image of a directory. Owners, modes, times, links,
// devices and xattrs are kept; sockets are left out. The directory must not change
// meanwhile.
func (s *Store) ImportDir(ctx context.Context, name, dir string, cfg v1.ImageConfig) (Image, error) {
	if err := readableDir(dir); err != nil {
		return Image{}, unpack.Invalid("image %s: import: %w", name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(archive.WriteDiff(unpack.Quiet(ctx), w, "", dir))
	}()
	img, err := s.importOne(ctx, name, r, record{Config: cfg})
	r.Close() // lets the writer go when the import ended early
	<-done
	return img, err
}

func readableDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_, err = d.ReadDir(1)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: the directory is empty", dir)
	}
	return errors.Join(err, d.Close())
}

// importOne makes an image of one layer. rec brings what is known already.
func (s *Store) importOne(ctx context.Context, name string, r io.Reader, rec record) (Image, error) {
	subject := name
	var names []string
	if name != "" {
		full, err := ref.ParseName(name)
		if err != nil {
			return Image{}, err
		}
		names = []string{full}
	} else {
		subject = "without name"
	}
	tx := &transaction{store: s}
	img, err := tx.one(ctx, names, r, rec)
	if e := tx.end(); err == nil && e != nil {
		err = e
	}
	if err != nil {
		return Image{}, fmt.Errorf("image %s: import: %w", subject, err)
	}
	return img, nil
}

func (tx *transaction) one(ctx context.Context, names []string, r io.Reader, rec record) (Image, error) {
	diff, err := tx.add(ctx, &rec, nil, unpack.Blob{R: r})
	if err != nil {
		return Image{}, err
	}
	config, err := json.Marshal(v1.Image{
		Platform: v1.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   rec.Config,
		RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{diff}},
		// Without an entry for each layer buildah refuses to build on it.
		History: []v1.History{{CreatedBy: "carob import"}},
	})
	if err != nil {
		return Image{}, err
	}
	imgs, err := tx.commit([]arrival{{config: config, names: names, record: rec}})
	if err != nil {
		return Image{}, err
	}
	return imgs[0], nil
}

// arrival is an image whose layers are in place.
type arrival struct {
	config []byte
	names  []string // full
	record record
	// manifest is the text a registry gave; nil for all others.
	manifest []byte
}

// transaction is one import: whatever it made and did not commit goes at its end.
type transaction struct {
	store  *Store
	pinned []string
	temps  []*temp
	moved  bool // a layer was put in place
}

// end lets go of what the transaction held.
func (tx *transaction) end() error {
	var errs []error
	for _, t := range tx.temps {
		errs = append(errs, t.close())
	}
	tx.store.holds.unpin(tx.pinned)
	if tx.moved {
		errs = append(errs, waste{tx.store}.collect())
	}
	return errors.Join(errs...)
}

// add puts one more layer on those of rec, whose diff IDs are below, and returns its
// diff ID. A layer that is there already is not even read when its diff ID is known.
func (tx *transaction) add(ctx context.Context, rec *record, below []digest.Digest, b unpack.Blob) (digest.Digest, error) {
	s := tx.store
	if b.Plain != "" {
		if l, ok := tx.present(ctx, append(slices.Clone(below), b.Plain)); ok {
			rec.Layers = append(rec.Layers, l)
			return b.Plain, nil
		}
	}
	t, err := s.holds.temp("layer-")
	if err != nil {
		return "", err
	}
	tx.temps = append(tx.temps, t)
	tree := filepath.Join(t.dir, "tree")
	if err := makeDir(tree, 0o755); err != nil {
		return "", err
	}
	o := unpack.Options{Limits: s.limits}
	for _, l := range slices.Backward(rec.Layers) {
		o.Parents = append(o.Parents, filepath.Join(s.root.layers(), l.Chain))
	}
	diff, err := unpack.Layer(ctx, tree, b, o)
	if err != nil {
		return "", err
	}
	l, err := tx.place(ctx, tree, append(slices.Clone(below), diff))
	if err != nil {
		return "", err
	}
	rec.Layers = append(rec.Layers, l)
	return diff, nil
}

// present finds a layer that is in place, and keeps it there until the end.
func (tx *transaction) present(ctx context.Context, chain []digest.Digest) (layer, bool) {
	hex := tx.pin(chain)
	dir := filepath.Join(tx.store.root.layers(), hex)
	if !tx.store.root.hasLayer(hex) {
		return layer{}, false
	}
	for _, r := range tx.store.snapshot.Load().index.Images {
		for _, l := range r.Layers {
			if l.Chain == hex {
				return l, true
			}
		}
	}
	use, err := cfs.DiskUsage(ctx, dir)
	return layer{Chain: hex, Size: use.Size}, err == nil
}

// place moves an unpacked layer to where images find it. When another import was
// first, its copy is as good.
func (tx *transaction) place(ctx context.Context, tree string, chain []digest.Digest) (layer, error) {
	hex := tx.pin(chain)
	use, err := cfs.DiskUsage(ctx, tree)
	if err != nil {
		return layer{}, err
	}
	// The record first: a layer that is in place has one, also after a crash.
	if err := os.Rename(tree+unpack.RecordSuffix, tx.store.root.tar(hex)); err != nil {
		return layer{}, err
	}
	tx.moved = true
	err = os.Rename(tree, filepath.Join(tx.store.root.layers(), hex))
	if err != nil && !disk.Taken(err) {
		return layer{}, err
	}
	return layer{Chain: hex, Size: use.Size}, nil
}

// stage writes the arrivals' documents and returns their directory. They are put in place
// after the flush.
func (tx *transaction) stage(arrivals []arrival) (staged dirs, err error) {
	t, err := tx.store.holds.temp("documents-")
	if err != nil {
		return "", err
	}
	tx.temps = append(tx.temps, t)
	staged = dirs(t.dir)
	if err := makeDir(staged.configs(), 0o700); err != nil {
		return "", err
	}
	for _, a := range arrivals {
		if err := a.write(staged); err != nil {
			return "", err
		}
	}
	return staged, nil
}

// flush makes new layers' files and documents survive a power failure: without it a layer
// whose index entry is on disk may hold files of length zero. One call is for all:
// what no index names is swept away after a crash.
func (tx *transaction) flush() error {
	d, err := os.Open(tx.store.root.layers())
	if err != nil {
		return err
	}
	return errors.Join(disk.Sync(d), d.Close())
}

func (tx *transaction) pin(chain []digest.Digest) (hex string) {
	hex = identity.ChainID(chain).Encoded()
	tx.store.holds.pin(hex)
	tx.pinned = append(tx.pinned, hex)
	return hex
}

// commit makes all arrivals images, or none. An image that exists keeps its date
// and gets the new names too.
func (tx *transaction) commit(arrivals []arrival) ([]Image, error) {
	s := tx.store
	staged, err := tx.stage(arrivals)
	if err == nil {
		err = tx.flush()
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, len(arrivals))
	err = s.commitLocked(func(_ *state, next *index) error {
		for i, a := range arrivals {
			ids[i] = digest.FromBytes(a.config).String()
			if old, ok := next.Images[ids[i]]; ok {
				a.record = a.record.after(old)
			}
			if a.record.Created.IsZero() {
				a.record.Created = s.now().UTC().Truncate(time.Second)
			}
			next.Images[ids[i]] = a.record
			for _, n := range a.names {
				next.Names[n] = ids[i]
			}
		}
		// Under mu, where Sweep cannot take them for some that nobody needs.
		return s.root.adopt(staged)
	})
	if err != nil {
		return nil, err
	}
	st := s.snapshot.Load()
	imgs := make([]Image, len(ids))
	for i, id := range ids {
		imgs[i] = st.byID[id]
	}
	return imgs, nil
}
