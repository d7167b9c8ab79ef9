package api

import (
	"context"
	"errors"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/image/layout"
)

type images struct{ store ImageStore }

func (s *images) entries() []entry {
	return []entry{
		plain(Images, s.list),
		plain(InspectImage, func(ctx context.Context, p Ref) (Image, error) { return s.one(s.store.Resolve(ctx, p.Ref)) }),
		on(ImageImport, s.importOne),
		on(ImageLoad, s.load),
		on(ImageSave, s.save),
		act(ImageTag, func(ctx context.Context, p TagParams) error { return s.store.Tag(ctx, p.Ref, p.Name) }),
		plain(ImageRemove, func(ctx context.Context, p Ref) ([]string, error) { return s.store.Remove(ctx, p.Ref) }),
	}
}

func (s *images) one(m image.Image, err error) (Image, error) {
	if err != nil {
		return Image{}, err
	}
	return Image{
		ID: m.ID, Names: m.Names, Created: m.Created, Size: m.Size,
		Config: m.Config, Layers: m.Layers, Pinned: m.Pinned,
	}, nil
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
