package image

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"carob/internal/fault"
	"carob/internal/ref"
)

// Discard takes images away as people ask for it, by Docker's rules: by name that name,
// and the image with its last one; by ID the image, but Conflict when it has names in
// several repositories. With force an image has its names taken off in any case: one
// that containers use stays without a name, until they are gone and Prune or another
// Discard takes it. removed is as Remove's.
func (s *Store) Discard(ctx context.Context, name string, force bool) (removed []string, err error) {
	st := s.snapshot.Load()
	id, full, err := st.find(name)
	if err != nil {
		return nil, err
	}
	if repos := st.index.repositories(id); full == "" && len(repos) > 1 && !force {
		return nil, fault.New(fault.Conflict, fmt.Sprintf("image %s: has names in several repositories (%s); remove it by name, or force it", name, strings.Join(repos, ", ")))
	}
	removed, err = s.Remove(ctx, name)
	if force && fault.Is(err, fault.Conflict) {
		if names, e := untag(s, name); e == nil && len(names) > 0 {
			return names, nil
		}
	}
	return removed, err
}

// repositories returns what the image's names have before tags and digests, each once.
func (x index) repositories(id string) (repos []string) {
	for _, n := range x.namesOf(id) {
		if r, err := ref.Parse(n); err == nil {
			repos = append(repos, r.Name())
		}
	}
	return slices.Compact(repos)
}

// untag takes off one name, or with an ID all names, and leaves the image.
func untag(s *Store, name string) (removed []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.commitLocked(func(st *state, next *index) error {
		id, full, err := st.find(name)
		if err != nil {
			return err
		}
		names := []string{full}
		if full == "" {
			names = st.index.namesOf(id)
		}
		for _, n := range names {
			delete(next.Names, n)
			removed = append(removed, familiar(n))
		}
		return nil
	})
	return removed, err
}

// Pruning says which unused images go. The zero value takes those without a name.
type Pruning struct {
	// All takes images that have names too.
	All bool
	// Until keeps images made later; zero keeps none for that.
	Until time.Time
	// Labels must all be on an image that goes, NotLabels none: "key" or "key=value".
	Labels, NotLabels []string
}

// Prune removes the images that no container uses and that p takes; pinned ones stay. It
// removes the downloads that nobody goes on with, too.
// removed is as Remove's; freed is the bytes of the layers that no image has any more.
func (s *Store) Prune(ctx context.Context, p Pruning) (removed []string, freed int64, err error) {
	before := s.snapshot.Load()
	for _, img := range before.sorted {
		if ctx.Err() != nil {
			return removed, freed, fault.Wrap(fault.Unavailable, "image prune", ctx.Err())
		}
		if !p.takes(img) {
			continue
		}
		gone, e := s.Remove(ctx, img.ID)
		if e != nil && !fault.Is(e, fault.Conflict) && !fault.Is(e, fault.NotFound) {
			return removed, freed, e
		}
		removed = append(removed, gone...)
	}
	if err := s.partials.Sweep(s.now()); err != nil {
		return removed, freed, fmt.Errorf("image prune: downloads: %w", err)
	}
	kept := s.snapshot.Load().index.layersInUse()
	for chain, size := range before.index.layerSizes() {
		if !kept[chain] {
			freed += size
		}
	}
	return removed, freed, nil
}

// takes tells whether pruning removes an image that nobody uses.
func (p Pruning) takes(img Image) bool {
	switch {
	case img.Pinned, len(img.Names) > 0 && !p.All, !p.Until.IsZero() && img.Created.After(p.Until):
		return false
	}
	has := func(label string) bool {
		key, value, exact := strings.Cut(label, "=")
		got, ok := img.Config.Labels[key]
		return ok && (!exact || got == value)
	}
	for _, l := range p.Labels {
		if !has(l) {
			return false
		}
	}
	return !slices.ContainsFunc(p.NotLabels, has)
}

// layerSizes returns the bytes of every layer that some image is made of.
func (x index) layerSizes() map[string]int64 {
	sizes := map[string]int64{}
	for _, r := range x.Images {
		for _, l := range r.Layers {
			sizes[l.Chain] = l.Size
		}
	}
	return sizes
}
