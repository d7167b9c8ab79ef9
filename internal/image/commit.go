package image

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/archive"
	"carob/internal/fault"
	"carob/internal/image/delta"
	"carob/internal/image/unpack"
	"carob/internal/ref"
	"carob/internal/status"
)

// Committer makes images of containers.
type Committer struct{ store *Store }

// NewCommitter returns what commits into s.
func NewCommitter(s *Store) *Committer { return &Committer{s} }

// Commit is an image to be made of a container.
type Commit struct {
	// Parent is the ID of the image the container was made from.
	Parent string
	// Name is the new image's, "" for none.
	Name string
	// Config is what its containers run by default. What else the parent's
	// configuration has, a health check for one, stays as it is.
	Config v1.ImageConfig
	// Author, Comment and CreatedBy go into its history.
	Author, Comment, CreatedBy string
}

// Changes lists what a container has changed of its image's files. NotFound is a
// container without a root file system.
func (c *Committer) Changes(ctx context.Context, containerID string) ([]status.Change, error) {
	root, err := c.rootfs(containerID)
	if err != nil {
		return nil, err
	}
	return delta.Changes(ctx, root.Upper, root.Lower)
}

func (c *Committer) rootfs(containerID string) (Rootfs, error) {
	s := c.store
	id, ok := s.tenants.imageOf(containerID)
	if !ok {
		return Rootfs{}, fault.New(fault.NotFound, "container "+containerID+": has no root file system")
	}
	img, ok := s.snapshot.Load().byID[id]
	if !ok {
		return Rootfs{}, notStored(id)
	}
	return s.root.plan(containerID, img), nil
}

// Diff writes what a container has written to its root file system as a tar, and lists what
// of its image it has deleted. ids are as Commit's.
func (c *Committer) Diff(ctx context.Context, containerID string, w io.Writer, ids archive.IDs) (deleted []string, err error) {
	root, err := c.rootfs(containerID)
	if err != nil {
		return nil, err
	}
	all, err := delta.Changes(ctx, root.Upper, root.Lower)
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.Kind == status.Deleted {
			deleted = append(deleted, one.Path)
		}
	}
	upper, err := os.Open(root.Upper)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, "changes", err)
	}
	defer func() { _ = upper.Close() }() // only read from
	return deleted, archive.PackUpper(ctx, w, upper, ids)
}

// Commit makes an image of a container: its image's layers, and one more of what it has
// written. ids maps the owners that its files have on the host to those it sees.
// Cancelling ctx undoes it.
func (c *Committer) Commit(ctx context.Context, containerID string, p Commit, ids archive.IDs) (Image, error) {
	root, err := c.rootfs(containerID)
	if err != nil {
		return Image{}, err
	}
	upper, err := os.Open(root.Upper)
	if err != nil {
		return Image{}, fault.Wrap(fault.NotFound, "commit", err)
	}
	defer func() { _ = upper.Close() }() // only read from
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(archive.PackLayer(ctx, w, upper, ids))
	}()
	img, err := c.Add(ctx, p, r)
	r.Close() // lets the packer go when the store ended early
	<-done
	return img, err
}

// Add makes an image of the parent and one more layer, which it reads as a tar.
func (c *Committer) Add(ctx context.Context, p Commit, layer io.Reader) (img Image, err error) {
	var names []string
	if p.Name != "" {
		full, err := ref.ParseName(p.Name)
		if err != nil {
			return Image{}, err
		}
		names = []string{full}
	}
	parent, err := c.store.Content(ctx, p.Parent)
	if err != nil {
		return Image{}, err
	}
	tx := &transaction{store: c.store}
	img, err = tx.child(ctx, p, parent, arrival{names: names}, layer)
	if e := tx.end(); err == nil {
		err = e
	}
	if e := parent.Close(); err == nil {
		err = e
	}
	if err != nil {
		return Image{}, fmt.Errorf("commit: %w", err)
	}
	return img, nil
}

func (tx *transaction) child(ctx context.Context, p Commit, parent *Content, a arrival, layer io.Reader) (Image, error) {
	now := tx.store.now().UTC()
	a.record = record{Created: now, Config: p.Config, Layers: parent.layers()}
	var below []digest.Digest
	for _, l := range parent.Layers {
		below = append(below, l.DiffID)
	}
	diff, err := tx.add(ctx, &a.record, below, unpack.Blob{R: layer, Empty: true})
	if err != nil {
		return Image{}, err
	}
	if a.config, err = p.document(parent.Config, diff, now); err != nil {
		return Image{}, err
	}
	imgs, err := tx.commit([]arrival{a})
	if err != nil {
		return Image{}, err
	}
	return imgs[0], nil
}

// layers are the image's as an index has them.
func (c *Content) layers() []layer {
	var all []layer
	for i, chain := range c.pinned {
		all = append(all, layer{Chain: chain, Size: c.Image.LayerSizes[i]})
	}
	return all
}

// document is the parent's configuration with what is new. Fields that this carob does
// not know stay: Docker has some that image-spec has not.
func (p Commit) document(parent []byte, diff digest.Digest, now time.Time) ([]byte, error) {
	var doc, config map[string]json.RawMessage
	var known v1.Image
	if err := json.Unmarshal(parent, &doc); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(parent, &known); err != nil {
		return nil, err
	}
	if len(doc["config"]) > 0 {
		if err := json.Unmarshal(doc["config"], &config); err != nil {
			return nil, err
		}
	}
	if config == nil { // absent, or null
		config = map[string]json.RawMessage{}
	}
	for _, name := range []string{"User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal"} {
		delete(config, name)
	}
	if err := merge(config, p.Config); err != nil {
		return nil, err
	}
	known.History = fullHistory(known)
	known.RootFS.DiffIDs = append(known.RootFS.DiffIDs, diff)
	known.History = append(known.History, v1.History{Created: &now, CreatedBy: p.CreatedBy, Author: p.Author, Comment: p.Comment})
	for _, stale := range []string{"author", "container", "container_config", "id", "parent"} {
		delete(doc, stale) // of the parent's making
	}
	err := merge(doc, struct {
		Created time.Time                  `json:"created"`
		Author  string                     `json:"author,omitempty"`
		Config  map[string]json.RawMessage `json:"config"`
		RootFS  v1.RootFS                  `json:"rootfs"`
		History []v1.History               `json:"history"`
	}{now, p.Author, config, known.RootFS, known.History})
	if err != nil {
		return nil, err
	}
	return json.Marshal(doc)
}

// fullHistory has an entry for every layer: a parent's author may have left some out,
// and readers count.
func fullHistory(m v1.Image) []v1.History {
	missing := len(m.RootFS.DiffIDs)
	for _, h := range m.History {
		if !h.EmptyLayer {
			missing--
		}
	}
	return append(make([]v1.History, max(missing, 0)), m.History...)
}

// merge sets the fields that v has.
func merge(into map[string]json.RawMessage, v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &into)
	}
	return err
}
