// Package volume owns the directory of volumes: one directory for each. A named volume stays
// until somebody removes it; an anonymous one, named by 64 hexadecimal digits, goes with the
// container that it was made for.
//
// The package knows no containers: who removes says who uses, asked for under the lock that a
// volume is made under. A container must show that it uses a volume before it calls Named:
// then either the removal sees it, or it gets a new volume.
//
// On disk: <dir>/<name>, and <dir>/.removing/<name> from the moment a removal cannot be
// refused any more until nothing is left. A volume there is listed and cannot be used;
// removing it again, or Keep after a crash, goes on.
package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"carob/internal/fault"
	"carob/internal/plan/check"
	"carob/internal/status"
	"carob/internal/sys/disk"
	"carob/internal/sys/mount"
)

// Store is the directory of volumes. Its methods may be called from any goroutine.
type Store struct {
	dir string
	// remove is disk.Remove but in tests.
	remove func(ctx context.Context, path string) error

	mu sync.Mutex
	// owners are the containers, by ID, that anonymous volumes go with.
	owners map[string]string
}

// New gives the store in a directory, which the first volume makes.
func New(dir string) *Store {
	return &Store{dir: dir, remove: disk.Remove, owners: map[string]string{}}
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// removing is where a volume is while it is removed: no volume's name begins with a dot.
func (s *Store) removing(name string) string { return filepath.Join(s.dir, ".removing", name) }

// Named returns the directory of a named volume, and makes it when there is none. Invalid is
// a name that is none, Conflict a volume that is being removed. There is no undo for it: the
// next container may have begun to use it.
func (s *Store) Named(name string) (dir string, err error) {
	if err := check.Name("volume", name); err != nil {
		return "", err
	}
	if check.ID(name) {
		return "", fault.New(fault.Invalid, "volume name "+name+": 64 hexadecimal digits name anonymous volumes")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if exists(s.removing(name)) {
		return "", fault.New(fault.Conflict, "volume "+name+": is being removed, or was in part; removing it again goes on")
	}
	return s.path(name), s.makeLocked(name)
}

// Anonymous makes the volume id, an ID, which goes with a container: Drop.
func (s *Store) Anonymous(id, container string) (dir string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if exists(s.path(id)) {
		return "", fault.New(fault.Exists, "volume "+id)
	}
	if err := s.makeLocked(id); err != nil {
		return "", err
	}
	s.owners[id] = container
	return s.path(id), nil
}

func (s *Store) makeLocked(name string) error {
	err := os.MkdirAll(s.dir, 0o711) // user namespaces pass through it
	if err == nil {
		err = os.Mkdir(s.path(name), 0o755)
	}
	if errors.Is(err, fs.ErrExist) {
		info, e := os.Lstat(s.path(name))
		if err = e; e == nil && !kept(info.Mode()) {
			err = fault.New(fault.Conflict, s.path(name)+": not a directory")
		}
	}
	if err != nil {
		return fmt.Errorf("volume %s: %w", name, err)
	}
	return nil
}

// kept says what can be a volume: a directory, or a link to where somebody moved it.
func kept(m fs.FileMode) bool { return m.IsDir() || m&fs.ModeSymlink != 0 }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Drop removes a container's anonymous volume by its directory. One that is gone is success.
func (s *Store) Drop(ctx context.Context, dir string) error {
	id := filepath.Base(dir)
	if err := s.remove(ctx, s.path(id)); err != nil {
		return fmt.Errorf("volume %s: remove: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.owners, id)
	return nil
}

// Keep tells the store after a start of the daemon which anonymous volumes, by directory, go
// with which containers. The others are removed, and removals that a crash cut short go on.
func (s *Store) Keep(ctx context.Context, owners map[string]string) error {
	s.mu.Lock()
	for dir, container := range owners {
		s.owners[filepath.Base(dir)] = container
	}
	known := maps.Clone(s.owners)
	s.mu.Unlock()
	var errs []error
	all, err := s.List()
	errs = append(errs, err)
	for _, v := range all {
		switch {
		case v.Removing:
			errs = append(errs, s.finish(ctx, v.Name))
		case v.Anonymous && known[v.Name] == "":
			errs = append(errs, s.Drop(ctx, v.Mountpoint))
		}
	}
	return errors.Join(errs...)
}

// List returns all volumes by name.
func (s *Store) List() ([]status.Volume, error) {
	var all []status.Volume
	for _, dir := range []string{s.dir, s.removing("")} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("volumes: %w", err)
		}
		for _, e := range entries {
			if check.Name("volume", e.Name()) != nil || !kept(e.Type()) {
				continue // somebody's
			}
			v, err := s.volume(filepath.Join(dir, e.Name()))
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if err != nil {
				return nil, fmt.Errorf("volumes: %w", err)
			}
			all = append(all, v)
		}
	}
	return all, nil
}

func (s *Store) volume(path string) (status.Volume, error) {
	born, err := disk.Born(path)
	name := filepath.Base(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	return status.Volume{
		Name: name, Mountpoint: path, CreatedAt: born, Anonymous: check.ID(name), Owner: s.owners[name], Removing: path == s.removing(name),
	}, err
}

// Find returns one volume, or NotFound.
func (s *Store) Find(name string) (status.Volume, error) {
	if err := check.Name("volume", name); err != nil {
		return status.Volume{}, err
	}
	for _, path := range []string{s.path(name), s.removing(name)} {
		v, err := s.volume(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return v, err
		}
	}
	return status.Volume{}, fault.New(fault.NotFound, "volume "+name+": no such volume")
}

// Remove removes a volume with what is in it. users names the containers that use it: Conflict
// names them, or what is mounted on or in it, and nothing has changed. Any later error says
// what does not go; the volume is then listed as being removed, and Remove again goes on.
func (s *Store) Remove(ctx context.Context, name string, users func() []string) error {
	if err := check.Name("volume", name); err != nil {
		return err
	}
	if err := s.setAside(name, users); err != nil {
		return err
	}
	return s.finish(ctx, name)
}

func (s *Store) finish(ctx context.Context, name string) error {
	if err := s.remove(ctx, s.removing(name)); err != nil {
		return fmt.Errorf("volume %s: removed in part, removing it again goes on: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = os.Remove(s.removing("")) // with the last that was removed
	return nil
}

// setAside takes a volume that nobody uses from those who could.
func (s *Store) setAside(name string, users func() []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Lstat(s.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist) && exists(s.removing(name)):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, "volume "+name+": no such volume")
	case err != nil:
		return fmt.Errorf("volume %s: %w", name, err)
	}
	if by := users(); len(by) > 0 {
		return fault.New(fault.Conflict, "volume "+name+": in use by "+strings.Join(by, ", "))
	}
	if info.IsDir() {
		mounts, err := mount.Within(s.path(name))
		if err != nil {
			return fmt.Errorf("volume %s: mounts: %w", name, err)
		}
		if len(mounts) > 0 {
			return fault.New(fault.Conflict, "volume "+name+": something is mounted on "+strings.Join(mounts, ", "))
		}
	}
	err = os.MkdirAll(s.removing(""), 0o700)
	if err == nil {
		err = os.Rename(s.path(name), s.removing(name))
	}
	if err != nil {
		return fmt.Errorf("volume %s: remove: %w", name, err)
	}
	return nil
}

// Size counts the bytes that a volume occupies. Where it is a link, that is the link's.
func (s *Store) Size(ctx context.Context, v status.Volume) (int64, error) {
	bytes, _, err := disk.Tree(ctx, v.Mountpoint)
	return int64(bytes), err
}
