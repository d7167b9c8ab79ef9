// Package checkpoint makes checkpoint archives of containers: it joins what the engine lets a
// handler write down to what the image store knows of a container's files. The form of the
// archive is package archive/checkpoint's. It keeps nothing but a directory in Scratch while
// it works, 0700: what is in there is a container's memory.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/archive"
	format "carob/internal/archive/checkpoint"
	"carob/internal/image"
	"carob/internal/pod"
	"carob/internal/status"
)

// Maker makes archives.
type Maker struct {
	Engine    *pod.Engine
	Committer *image.Committer
	// Scratch is a directory on disk.
	Scratch string
}

// Options are an archive's.
type Options struct {
	// To is where it is written; nil keeps it with the container, which goes on from it when it
	// is started again.
	To io.Writer
	// LeaveRunning lets the container go on.
	LeaveRunning bool
}

// Container writes a running container down. One that is kept has no files in its archive:
// they stay where they are.
func (m *Maker) Container(ctx context.Context, ref string, o Options) error {
	return m.scratch(func(dir string) error {
		one := pod.CheckpointOptions{Images: format.Images(dir), LeaveRunning: o.LeaveRunning}
		one.Keep = func(c status.Container, world *specs.Spec, own string) error {
			if o.To == nil {
				return keep(ctx, format.Write{Config: config(c), Spec: world, Dir: dir}, own)
			}
			return m.archive(ctx, dir, c, world).To(ctx, o.To)
		}
		if err := os.Mkdir(one.Images, 0o700); err != nil {
			return err
		}
		return pod.Checkpoints{Engine: m.Engine}.Container(ctx, ref, one)
	})
}

// File is Container with LeaveRunning, written to a file whole or not at all.
func (m *Maker) File(ctx context.Context, ref, path string) error {
	return m.scratch(func(dir string) error {
		one := m.file(ctx, dir, path)
		if err := os.Mkdir(one.Images, 0o700); err != nil {
			return err
		}
		return pod.Checkpoints{Engine: m.Engine}.Container(ctx, ref, one)
	})
}

// Pod writes running containers of a pod down at one instant, to NAME.tar below a directory;
// they go on. After an error the directory is as it was.
func (m *Maker) Pod(ctx context.Context, ref string, containers []string, to string) (err error) {
	var made []string
	defer func() {
		for _, path := range made {
			if err != nil {
				err = errors.Join(err, os.RemoveAll(path))
			}
		}
	}()
	return m.scratch(func(top string) error {
		return pod.Checkpoints{Engine: m.Engine}.Pod(ctx, ref, containers, func(c status.Container) (pod.CheckpointOptions, error) {
			dir, path := filepath.Join(top, c.ID), Archive(to, c.Name)
			made = append(made, path)
			one := m.file(ctx, dir, path)
			return one, os.MkdirAll(one.Images, 0o700)
		})
	})
}

// Archive is where Pod writes a container of this name.
func Archive(dir, container string) string { return filepath.Join(dir, container+".tar") }

// scratch runs f with a new directory.
func (m *Maker) scratch(f func(dir string) error) (err error) {
	if err := os.MkdirAll(m.Scratch, 0o700); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(m.Scratch, "dump-")
	if err != nil {
		return err
	}
	return errors.Join(f(dir), os.RemoveAll(dir))
}

func (m *Maker) file(ctx context.Context, dir, path string) pod.CheckpointOptions {
	return pod.CheckpointOptions{
		Images: format.Images(dir), LeaveRunning: true,
		Keep: func(c status.Container, world *specs.Spec, _ string) error {
			return keep(ctx, m.archive(ctx, dir, c, world), path)
		},
	}
}

func (m *Maker) archive(ctx context.Context, dir string, c status.Container, world *specs.Spec) format.Write {
	diff := func(w io.Writer) ([]string, error) { return m.Committer.Diff(ctx, c.ID, w, archive.IDs{}) }
	return format.Write{Config: config(c), Spec: world, Dir: dir, Diff: diff}
}

func config(c status.Container) format.Config {
	return format.Config{
		ID: c.ID, Name: c.Name, RootfsImage: c.Image, RootfsImageRef: c.ImageID, RootfsImageName: c.Image,
		Runtime: "carob", Created: c.CreatedAt, Checkpointed: time.Now(),
	}
}

// keep writes an archive whole or not at all.
func keep(ctx context.Context, a format.Write, path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	next := path + ".next"
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(next))
		}
	}()
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(a.To(ctx, f), f.Close()); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return os.Rename(next, path)
}
