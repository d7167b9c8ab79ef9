package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

type volumes struct {
	store  VolumeStore
	engine Looks
}

func (s *volumes) entries() []entry {
	return []entry{
		plain(api.VolumeCreate, s.create),
		plain(api.Volumes, func(context.Context, api.None) ([]status.Volume, error) { return s.list() }),
		plain(api.InspectVolume, func(_ context.Context, p api.Ref) (status.Volume, error) {
			v, err := s.store.Find(p.Ref)
			v.Containers = s.users(v)
			return v, err
		}),
		act(api.VolumeRemove, func(ctx context.Context, p api.Ref) error { return s.remove(ctx, p.Ref) }),
		on(api.VolumePrune, s.prune),
	}
}

func (s *volumes) create(_ context.Context, p api.Ref) (status.Volume, error) {
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
func (s *volumes) prune(ctx context.Context, p api.VolumePruneParams, t turnOf[api.VolumeUsage]) (api.None, error) {
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
			errs = append(errs, t.Emit(api.VolumeUsage{Volume: v, Size: size}))
		case !fault.Is(err, fault.NotFound) && !(fault.Is(err, fault.Conflict) && len(s.users(v)) > 0):
			errs = append(errs, err)
		}
	}
	return api.None{}, errors.Join(errs...)
}

// usage measures all volumes.
func (s *volumes) usage(ctx context.Context) ([]api.VolumeUsage, error) {
	all, err := s.list()
	out := make([]api.VolumeUsage, 0, len(all))
	for _, v := range all {
		size, e := s.store.Size(ctx, v)
		err = errors.Join(err, e)
		out = append(out, api.VolumeUsage{Volume: v, Size: size})
	}
	return out, err
}
