package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"

	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

// The methods on volumes.
const (
	// VolumeCreate makes a named volume; one that is there is success. Without a name it
	// gets one.
	VolumeCreate  Method[Ref, None, status.Volume]    = "volume-create"
	Volumes       Method[None, None, []status.Volume] = "volumes"
	InspectVolume Method[Ref, None, status.Volume]    = "inspect-volume"
	// VolumeRemove removes a volume that no container uses, running or not.
	VolumeRemove Method[Ref, None, None] = "volume-remove"
	// VolumePrune removes the volumes that no container uses. Its events are those that went,
	// its error those that did not.
	VolumePrune Method[VolumePruneParams, VolumeUsage, None] = "volume-prune"
)

// VolumePruneParams choose unused volumes: anonymous ones, and those whose removal has not
// finished; with All named ones too.
type VolumePruneParams struct {
	All bool `json:"all,omitempty"`
}

// VolumeUsage is a volume and the bytes it occupies.
type VolumeUsage struct {
	status.Volume
	Size int64 `json:"size"`
}

type volumes struct {
	store  VolumeStore
	engine Looks
}

func (s *volumes) entries() []entry {
	return []entry{
		plain(VolumeCreate, s.create),
		plain(Volumes, func(context.Context, None) ([]status.Volume, error) { return s.list() }),
		plain(InspectVolume, func(_ context.Context, p Ref) (status.Volume, error) {
			v, err := s.store.Find(p.Ref)
			v.Containers = s.users(v)
			return v, err
		}),
		act(VolumeRemove, func(ctx context.Context, p Ref) error { return s.remove(ctx, p.Ref) }),
		on(VolumePrune, s.prune),
	}
}

func (s *volumes) create(_ context.Context, p Ref) (status.Volume, error) {
	if p.Ref == "" {
		p.Ref = strings.ToLower(rand.Text())
	}
	if _, err := s.store.Named(p.Ref); err != nil {
		return status.Volume{}, err
	}
	return s.store.Find(p.Ref)
}

func (s *volumes) list() ([]status.Volume, error) {
	all, err := s.store.List()
	slices.SortFunc(all, func(a, b status.Volume) int { return cmp.Compare(a.Name, b.Name) })
	containers := s.engine.Containers(status.Filter{})
	for i := range all {
		all[i].Containers = usersOf(all[i], containers)
	}
	return all, err
}

func (s *volumes) users(v status.Volume) []string {
	return usersOf(v, s.engine.Containers(status.Filter{}))
}

// usersOf names the containers that use a volume. Those that are being made show what they
// will mount before they have it.
func usersOf(v status.Volume, containers []status.Container) (names []string) {
	for i := range containers {
		c := &containers[i]
		uses := v.Owner != "" && v.Owner == c.ID
		for _, m := range c.Wish().Mounts {
			uses = uses || m.Type == spec.Volume && m.Source == v.Name
		}
		if !uses {
			continue
		}
		name := c.Name
		if c.PodName != "" && c.PodName != c.Name {
			name = c.PodName + "/" + c.Name
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (s *volumes) remove(ctx context.Context, ref string) error {
	v, err := s.store.Find(ref)
	if err != nil {
		return err
	}
	return s.store.Remove(ctx, ref, func() []string { return s.users(v) })
}

// prune goes on after a volume that does not go. One that somebody began to use meanwhile, or
// removed, is none of its business.
func (s *volumes) prune(ctx context.Context, p VolumePruneParams, t turnOf[VolumeUsage]) (None, error) {
	all, err := s.list()
	errs := []error{err}
	for _, v := range all {
		if len(v.Containers) > 0 || !v.Anonymous && !v.Removing && !p.All {
			continue
		}
		size, err := s.store.Size(ctx, v)
		if err == nil {
			err = s.remove(ctx, v.Name)
		}
		switch {
		case err == nil:
			errs = append(errs, t.Emit(VolumeUsage{v, size}))
		case !fault.Is(err, fault.NotFound) && !(fault.Is(err, fault.Conflict) && len(s.users(v)) > 0):
			errs = append(errs, err)
		}
	}
	return None{}, errors.Join(errs...)
}

// usage measures all volumes.
func (s *volumes) usage(ctx context.Context) ([]VolumeUsage, error) {
	all, err := s.list()
	out := make([]VolumeUsage, 0, len(all))
	for _, v := range all {
		size, e := s.store.Size(ctx, v)
		err = errors.Join(err, e)
		out = append(out, VolumeUsage{v, size})
	}
	return out, err
}
