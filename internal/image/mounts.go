package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"carob/internal/fault"
	"carob/internal/ref"
	"carob/internal/sys/mount"
)

// HostMount is an image mounted on a directory of the host.
type HostMount struct{ ImageID, Path string }

// HostMounts mounts images on directories of the host, read-only, without devices and
// set-user-ID programs. The mount table is the only record: a mount's source is its
// image's directory below mounts/. So mounts outlive the daemon, are gone after a
// reboot, and may be taken off by umount(8) as well. It may be used concurrently.
type HostMounts struct {
	store *Store
	// turn lets one mount be made at a time: two of one image would both find it mounted
	// nowhere, and the first to end would let go of the image under the other.
	turn sync.Mutex
}

// NewHostMounts returns the mounts of a store's images. There is one value for a store.
func NewHostMounts(s *Store) *HostMounts { return &HostMounts{store: s} }

// tenantHost stands for a mount that is being made: no container's ID has a slash.
const tenantHost = "host/"

// Mount mounts an image on dir, an absolute path to a directory; an empty one is the
// image's own below the store. An image that is mounted there already stays as it is.
// The kinds are Resolve's; Invalid is also an image without layers.
func (m *HostMounts) Mount(ctx context.Context, name, dir string) (HostMount, error) {
	img, err := m.store.Resolve(ctx, name)
	if err != nil {
		return HostMount{}, err
	}
	at, err := m.mount(img, dir)
	if err != nil {
		return HostMount{}, fmt.Errorf("image %s: mount: %w", name, err)
	}
	return at, nil
}

func (m *HostMounts) mount(img Image, dir string) (at HostMount, err error) {
	m.turn.Lock()
	defer m.turn.Unlock()
	s := m.store
	if len(img.Layers) == 0 {
		return at, fault.New(fault.Invalid, "it has no layers")
	}
	// Until the mount is in the table, nobody else says that the image is in use.
	present := func() bool { _, ok := s.snapshot.Load().byID[img.ID]; return ok }
	if err := s.tenants.mount(tenantHost+img.ID, img.ID, present); err != nil {
		return at, err
	}
	defer s.tenants.exit(tenantHost + img.ID)
	at = HostMount{img.ID, filepath.Clean(dir)}
	if dir == "" {
		at.Path, err = s.root.mounts().make(img.ID)
	} else if at.Path, err = filepath.EvalSymlinks(at.Path); errors.Is(err, fs.ErrNotExist) {
		err = fault.Wrap(fault.NotFound, "", err)
	}
	if err != nil {
		return at, err
	}
	all, err := s.root.mounts().list()
	if err != nil || slices.Contains(all, at) {
		return at, err
	}
	lower := slices.Clone(img.Layers)
	slices.Reverse(lower)
	root, layers, err := mount.Overlay(mount.Layers{Lower: append(lower, s.root.mounts().nothing()), Source: s.root.mounts().of(img.ID)})
	for _, l := range layers {
		_ = l.Close() // the mount has its own
	}
	if err != nil {
		return at, err
	}
	defer func() { _ = root.Close() }() // stays where it was attached
	if err := mount.SetAttributes(root, mount.Attributes{Set: mount.ReadOnly | mount.NoSuid | mount.NoDev}); err != nil {
		return at, err
	}
	return at, mount.Attach(root, at.Path)
}

// Unmount takes off all mounts of an image, or the one on a directory when what starts
// with a slash. Conflict is a mount that is in use, NotFound one that is not there.
func (m *HostMounts) Unmount(ctx context.Context, what string) (gone []HostMount, err error) {
	fits := func(h HostMount) bool { return h.Path == filepath.Clean(what) }
	if !filepath.IsAbs(what) {
		img, err := m.store.Resolve(ctx, what)
		if err != nil {
			return nil, err
		}
		fits = func(h HostMount) bool { return h.ImageID == img.ID }
	}
	all, err := m.store.root.mounts().list()
	if err != nil {
		return nil, fmt.Errorf("image %s: unmount: %w", what, err)
	}
	for _, h := range slices.Backward(all) { // what lies on top comes last
		if !fits(h) {
			continue
		}
		if err := mount.Release(h.Path); err != nil {
			return gone, fmt.Errorf("image %s: unmount: %w", what, err)
		}
		gone = append(gone, h)
		_ = os.Remove(m.store.root.mounts().of(h.ImageID)) // still mounted there, or not its own: Sweep looks again
	}
	if len(gone) == 0 {
		return nil, fault.New(fault.NotFound, "image "+what+": unmount: not mounted")
	}
	return gone, nil
}

// List returns the mounts of images that are there.
func (m *HostMounts) List(context.Context) ([]HostMount, error) { return m.store.root.mounts().list() }

// mountpoints is the directory mounts/, and knows what is mounted on whose behalf.
type mountpoints string

// of is where an image is mounted that no directory was named for, and the source of all
// mounts of it.
func (p mountpoints) of(id string) string {
	return filepath.Join(string(p), strings.TrimPrefix(id, "sha256:"))
}

// nothing is an empty directory. Below an image's layers it makes an overlay of a single
// one: a plain bind mount would not say in the table whose it is.
func (p mountpoints) nothing() string { return filepath.Join(string(p), "nothing") }

// make makes an image's own directory, and returns it as the table shows it.
func (p mountpoints) make(id string) (string, error) {
	if err := os.Mkdir(p.of(id), 0o700); err != nil && !os.IsExist(err) {
		return "", err
	}
	return filepath.EvalSymlinks(p.of(id))
}

func (p mountpoints) list() (all []HostMount, err error) {
	found, err := mount.Find("overlay", string(p)+"/")
	for _, e := range found {
		if hex := filepath.Base(e.Source); ref.IsID(hex) && e.Source == p.of(hex) {
			all = append(all, HostMount{"sha256:" + hex, e.Target})
		}
	}
	return all, err
}

// without is nil when the image is mounted nowhere on the host, else Conflict.
func (p mountpoints) without(id string) error {
	all, err := p.list()
	if err != nil {
		return err
	}
	for _, h := range all {
		if h.ImageID == id {
			return fault.New(fault.Conflict, "mounted on "+h.Path+`; "carob image unmount" it first`)
		}
	}
	return nil
}

// sweepMountpoints removes those that umount(8) left.
func (w waste) sweepMountpoints() error {
	dir := w.store.root.mounts()
	entries, err := os.ReadDir(string(dir))
	all, e := dir.list()
	errs := []error{err, e}
	for _, e := range entries {
		mounted := slices.ContainsFunc(all, func(h HostMount) bool { return filepath.Base(h.Path) == e.Name() })
		if ref.IsID(e.Name()) && !mounted {
			errs = append(errs, os.Remove(dir.of(e.Name())))
		}
	}
	return errors.Join(errs...)
}
