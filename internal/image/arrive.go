package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image/bundle"
	"carob/internal/image/partial"
)

// Intake is the store as a registry client sees it. It may be used concurrently.
type Intake struct{ store *Store }

// NewIntake returns the intake of a store.
func NewIntake(s *Store) *Intake { return &Intake{s} }

// Remote is an image that somebody else keeps, as it is handed in: small parts by
// value, layers to be opened one by one.
type Remote struct {
	// Names are full references to be given to it; one with a digest is allowed here.
	Names []string
	// Digests are "registry/path@digest" of what it was found by.
	Digests []string
	// Config and Manifest are texts whose digests the caller has checked.
	Config, Manifest []byte
	// Layers are lowest first, as many as Config has diff IDs.
	Layers []RemoteLayer
}

// RemoteLayer is one packed layer.
type RemoteLayer struct {
	// Name says in errors which layer it is.
	Name string
	// Open returns the blob; it is not called for a layer that is here. The reader ends
	// with io.EOF only when the whole blob was read and its digest is right. It may be
	// called after Add has returned, for others who wait for the same layer.
	Open func(context.Context) (io.ReadCloser, error)
	// Begin is called when this layer's turn comes, End when it is in place; both in
	// the order of the layers.
	Begin, End func()
}

// Add makes an image of a remote one. Layers that are here are not opened; a layer
// that others are adding at this moment is unpacked once for all of them. Cancelling
// ctx undoes it. Invalid is a configuration or a layer that no image has.
func (in *Intake) Add(ctx context.Context, r Remote) (Image, error) {
	cfg, err := in.CheckConfig(r.Config, len(r.Layers))
	if err != nil {
		return Image{}, err
	}
	tx := &transaction{store: in.store}
	img, err := tx.arrive(ctx, r, cfg)
	if e := tx.end(); err == nil && e != nil {
		err = e
	}
	return img, err
}

// AddFiles makes an image without a command of the files in a tar; they are trusted as
// little as a layer's. Names and digests are as Remote's.
func (in *Intake) AddFiles(ctx context.Context, names, digests []string, r io.Reader) (Image, error) {
	tx := &transaction{store: in.store}
	img, err := tx.one(ctx, names, r, record{Digests: digests, Artifact: true})
	if e := tx.end(); err == nil && e != nil {
		err = e
	}
	return img, err
}

// Again returns the image that a registry called known, "registry/path@digest", if it is
// here, and gives it a name, which may be that one.
func (in *Intake) Again(ctx context.Context, known, name string) (img Image, ok bool, err error) {
	img, err = in.store.Resolve(ctx, known)
	if fault.Is(err, fault.NotFound) {
		return Image{}, false, nil
	}
	if err == nil && name != known {
		if err = in.store.Tag(ctx, img.ID, name); err == nil {
			img, err = in.store.Resolve(ctx, img.ID)
		}
	}
	return img, err == nil, err
}

// CheckConfig reads an image's configuration and holds it against the number of
// layers that its manifest has; every error is Invalid.
func (in *Intake) CheckConfig(text []byte, layers int) (v1.Image, error) {
	return bundle.CheckConfig(text, layers, in.store.limits)
}

// Missing tells which of the layers with these diff IDs, lowest first, would have to be
// opened by an Add now.
func (in *Intake) Missing(diffs []digest.Digest) []bool {
	missing := make([]bool, len(diffs))
	for i := range diffs {
		missing[i] = !in.store.root.hasLayer(identity.ChainID(diffs[:i+1]).Encoded())
	}
	return missing
}

// Partials keeps the downloads of what is to be added.
func (in *Intake) Partials() *partial.Dir { return in.store.partials }

