// Package delta tells what a container has changed of its image, from the overlay's
// upper directory and the layers below it. It reads and never writes. The upper
// directory is the container's and may change meanwhile; whatever lies there, nothing
// outside of it is looked at. Layers do not change.
package delta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"carob/internal/status"
	"carob/internal/sys/disk"
	"carob/internal/sys/fd"
)

// Changes compares an upper directory with the layers below it, the top one first. The
// list is sorted by path. A directory that became opaque counts as changed, and what it
// hides and has no longer as deleted. It ends early when ctx is cancelled.
func Changes(ctx context.Context, upper string, lower []string) (all []status.Change, err error) {
	var w walk
	defer func() {
		for _, r := range append([]*os.Root{w.upper}, w.lower...) {
			if r != nil {
				_ = r.Close() // only read from
			}
		}
	}()
	if w.upper, err = os.OpenRoot(upper); err != nil {
		return nil, fmt.Errorf("changes: %w", err)
	}
	every := make([]int, 0, len(lower))
	for i, dir := range lower {
		r, err := os.OpenRoot(dir)
		if err != nil {
			return nil, fmt.Errorf("changes: %w", err)
		}
		w.lower = append(w.lower, r)
		every = append(every, i)
	}
	if err := w.dir(ctx, ".", every); err != nil {
		return nil, fmt.Errorf("changes: %w", err)
	}
	slices.SortFunc(w.found, func(a, b status.Change) int { return cmp.Compare(a.Path, b.Path) })
	return w.found, nil
}

// walk goes down the upper directory.
type walk struct {
	upper *os.Root
	lower []*os.Root // top first
	found []status.Change
}

func (w *walk) note(k status.ChangeKind, name string) {
	w.found = append(w.found, status.Change{Kind: k, Path: path.Join("/", name)})
}

// dir compares a directory that is there in the upper layer; below are the layers that
// show through it, as indexes into lower, top first.
func (w *walk) dir(ctx context.Context, name string, below []int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := readDir(w.upper, name)
	if gone(err) {
		return nil // the container removed it meanwhile
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.entry(ctx, path.Join(name, e), below); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) entry(ctx context.Context, name string, below []int) error {
	info, err := w.upper.Lstat(name)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	was, inside, err := w.find(name, below)
	if err != nil {
		return err
	}
	if disk.IsWhiteout(info) {
		if was != nil {
			w.note(status.Deleted, name)
		}
		return nil
	}
	w.note(kind(was), name)
	if !info.IsDir() {
		return nil
	}
	hidden, err := opaque(w.upper, name)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if hidden {
		if err := w.hidden(name, inside); err != nil {
			return err
		}
		inside = nil
	}
	return w.dir(ctx, name, inside)
}

func kind(was fs.FileInfo) status.ChangeKind {
	if was == nil {
		return status.Added
	}
	return status.Changed
}

// find returns what the layers below show under that name, nil for nothing, and, when
// it is a directory, the layers whose directories make it up.
func (w *walk) find(name string, below []int) (was fs.FileInfo, inside []int, err error) {
	for _, i := range below {
		info, err := w.lower[i].Lstat(name)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if disk.IsWhiteout(info) || was != nil && !info.IsDir() {
			break
		}
		if was == nil {
			was = info
		}
		if !info.IsDir() {
			break
		}
		inside = append(inside, i)
		hidden, err := opaque(w.lower[i], name)
		if err != nil {
			return nil, nil, err
		}
		if hidden {
			break
		}
	}
	return was, inside, nil
}

// hidden notes as deleted what an opaque directory hides and does not have itself.
func (w *walk) hidden(name string, inside []int) error {
	seen := map[string]bool{}
	entries, err := readDir(w.upper, name)
	if err != nil && !gone(err) {
		return err
	}
	for _, e := range entries {
		seen[e] = true
	}
	for _, i := range inside {
		entries, err := readDir(w.lower[i], name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if seen[e] {
				continue
			}
			seen[e] = true
			info, err := w.lower[i].Lstat(path.Join(name, e))
			if err != nil {
				return err
			}
			if !disk.IsWhiteout(info) {
				w.note(status.Deleted, path.Join(name, e))
			}
		}
	}
	return nil
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// readDir lists the names in a directory below root.
func readDir(root *os.Root, name string) ([]string, error) {
	d, err := root.OpenFile(name, os.O_RDONLY|fd.NoBlock, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }() // only read from
	return d.Readdirnames(-1)
}

// opaque tells whether a directory hides what is below it.
func opaque(root *os.Root, name string) (bool, error) {
	d, err := root.OpenFile(name, os.O_RDONLY|fd.NoBlock, 0)
	if err != nil {
		return false, err
	}
	defer func() { _ = d.Close() }() // only read from
	a, err := disk.ReadAttributes(d, 0)
	return a.Opaque, err
}
