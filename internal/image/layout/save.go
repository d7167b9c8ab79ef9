package layout

import (
	"context"
	"errors"
	"io"
	"slices"

	"carob/internal/image"
)

// Store is what images are saved from: *image.Store.
type Store interface {
	Content(ctx context.Context, name string) (*image.Content, error)
}

// Save writes the images that refs lead to. One found by name has that name in the
// archive, one found by ID has none; an image that several refs lead to is there once.
// Nothing is written when a ref leads nowhere.
func Save(ctx context.Context, s Store, w io.Writer, f Format, refs []string) (err error) {
	if err := f.Check(); err != nil {
		return err
	}
	var images []saved
	defer func() {
		for _, i := range images {
			err = errors.Join(err, i.Content.Close())
		}
	}()
	for _, r := range refs {
		c, err := s.Content(ctx, r)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(images, func(i saved) bool { return i.Content.Image.ID == c.Image.ID })
		if at < 0 {
			at = len(images)
			images = append(images, saved{Content: c})
		} else if err := c.Close(); err != nil {
			return err
		}
		if c.Name != "" && !slices.Contains(images[at].Names, c.Name) {
			images[at].Names = append(images[at].Names, c.Name)
		}
	}
	return write(ctx, w, f, images)
}
