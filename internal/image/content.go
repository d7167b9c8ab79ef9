package image

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image/retar"
)

// Content is an image as archives and registries carry it. Its layers stay in the
// store until Close, also when the image is removed meanwhile.
type Content struct {
	// Image is the image as it was when its content was opened.
	Image Image
	// Name is the full name it was found by; empty when it was found by ID.
	Name string
	// Config is the image's configuration, byte for byte: its digest is the ID.
	Config []byte
	// Layers are the layers' tars, lowest first.
	Layers []LayerTar

	store  *Store
	pinned []string // chains
}

// LayerTar is the tar that a layer was unpacked from.
type LayerTar struct {
	// DiffID is the digest of the tar, Size its length in bytes.
	DiffID digest.Digest
	Size   int64

	tree, record string
}

// Content opens what an image is made of. NotFound is an image that is not there;
// Unsupported is a layer that an older carob unpacked without a record of its tar.
func (s *Store) Content(_ context.Context, name string) (*Content, error) {
	c, err := pinned(s, name)
	if err != nil {
		return nil, err
	}
	if err := c.read(s.root); err != nil {
		return nil, errors.Join(fmt.Errorf("image %s: %w", name, err), c.Close())
	}
	return c, nil
}

// pinned finds an image. With mu held no layer goes between being found and being
// pinned.
func pinned(s *Store, name string) (*Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.snapshot.Load()
	id, full, err := st.find(name)
	if err != nil {
		return nil, err
	}
	c := &Content{Image: st.byID[id], Name: full, store: s}
	for _, l := range st.index.Images[id].Layers {
		s.holds.pin(l.Chain)
		c.pinned = append(c.pinned, l.Chain)
	}
	return c, nil
}

// Close lets the layers go, and removes those of an image that has been removed
// meanwhile.
func (c *Content) Close() error {
	c.store.holds.unpin(c.pinned)
	c.pinned = nil
	if _, there := c.store.snapshot.Load().byID[c.Image.ID]; there {
		return nil
	}
	return waste{c.store}.collect()
}

func (c *Content) read(root dirs) (err error) {
	if c.Config, err = root.readConfig(c.Image.ID); err != nil {
		return err
	}
	var parsed v1.Image
	if err := json.Unmarshal(c.Config, &parsed); err != nil {
		return err
	}
	if len(parsed.RootFS.DiffIDs) != len(c.pinned) {
		return fault.New(fault.Internal, "the index and the configuration differ in their layers")
	}
	for i, chain := range c.pinned {
		l := LayerTar{DiffID: parsed.RootFS.DiffIDs[i], tree: filepath.Join(root.layers(), chain), record: root.tar(chain)}
		if l.Size, err = l.size(); err != nil {
			return fmt.Errorf("layer %s: %w", l.DiffID, err)
		}
		c.Layers = append(c.Layers, l)
	}
	return nil
}

// Config returns the configuration of the image with this ID, byte for byte.
func (s *Store) Config(id string) ([]byte, error) {
	if _, ok := s.snapshot.Load().byID[id]; !ok {
		return nil, notStored(id)
	}
	text, err := s.root.readConfig(id)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", id, err)
	}
	return text, nil
}

func (d dirs) readConfig(id string) ([]byte, error) {
	text, err := os.ReadFile(d.config(id))
	if err != nil {
		return nil, err
	}
	if have := digest.FromBytes(text); have.String() != id {
		return nil, fault.New(fault.Internal, "the stored configuration is damaged: its digest is "+have.String())
	}
	return text, nil
}

func (l LayerTar) open() (*os.File, error) {
	f, err := os.Open(l.record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Unsupported, "an older carob unpacked it and kept no record of its tar; load or pull the image again")
	}
	return f, err
}

func (l LayerTar) size() (int64, error) {
	f, err := l.open()
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read from
	return retar.Size(f)
}

// Write writes the layer's tar to w: exactly the bytes whose digest is DiffID.
// Conflict is a layer whose files are no longer what was unpacked; w has then got
// something else and must be thrown away.
func (l LayerTar) Write(ctx context.Context, w io.Writer) error {
	f, err := l.open()
	if err != nil {
		return fmt.Errorf("layer %s: %w", l.DiffID, err)
	}
	defer func() { _ = f.Close() }() // only read from
	tree, err := os.OpenRoot(l.tree)
	if err != nil {
		return fmt.Errorf("layer %s: %w", l.DiffID, err)
	}
	defer func() { _ = tree.Close() }() // only read from
	sum := sha256.New()
	if err := retar.Write(ctx, io.MultiWriter(sum, w), f, tree); err != nil {
		return fmt.Errorf("layer %s: %w", l.DiffID, err)
	}
	if have := digest.NewDigest(digest.SHA256, sum); have != l.DiffID {
		return fault.New(fault.Conflict, fmt.Sprintf("layer %s: the unpacked layer differs: its tar would be %s", l.DiffID, have))
	}
	return nil
}
