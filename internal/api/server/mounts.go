package server

import (
	"context"
	"path/filepath"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/image"
)

// mounts are the calls on images mounted on the host.
type mounts struct {
	of    HostMounts
	store ImageStore
}

func (s *mounts) entries() []entry {
	return []entry{plain(api.ImageMount, s.mount), plain(api.ImageUnmount, s.unmount), plain(api.ImageMounts, s.list)}
}

func (s *mounts) mount(ctx context.Context, p api.MountParams) (api.HostMount, error) {
	if p.Path != "" && !filepath.IsAbs(p.Path) {
		return api.HostMount{}, fault.New(fault.Invalid, "image mount: path "+p.Path+": not absolute")
	}
	m, err := s.of.Mount(ctx, p.Ref, p.Path)
	if err != nil {
		return api.HostMount{}, err
	}
	return s.shown(ctx, m), nil
}

func (s *mounts) unmount(ctx context.Context, p api.Ref) ([]api.HostMount, error) {
	gone, err := s.of.Unmount(ctx, p.Ref)
	return s.all(ctx, gone), err
}

func (s *mounts) list(ctx context.Context, _ api.None) ([]api.HostMount, error) {
	found, err := s.of.List(ctx)
	return s.all(ctx, found), err
}

func (s *mounts) all(ctx context.Context, ms []image.HostMount) []api.HostMount {
	list := make([]api.HostMount, 0, len(ms))
	for _, m := range ms {
		list = append(list, s.shown(ctx, m))
	}
	return list
}

// shown adds what the image is called now.
func (s *mounts) shown(ctx context.Context, m image.HostMount) api.HostMount {
	img, _ := s.store.Resolve(ctx, m.ImageID) // one that has gone has no names
	return api.HostMount{ImageID: m.ImageID, Names: img.Names, Path: m.Path}
}
