package pod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"carob/internal/fault"
	"carob/internal/plan/check"
	"carob/internal/pod/name"
	"carob/internal/spec"
	"carob/internal/undo"
)

func (e maker) volumeDir(name string) string { return filepath.Join(e.d.LibDir, "volumes", name) }

// prepareMounts makes the container's volumes and checks that the sources of its
// binds are there, asking the file system in a goroutine of its own: a stat on a
// dead network file system must not hold anybody.
func (e maker) prepareMounts(ctx context.Context, c *container, rec *containerRecord, u *undo.Stack) error {
	rec.Volumes = map[string]string{}
	more, err := check.ImageVolumes(rec.Image.Volumes, rec.Status.Spec.Mounts)
	if err != nil {
		return err
	}
	for _, m := range slices.Concat(rec.Status.Spec.Mounts, more) {
		switch m.Type {
		case spec.Bind:
			c.step.Set("mount " + m.Target + ": stat " + m.Source)
			err = interruptibly(ctx, func() error { return bindSource(m, u) })
		case spec.Volume:
			err = e.volume(m, rec, u)
		case spec.Image:
			err = e.imageMount(ctx, m, rec, u)
		}
		if err != nil {
			return fmt.Errorf("mount %.200s: %w", m.Target, err)
		}
	}
	return nil
}

// interruptibly runs f, which may block in the kernel, and stops waiting for it when
// ctx ends. f's goroutine then ends when the kernel lets it go.
func interruptibly(ctx context.Context, f func() error) error {
	if ctx.Done() == nil {
		return f()
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func bindSource(m spec.Mount, u *undo.Stack) error {
	if !filepath.IsAbs(m.Source) {
		return fault.New(fault.Invalid, fmt.Sprintf("source %.200q: not an absolute path", m.Source))
	}
	_, err := os.Stat(m.Source)
	if !errors.Is(err, fs.ErrNotExist) || m.Create == "" {
		return check.Source(m.Source, err)
	}
	switch m.Create {
	case "dir":
		err = os.MkdirAll(m.Source, 0o755)
	case "file":
		if err = os.MkdirAll(filepath.Dir(m.Source), 0o755); err == nil {
			err = os.WriteFile(m.Source, nil, 0o644)
		}
	default:
		return fault.New(fault.Invalid, fmt.Sprintf("create %.20q unknown (dir, file)", m.Create))
	}
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	u.Push("mount source", func(context.Context) error {
		_ = os.Remove(m.Source) // whoever filled it meanwhile keeps it
		return nil
	})
	return nil
}

// imageMount keeps an image as long as the container.
func (e maker) imageMount(ctx context.Context, m spec.Mount, rec *containerRecord, u *undo.Stack) error {
	img, err := e.d.Images.Resolve(ctx, m.Source)
	if err != nil {
		return err
	}
	u.Push("image", func(ctx context.Context) error { return e.d.Images.RemoveRootfs(ctx, rec.Status.ID) })
	rec.Volumes[path.Clean(m.Target)], err = e.d.Images.MountImage(ctx, rec.Status.ID, img.ID)
	return err
}

// volume makes a named volume, which stays until somebody removes it, or an
// anonymous one, which goes with the container.
func (e maker) volume(m spec.Mount, rec *containerRecord, u *undo.Stack) error {
	volume := m.Source
	if volume == "" {
		volume = name.NewID()
	} else if err := check.Name("volume", volume); err != nil {
		return err
	} else if check.ID(volume) {
		return fault.New(fault.Invalid, "volume name "+volume+": 64 hexadecimal digits name anonymous volumes")
	}
	dir := e.volumeDir(volume)
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return fmt.Errorf("volume %s: %w", volume, err)
	}
	err := os.Mkdir(dir, 0o755)
	if err != nil && (!errors.Is(err, fs.ErrExist) || m.Source == "") {
		return fmt.Errorf("volume %s: %w", volume, err)
	}
	if m.Source == "" {
		rec.Anonymous = append(slices.Clip(rec.Anonymous), dir)
		u.Push("volume", func(context.Context) error { return os.RemoveAll(dir) })
	} else if err == nil {
		u.Push("volume", func(context.Context) error {
			_ = os.Remove(dir) // only an empty one: somebody else may use it by now
			return nil
		})
	}
	rec.Volumes[path.Clean(m.Target)] = dir
	return nil
}
