package hostfile

import (
	"context"
	"fmt"
	"path"
	"slices"

	"carob/internal/image"
	"carob/internal/plan/check"
	"carob/internal/pod/name"
	"carob/internal/pod/record"
	"carob/internal/spec"
	"carob/internal/undo"
	"carob/internal/volume"
)

// Mounts makes what containers' mounts need.
type Mounts struct {
	Volumes *volume.Store
	Images  Images
	// Step is told what is being done.
	Step func(string)
}

// Images keeps images as long as a container that mounts them: see pod.Images.
type Images interface {
	Resolve(ctx context.Context, name string) (image.Image, error)
	MountImage(ctx context.Context, containerID, imageID string) (lowerdir string, err error)
	RemoveRootfs(ctx context.Context, containerID string) error
}

// Prepare makes a container's volumes, which it notes in its record, and checks that the
// sources of its binds are there, asking the file system in a goroutine of its own: a stat
// on a dead network file system must not hold anybody. What the record has already stays.
func (h Mounts) Prepare(ctx context.Context, rec *record.Container, u *undo.Stack) error {
	asked := rec.Status.Wish().Mounts
	more, err := check.ImageVolumes(rec.Image.Volumes, asked)
	if err != nil {
		return err
	}
	made := rec.Volumes // when plugins have changed the request
	rec.Volumes = map[string]string{}
	for _, m := range slices.Concat(asked, more) {
		if dir, ok := made[path.Clean(m.Target)]; ok && m.Type != spec.Bind {
			rec.Volumes[path.Clean(m.Target)] = dir
			continue
		}
		switch m.Type {
		case spec.Bind:
			h.Step("mount " + m.Target + ": stat " + m.Source)
			err = interruptibly(ctx, func() error { return source(m, u) })
		case spec.Volume:
			err = h.volume(m, rec, u)
		case spec.Image:
			err = h.image(ctx, m, rec, u)
		}
		if err != nil {
			return fmt.Errorf("mount %.200s: %w", m.Target, err)
		}
	}
	return nil
}

// image keeps an image as long as the container.
func (h Mounts) image(ctx context.Context, m spec.Mount, rec *record.Container, u *undo.Stack) error {
	img, err := h.Images.Resolve(ctx, m.Source)
	if err != nil {
		return err
	}
	u.Push("image", func(ctx context.Context) error { return h.Images.RemoveRootfs(ctx, rec.Status.ID) })
	rec.Volumes[path.Clean(m.Target)], err = h.Images.MountImage(ctx, rec.Status.ID, img.ID)
	return err
}

// volume makes a named volume, which stays until somebody removes it, or an
// anonymous one, which goes with the container.
func (h Mounts) volume(m spec.Mount, rec *record.Container, u *undo.Stack) (err error) {
	var dir string
	if m.Source != "" {
		dir, err = h.Volumes.Named(m.Source)
	} else if dir, err = h.Volumes.Anonymous(name.NewID(), rec.Status.ID); err == nil {
		rec.Anonymous = append(slices.Clip(rec.Anonymous), dir)
		u.Push("volume", func(ctx context.Context) error { return h.Volumes.Drop(ctx, dir) })
	}
	rec.Volumes[path.Clean(m.Target)] = dir
	return err
}