// Scratch returns an empty file on the store's file system that has no name: it is gone
// when it is closed, or when the process ends.
func (in *Intake) Scratch() (*os.File, error) {
	f, err := os.CreateTemp(in.store.root.tmp(), "scratch-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, os.ErrNotExist) { // Sweep may have been first
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Content opens an image to be sent away; see Store.Content. manifest is the one it was
// pulled by, empty when no registry gave one.
func (in *Intake) Content(ctx context.Context, name string) (c *Content, manifest []byte, err error) {
	c, err = in.store.Content(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	id := c.Image.ID
	want := in.store.snapshot.Load().index.Images[id].Manifest
	if want == "" {
		return c, nil, nil
	}
	manifest, err = os.ReadFile(in.store.root.manifest(id))
	if err == nil && digest.FromBytes(manifest) != want && !describes(manifest, id) {
		err = errors.New("damaged on disk")
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("image %s: manifest: %w", name, err), c.Close())
	}
	return c, manifest, nil
}

// describes tells whether a manifest is one of the image. A daemon that is killed when it has
// put the manifest of a new pull in place, and not yet the index that names it, leaves such a one.
func describes(manifest []byte, id string) bool {
	var m v1.Manifest
	return json.Unmarshal(manifest, &m) == nil && m.Config.Digest.String() == id
}

// Known adds "registry/path@digest" to what an image is known by, and the manifest if it
// has none yet. An image that has been removed meanwhile stays removed.
func (in *Intake) Known(id, name string, manifest []byte) error {
	s := in.store
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.snapshot.Load().index.Images[id]
	if !ok || slices.Contains(old.Digests, name) {
		return nil
	}
	return s.commitLocked(func(_ *state, next *index) error {
		now := record{Config: old.Config, Layers: old.Layers, Digests: []string{name}, Artifact: old.Artifact}.after(old)
		next.Images[id] = now
		if now.Manifest != "" {
			return nil
		}
		now.Manifest = digest.FromBytes(manifest)
		next.Images[id] = now
		return replace(s.root.manifest(id), manifest)
	})
}

func (tx *transaction) arrive(ctx context.Context, r Remote, cfg v1.Image) (Image, error) {
	a := arrival{config: r.Config, manifest: r.Manifest, names: r.Names, record: record{Config: cfg.Config, Digests: r.Digests}}
	if len(r.Manifest) > 0 {
		a.record.Manifest = digest.FromBytes(r.Manifest)
	}
	if cfg.Created != nil {
		a.record.Created = cfg.Created.UTC()
	}
	for i, l := range r.Layers {
		l.Begin()
		if err := tx.join(ctx, &a.record, cfg.RootFS.DiffIDs[:i+1], l.Open); err != nil {
			return Image{}, fmt.Errorf("layer %s: %w", l.Name, err)
		}
		l.End()
	}
	if img, ok := tx.unchanged(a); ok {
		return img, nil
	}
	imgs, err := tx.commit([]arrival{a})
	if err != nil {
		return Image{}, err
	}
	return imgs[0], nil
}

// unchanged returns the image when committing the arrival would change nothing.
func (tx *transaction) unchanged(a arrival) (Image, bool) {
	st := tx.store.snapshot.Load()
	id := digest.FromBytes(a.config).String()
	old, ok := st.index.Images[id]
	if !ok || a.record.Manifest != "" && old.Manifest != a.record.Manifest {
		return Image{}, false
	}
	for _, n := range a.names {
		if st.index.Names[n] != id {
			return Image{}, false
		}
	}
	for _, d := range a.record.Digests {
		if !slices.Contains(old.Digests, d) {
			return Image{}, false
		}
	}
	return st.byID[id], true
}

// after is the record of an image that was here before as old.
func (r record) after(old record) record {
	r.Created = old.Created
	r.Pinned = r.Pinned || old.Pinned
	r.Artifact = r.Artifact && old.Artifact // what was imported too is an image
	if r.Source == nil {
		r.Source = old.Source
	}
	r.Digests = slices.Concat(old.Digests, r.Digests)
	slices.Sort(r.Digests)
	r.Digests = slices.Compact(r.Digests)
	if r.Manifest == "" {
		r.Manifest = old.Manifest
	}
	return r
}

// write writes the configuration, and the manifest if there is one; neither is flushed.
func (a arrival) write(to dirs) error {
	id := digest.FromBytes(a.config).String()
	err := os.WriteFile(to.config(id), a.config, 0o600)
	if err == nil && len(a.manifest) > 0 {
		err = os.WriteFile(to.manifest(id), a.manifest, 0o600)
	}
	return err
}

// adopt moves documents that have been flushed to where images find them.
func (d dirs) adopt(staged dirs) error {
	entries, err := os.ReadDir(staged.configs())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(staged.configs(), e.Name()), filepath.Join(d.configs(), e.Name())); err != nil {
			return err
		}
	}
	return syncDir(d.configs())
}
