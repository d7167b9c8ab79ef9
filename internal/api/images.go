package api

import (
	"context"
	"errors"

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
		plain(Images, s.list),
		plain(InspectImage, s.inspect),
		on(ImageImport, s.importOne),
		on(ImageLoad, s.load),
		on(ImageSave, s.save),
		act(ImageTag, func(ctx context.Context, p TagParams) error { return s.store.Tag(ctx, p.Ref, p.Name) }),
		plain(ImageRemove, func(ctx context.Context, p RemoveParams) ([]string, error) {
			return s.store.Discard(ctx, p.Ref, p.Force)
		}),
		plain(ImagePrune, s.prune),
		plain(DiskUsage, s.usage),
	}
}

func (s *images) one(m image.Image, err error) (Image, error) {
	if err != nil {
		return Image{}, err
	}
	return Image{
		ID: m.ID, Names: m.Names, Digests: m.Digests, Created: m.Created, Size: m.Size,
		Config: m.Config, Layers: m.Layers, LayerSizes: m.LayerSizes, Pinned: m.Pinned,
	}, nil
}

func (s *images) inspect(ctx context.Context, p Ref) (ImageDetails, error) {
	m, err := s.one(s.store.Resolve(ctx, p.Ref))
	if err != nil {
		return ImageDetails{}, err
	}
	document, err := s.store.Config(m.ID)
	return ImageDetails{Image: m, Document: document}, err
}

func (s *images) prune(ctx context.Context, p PruneParams) (Pruned, error) {
	removed, freed, err := s.store.Prune(ctx, image.Pruning(p))
	return Pruned{removed, freed}, err
}

func (s *images) usage(ctx context.Context, _ None) (Usage, error) {
	u, err := s.store.Usage(ctx)
	if err != nil {
		return Usage{}, err
	}
	all := Usage{Layers: u.Layers, Images: []ImageUsage{}, Containers: []ContainerUsage{}}
	for _, i := range u.Images {
		m, _ := s.one(i.Image, nil) // only passes an error on
		all.Images = append(all.Images, ImageUsage{m, i.Unique, i.Containers})
	}
	for _, c := range s.engine.Containers(status.Filter{}) {
		all.Containers = append(all.Containers, ContainerUsage{c, u.Writable[c.ID]})
	}
	all.Volumes, err = s.volumes.usage(ctx)
	return all, err
}

func (s *images) all(ms []image.Image) []Image {
	list := make([]Image, 0, len(ms))
	for _, m := range ms {
		i, _ := s.one(m, nil) // only passes an error on
		list = append(list, i)
	}
	return list
}

func (s *images) list(context.Context, None) ([]Image, error) { return s.all(s.store.List()), nil }

var errNoData = errors.New("no tar stream was passed")

func (s *images) importOne(ctx context.Context, p ImportParams, t turnOf[None]) (Image, error) {
	if p.Dir != "" {
		return s.one(s.store.ImportDir(ctx, p.Name, p.Dir, p.Config))
	}
	if t.Data == nil {
		return Image{}, fault.Wrap(fault.Invalid, "image import", errNoData)
	}
	defer closeOn(ctx, t.Data)()
	return s.one(s.store.ImportTar(ctx, p.Name, t.Data, p.Config))
}

func (s *images) load(ctx context.Context, _ None, t turnOf[None]) ([]Image, error) {
	if t.Data == nil {
		return nil, fault.Wrap(fault.Invalid, "image load", errNoData)
	}
	defer closeOn(ctx, t.Data)()
	ms, err := s.store.Load(ctx, t.Data)
	return s.all(ms), err
}

func (s *images) save(ctx context.Context, p SaveParams, t turnOf[None]) (None, error) {
	if t.Data == nil {
		return None{}, fault.Wrap(fault.Invalid, "image save", errNoData)
	}
	defer closeOn(ctx, t.Data)()
	return None{}, layout.Save(ctx, s.store, t.Data, layout.Format(p.Format), p.Refs)
}
