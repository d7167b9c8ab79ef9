package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carob/internal/fault"
	"carob/internal/ref"
	"carob/internal/sys/disk"
)

// Remove takes a name off an image; with its last name goes the image, with the
// last image goes a layer. By ID it takes all names off at once. removed lists the
// names in familiar form and the ID if the image is gone. Conflict is an image that
// would go while a root filesystem is made of it or it is mounted, and changes nothing.
func (s *Store) Remove(_ context.Context, name string) (removed []string, err error) {
	var gone string
	s.mu.Lock()
	err = s.commitLocked(func(st *state, next *index) error {
		id, full, err := st.find(name)
		if err != nil {
			return err
		}
		drop := []string{full}
		if full == "" {
			drop = st.index.namesOf(id)
		}
		for _, n := range drop {
			delete(next.Names, n)
			removed = append(removed, familiar(n))
		}
		if len(next.namesOf(id)) > 0 {
			return nil
		}
		if err := s.tenants.close(id); err != nil {
			return fmt.Errorf("image %s: %w", name, err)
		}
		// After close: a mount that was being made meanwhile would have been a tenant.
		if err := s.root.mounts().without(id); err != nil {
			s.tenants.reopen(id)
			return fmt.Errorf("image %s: %w", name, err)
		}
		gone = id
		delete(next.Images, id)
		removed = append(removed, id)
		return nil
	})
	if gone != "" {
		s.tenants.reopen(gone)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if gone == "" {
		return removed, nil
	}
	return removed, errors.Join(waste{s}.dropConfig(gone), waste{s}.collect())
}

// keepPartials is how long a download waits for somebody to go on with it.
const keepPartials = 24 * time.Hour

// Sweep removes what a crash left: root filesystems that keep refuses, half
// imports, and layers, configurations and generated images nothing leads to. It
// may run beside imports and starts: it leaves alone what is under way, but keep
// must already know every container NewRootfs was called for. It goes on after an
// error and returns all of them.
func (s *Store) Sweep(ctx context.Context, keep func(containerID string) bool) error {
	var errs []error
	entries, err := os.ReadDir(s.root.rootfs(""))
	errs = append(errs, err)
	for _, e := range entries {
		if ctx.Err() != nil {
			return fault.Wrap(fault.Unavailable, "image store: sweep", ctx.Err())
		}
		if !keep(e.Name()) {
			err := s.root.removeRootfs(e.Name())
			if err == nil {
				s.tenants.exit(e.Name())
			}
			errs = append(errs, err)
		}
	}
	errs = append(errs, s.dropGenerated(ctx), waste{s}.collect(), waste{s}.sweepConfigs(), waste{s}.sweepTemps(), waste{s}.sweepMountpoints(), s.partials.Sweep(s.now().Add(-keepPartials)))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("image store: sweep: %w", err)
	}
	return nil
}

// dropGenerated removes generated images that a newer one took the name from, once
// no container uses them.
func (s *Store) dropGenerated(ctx context.Context) error {
	st := s.snapshot.Load()
	for id, r := range st.index.Images {
		if r.Source == nil || len(st.index.namesOf(id)) > 0 {
			continue
		}
		_, err := s.Remove(ctx, id)
		if err != nil && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}

// waste is what nothing leads to, and how it goes.
type waste struct{ store *Store }

// collect removes the layers that neither an image nor an import needs.
func (w waste) collect() error {
	trash, err := w.trashLayers()
	errs := []error{err}
	for _, t := range trash {
		errs = append(errs, t.close())
	}
	return errors.Join(errs...)
}

// trashLayers moves unneeded layers below tmp, so that mu is not held while their
// many files are removed.
func (w waste) trashLayers() ([]*temp, error) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.holds.mu.Lock()
	defer w.store.holds.mu.Unlock()
	used := w.store.snapshot.Load().index.layersInUse()
	unneeded := func(dir string) (names []string, err error) {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			if !used[e.Name()] && w.store.holds.pins[e.Name()] == 0 {
				names = append(names, e.Name())
			}
		}
		return names, err
	}
	layers, err := unneeded(w.store.root.layers())
	if err != nil {
		return nil, err
	}
	var trash []*temp
	for _, name := range layers {
		t, err := w.store.holds.tempLocked("trash-")
		if err != nil {
			return trash, err
		}
		trash = append(trash, t)
		if err := os.Rename(filepath.Join(w.store.root.layers(), name), filepath.Join(t.dir, "layer")); err != nil {
			return trash, err
		}
	}
	// Records after layers: one without the other is litter, not a layer without one.
	tars, err := unneeded(w.store.root.tars())
	for _, name := range tars {
		err = errors.Join(err, os.Remove(w.store.root.tar(name)))
	}
	return trash, err
}

// setAside moves layers of no image below tmp, for Sweep to remove: they may have been
// cut short by a power failure, and an import must not take them for whole.
func setAside(s *Store) error {
	trash, err := waste{s}.trashLayers()
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	for _, t := range trash {
		delete(s.holds.temps, filepath.Base(t.dir))
	}
	return err
}

func (w waste) dropConfig(id string) error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if _, again := w.store.snapshot.Load().index.Images[id]; again {
		return nil // imported anew since
	}
	var errs []error
	for _, path := range []string{w.store.root.config(id), w.store.root.manifest(id)} {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (w waste) sweepConfigs() error {
	entries, err := os.ReadDir(w.store.root.configs())
	errs := []error{err}
	for _, e := range entries {
		hex, ok := strings.CutSuffix(e.Name(), ".json")
		hex = strings.TrimSuffix(hex, manifestSuffix)
		if ok && ref.IsID(hex) {
			errs = append(errs, w.dropConfig("sha256:"+hex))
		}
	}
	return errors.Join(errs...)
}

// sweepTemps removes half imports, and files that a replace was cut short at: every
// replace happens under mu.
func (w waste) sweepTemps() error {
	litter, err := w.store.holds.litter()
	errs := []error{err}
	for _, path := range litter {
		errs = append(errs, removeTree(path))
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, dir := range []string{string(w.store.root), w.store.root.configs()} {
		found, err := filepath.Glob(filepath.Join(dir, ".new-*"))
		errs = append(errs, err)
		for _, path := range found {
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}

// removeTree removes a tree that a container may have written. Inode flags stop that, so
// those are taken off when it has failed.
func removeTree(dir string) error {
	err := disk.Remove(context.Background(), dir) // nobody waits who could give up
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if e := unlockTree(dir); e != nil {
		return errors.Join(err, e)
	}
	return disk.Remove(context.Background(), dir)
}

// unlockTree walks by file descriptors below dir: a link in it leads nowhere else.
func unlockTree(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && !d.Type().IsRegular() {
			return nil // opening a pipe or device could block or act
		}
		f, err := root.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(disk.Unlock(f), f.Close())
	})
}
