package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/ref"
)

// indexVersion changes when an older carob could not read the index.
const indexVersion = 1

// index is what index.json holds. A published index is never changed.
type index struct {
	Version int               `json:"version"`
	Names   map[string]string `json:"names"`  // full reference → image ID
	Images  map[string]record `json:"images"` // image ID → the rest
}

type record struct {
	Created time.Time      `json:"created"`
	Config  v1.ImageConfig `json:"config"`
	Layers  []layer        `json:"layers"`
	Pinned  bool           `json:"pinned,omitempty"`
	// Digests are "registry/path@digest" of the manifests and indexes it was pulled by.
	Digests []string `json:"digests,omitempty"`
	// Manifest is the digest of the manifest it was pulled by; "" for what no registry gave.
	Manifest digest.Digest `json:"manifest,omitempty"`
	// Artifact says that it is the files of an artifact, made into an image here.
	Artifact bool `json:"artifact,omitempty"`
	// Source is what a generated image was made from; nil for all others.
	Source *source `json:"source,omitempty"`
}

type layer struct {
	Chain string `json:"chain"` // hex of the chain ID, and the directory's name
	Size  int64  `json:"size"`
}

// source tells whether the binary of a generated image is still the same.
type source struct {
	Path     string    `json:"path"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

func (x index) clone() index {
	return index{Version: indexVersion, Names: maps.Clone(x.Names), Images: maps.Clone(x.Images)}
}

// namesOf returns the full names of an image, sorted.
func (x index) namesOf(id string) []string {
	var names []string
	for name, of := range x.Names {
		if of == id {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// layersInUse returns the chains that some image is made of.
func (x index) layersInUse() map[string]bool {
	used := make(map[string]bool)
	for _, r := range x.Images {
		for _, l := range r.Layers {
			used[l.Chain] = true
		}
	}
	return used
}

// state is a snapshot: an index and the images made from it.
type state struct {
	index    index
	byID     map[string]Image
	byDigest map[string]string // "registry/path@digest" → image ID
	sorted   []Image           // newest first, then by ID
}

func newState(x index, layersDir string) *state {
	s := &state{index: x, byID: make(map[string]Image, len(x.Images)), byDigest: map[string]string{}}
	for id, r := range x.Images {
		img := Image{ID: id, Created: r.Created, Config: r.Config, Pinned: r.Pinned, Digests: r.Digests, Artifact: r.Artifact}
		for _, d := range r.Digests {
			s.byDigest[d] = id
		}
		for _, name := range x.namesOf(id) {
			img.Names = append(img.Names, familiar(name))
		}
		for _, l := range r.Layers {
			img.Size += l.Size
			img.LayerSizes = append(img.LayerSizes, l.Size)
			img.Layers = append(img.Layers, filepath.Join(layersDir, l.Chain))
		}
		s.byID[id] = img
		s.sorted = append(s.sorted, img)
	}
	slices.SortFunc(s.sorted, func(a, b Image) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return s
}

// familiar shortens a full name; one that this version cannot read stays as it is.
func familiar(name string) string {
	r, err := ref.Parse(name)
	if err != nil {
		return name
	}
	return r.Familiar()
}

func readIndex(path string) (index, error) {
	x := index{Version: indexVersion, Names: map[string]string{}, Images: map[string]record{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return x, nil
	}
	if err != nil {
		return x, fmt.Errorf("image store: %w", err)
	}
	if err := json.Unmarshal(text, &x); err != nil {
		return x, fmt.Errorf("image store: %s is damaged; move it away to begin anew: %w", path, err)
	}
	if x.Version != indexVersion {
		return x, fault.New(fault.Unsupported, fmt.Sprintf("image store: %s has version %d; this carob reads version %d", path, x.Version, indexVersion))
	}
	if x.Names == nil || x.Images == nil {
		return x, fmt.Errorf("image store: %s is damaged; move it away to begin anew", path)
	}
	return x, nil
}

// replace writes a file so that after a crash it is the old or the new one, whole.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
