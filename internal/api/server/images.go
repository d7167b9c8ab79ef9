package server

import (
	"context"
	"errors"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/image/layout"
	"carob/internal/status"
)

type images struct {
	store   ImageStore
	engine  Looks
	volumes *volumes
}

func (s *images) entries() []entry {
	return []entry{
		plain(api.Images, s.list),
		plain(api.InspectImage, s.inspect),
		on(api.ImageImport, s.importOne),
		on(api.ImageLoad, s.load),
		on(api.ImageSave, s.save),
		act(api.ImageTag, func(ctx context.Context, p api.TagParams) error { return s.store.Tag(ctx, p.Ref, p.Name) }),
		plain(api.ImageRemove, func(ctx context.Context, p api.RemoveParams) ([]string, error) {
			return s.store.Discard(ctx, p.Ref, p.Force)
		}),
		plain(api.ImagePrune, s.prune),
		plain(api.DiskUsage, s.usage),
	}
}

func (s *images) one(m image.Image, err error) (api.Image, error) {
	if err != nil {
		return api.Image{}, err
	}
	return api.Image{
		ID: m.ID, Names: m.Names, Digests: m.Digests, Created: m.Created, Size: m.Size,
		Config: m.Config, Layers: m.Layers, LayerSizes: m.LayerSizes, Pinned: m.Pinned,
	}, nil
}

func (s *images) inspect(ctx context.Context, p api.Ref) (api.ImageDetails, error) {
	m, err := s.one(s.store.Resolve(ctx, p.Ref))
	if err != nil {
		return api.ImageDetails{}, err
	}
	document, err := s.store.Config(m.ID)
	return api.ImageDetails{Image: m, Document: document}, err
}

func (s *images) prune(ctx context.Context, p api.PruneParams) (api.Pruned, error) {
	removed, freed, err := s.store.Prune(ctx, image.Pruning(p))
	return api.Pruned{Removed: removed, Freed: freed}, err
}

func (s *images) usage(ctx context.Context, _ api.None) (api.Usage, error) {
	u, err := s.store.Usage(ctx)
	if err != nil {
		return api.Usage{}, err
	}
	all := api.Usage{Layers: u.Layers, Images: []api.ImageUsage{}, Containers: []api.ContainerUsage{}}
	for _, i := range u.Images {
		m, _ := s.one(i.Image, nil) // only passes an error on
		all.Images = append(all.Images, api.ImageUsage{Image: m, Unique: i.Unique, Containers: i.Containers})
	}
	for _, c := range s.engine.Containers(status.Filter{}) {
		all.Containers = append(all.Containers, api.ContainerUsage{Container: c, Written: u.Writable[c.ID]})
	}
	all.Volumes, err = s.volumes.usage(ctx)
	return all, err
}

func (s *images) all(ms []image.Image) []api.Image {
	list := make([]api.Image, 0, len(ms))
	for _, m := range ms {
		i, _ := s.one(m, nil) // only passes an error on
		list = append(list, i)
	}
	return list
}

func (s *images) list(context.Context, api.None) ([]api.Image, error) {
	return s.all(s.store.List()), nil
}

var errNoData = errors.New("no tar stream was passed")

func (s *images) importOne(ctx context.Context, p api.ImportParams, t turnOf[api.None]) (api.Image, error) {
	if p.Dir != "" {
		return s.one(s.store.ImportDir(ctx, p.Name, p.Dir, p.Config))
	}
	if t.Data == nil {
		return api.Image{}, fault.Wrap(fault.Invalid, "image import", errNoData)
	}
	defer closeOn(ctx, t.Data)()
	return s.one(s.store.ImportTar(ctx, p.Name, t.Data, p.Config))
}

func (s *images) load(ctx context.Context, _ api.None, t turnOf[api.None]) ([]api.Image, error) {
	if t.Data == nil {
		return nil, fault.Wrap(fault.Invalid, "image load", errNoData)
	}
	defer closeOn(ctx, t.Data)()
	ms, err := s.store.Load(ctx, t.Data)
	return s.all(ms), err
}

func (s *images) save(ctx context.Context, p api.SaveParams, t turnOf[api.None]) (api.None, error) {
	if t.Data == nil {
		return api.None{}, fault.Wrap(fault.Invalid, "image save", errNoData)
	}
	defer closeOn(ctx, t.Data)()
	return api.None{}, layout.Save(ctx, s.store, t.Data, layout.Format(p.Format), p.Refs)
}
