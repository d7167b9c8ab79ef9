package image

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image/flight"
	"carob/internal/image/partial"
	"carob/internal/image/unpack"
	"carob/internal/ref"
)

// Image is one image as it was when it was read. It shares memory with the store:
// do not change what its slices and maps hold.
type Image struct {
	// ID is "sha256:" and the hex digest of the image's configuration.
	ID string
	// Names are the references that lead to it, in familiar form, sorted; an image
	// that lost its name to a newer one has none.
	Names []string
	// Digests are "registry/path@digest" of what registries called it when it was
	// pulled or pushed: indexes or manifests.
	Digests []string
	// Created is when the image was made, or imported when it does not say.
	Created time.Time
	// Size is the bytes its layers take on disk.
	Size int64
	// LayerSizes are the layers' bytes on disk, in the order of Layers.
	LayerSizes []int64
	// Config is what containers of this image run by default. It is the image
	// author's word: check it before use.
	Config v1.ImageConfig
	// Layers are the unpacked layers, absolute directories, lowest first.
	Layers []string
	// Artifact says that no registry has it as an image: it is an artifact's files.
	Artifact bool
	// Pinned images are kept by garbage collection; they can be removed by name.
	Pinned bool
}

// Renewed tells whether the image is pulled again when a pod names it so and says no
// imagePullPolicy: a tag latest, be it said or not, as in Kubernetes. An image that no
// registry has by this name (imported, committed, tagged, the toolbox) is not.
func (i Image) Renewed(name string) bool {
	r, err := ref.Parse(name)
	if err != nil || r.Digest != "" || r.Tag != ref.DefaultTag {
		return false
	}
	return slices.ContainsFunc(i.Digests, func(d string) bool { return strings.HasPrefix(d, r.Name()+"@") })
}

// Store is the images below one root directory. Its methods may be called
// concurrently.
type Store struct {
	root   dirs
	limits unpack.Limits
	now    func() time.Time
	// snapshot is replaced under mu, read without.
	snapshot atomic.Pointer[state]
	tenants  *tenants
	partials *partial.Dir
	holds    *holds

	// flights are the layers being unpacked, by the hex of their chain ID.
	flights flight.Group[layer]

	// ensure lets one caller at a time rebuild the toolbox.
	ensure sync.Mutex

	// mu orders the writers of the index and of the configurations.
	mu sync.Mutex
}

// Open reads the store below root, an absolute path, and makes what is missing. It
// moves layers of no image out of the way and removes nothing: see Sweep.
func Open(root string) (*Store, error) {
	if !filepath.IsAbs(root) {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("image store: root %q is not an absolute path", root))
	}
	at := dirs(filepath.Clean(root))
	s := &Store{root: at, limits: unpack.DefaultLimits(), now: time.Now, holds: newHolds(at.tmp())}
	err := at.make()
	if err == nil {
		s.tenants, err = readTenants(at)
	}
	if err == nil {
		s.partials, err = partial.Open(filepath.Join(root, "partial"))
	}
	if err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	x, err := readIndex(at.index())
	if err != nil {
		return nil, err
	}
	s.snapshot.Store(newState(x, at.layers()))
	if err := setAside(s); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	return s, nil
}

// List returns all images, newest first. It never waits for an import.
func (s *Store) List() []Image { return slices.Clone(s.snapshot.Load().sorted) }

// Resolve finds an image by reference, by ID, or by a prefix of an ID that only one
// image has. A name that looks like a prefix is a name. NotFound says what to do;
// Invalid is no reference at all, or a prefix that fits several images.
func (s *Store) Resolve(_ context.Context, name string) (Image, error) {
	st := s.snapshot.Load()
	id, _, err := st.find(name)
	if err != nil {
		return Image{}, err
	}
	return st.byID[id], nil
}

// find returns the image's ID, and the full name if it was found by name. A whole
// ID comes first, then names, then beginnings of IDs.
func (st *state) find(name string) (id, full string, err error) {
	hex := strings.TrimPrefix(name, "sha256:")
	if _, ok := st.byID["sha256:"+hex]; ok {
		return "sha256:" + hex, "", nil
	}
	if id, full, ok := st.named(name); ok {
		return id, full, nil
	}
	if !isHex(hex) {
		if _, err := ref.Parse(name); err != nil {
			return "", "", err
		}
		return "", "", notStored(name)
	}
	switch ids := st.begin("sha256:" + hex); len(ids) {
	case 0:
		return "", "", notStored(name)
	case 1:
		return ids[0], "", nil
	}
	return "", "", fault.New(fault.Invalid, "image "+name+": several IDs begin so; give more digits")
}

// named looks a reference up. A bare name may also be an image of carob's own:
// "toolbox". A registry's image of that name, once it is here, comes first.
func (st *state) named(name string) (id, full string, ok bool) {
	spellings := []string{name}
	if !strings.ContainsRune(name, '/') {
		spellings = append(spellings, OwnDomain+name)
	}
	for _, s := range spellings {
		r, err := ref.Parse(s)
		if err != nil {
			continue
		}
		if id, ok := st.index.Names[r.String()]; ok {
			return id, r.String(), true
		}
		if id, ok := st.byDigest[r.Name()+"@"+r.Digest]; ok && r.Digest != "" {
			return id, "", true
		}
	}
	return "", "", false
}

// begin returns the IDs that begin so.
func (st *state) begin(prefix string) (ids []string) {
	for id := range st.byID {
		if strings.HasPrefix(id, prefix) {
			ids = append(ids, id)
		}
	}
	return ids
}

// isHex tells whether s may be an ID or its beginning.
func isHex(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func notStored(name string) error {
	return fault.New(fault.NotFound, "image "+name+`: not in the local store; "carob image ls" lists what is, "carob pull" adds to it`)
}

// Tag gives an image one more name; a name that another image had moves over.
func (s *Store) Tag(_ context.Context, name, newName string) error {
	full, err := ref.ParseName(newName)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commitLocked(func(st *state, next *index) error {
		id, _, err := st.find(name)
		if err != nil {
			return err
		}
		next.Names[full] = id
		return nil
	})
}

// commitLocked changes the index: edit gets the present state and a copy of its
// index to change. The change is on disk before it can be seen; an error changes
// nothing.
func (s *Store) commitLocked(edit func(st *state, next *index) error) error {
	st := s.snapshot.Load()
	next := st.index.clone()
	if err := edit(st, &next); err != nil {
		return err
	}
	text, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("image store: index: %w", err)
	}
	if err := replace(s.root.index(), text); err != nil {
		return fmt.Errorf("image store: index: %w", err)
	}
	s.snapshot.Store(newState(next, s.root.layers()))
	return nil
}
