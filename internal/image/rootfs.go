package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"carob/internal/fault"
)

// Rootfs is the plan of a container's root filesystem, an overlay: this package
// mounts nothing.
type Rootfs struct {
	// Lower are the read-only directories, top layer first; never empty.
	Lower []string
	// Upper (0755) takes the container's writes, Work (0700) belongs to the kernel.
	// Both are on one file system; the caller changes their owner.
	Upper, Work string
}

// NewRootfs makes a container's writable directories and returns how to mount them
// over the image's layers. It is idempotent: the same container and image give the
// same plan. Conflict is a container that already has one from another image.
// Nothing is hashed, copied or flushed.
func (s *Store) NewRootfs(_ context.Context, containerID, imageID string) (Rootfs, error) {
	if !validContainerID(containerID) {
		return Rootfs{}, fault.New(fault.Invalid, fmt.Sprintf("container ID %.64q: want 1 to 128 letters, digits, '_', '.' or '-', beginning with a letter or digit", containerID))
	}
	img, known, err := s.use(containerID, imageID)
	if err != nil {
		return Rootfs{}, err
	}
	plan, err := s.makeRootfs(containerID, img)
	if err != nil && !known {
		// The directory is not ready, and nobody was told of it.
		if e := removeTree(s.rootfsDir(containerID)); e == nil {
			s.release(containerID)
		}
	}
	return plan, err
}

// RemoveRootfs removes a container's directories and all that was written into
// them, whoever owns it, whatever its flags. It is idempotent; after an error a
// retry goes on. The caller has unmounted it.
func (s *Store) RemoveRootfs(_ context.Context, containerID string) error {
	if !validContainerID(containerID) {
		return nil // no such container can have one
	}
	if err := removeTree(s.rootfsDir(containerID)); err != nil {
		return fmt.Errorf("container %s: rootfs: %w", containerID, err)
	}
	s.release(containerID)
	return nil
}

// use notes that the container uses the image, so that the image stays; known says
// that it did so before.
func (s *Store) use(containerID, imageID string) (img Image, known bool, err error) {
	s.usersMu.Lock()
	defer s.usersMu.Unlock()
	img, ok := s.snapshot.Load().byID[imageID]
	if _, gone := s.leaving[imageID]; !ok || gone {
		return Image{}, false, fault.New(fault.NotFound, "image "+imageID+": not in the local store")
	}
	old, known := s.users[containerID]
	if known && old != imageID {
		return Image{}, true, fault.New(fault.Conflict, fmt.Sprintf("container %s: rootfs: already made from image %s", containerID, old))
	}
	s.users[containerID] = imageID
	return img, known, nil
}

func (s *Store) release(containerID string) {
	s.usersMu.Lock()
	defer s.usersMu.Unlock()
	delete(s.users, containerID)
}

func (s *Store) makeRootfs(containerID string, img Image) (Rootfs, error) {
	dir := s.rootfsDir(containerID)
	plan := Rootfs{Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	err := makeDir(dir, 0o700)
	if err == nil {
		// A symbolic link is whole or absent, even after a power failure, without a flush.
		if err = os.Symlink(img.ID, filepath.Join(dir, "image")); os.IsExist(err) {
			err = nil
		}
	}
	if err == nil {
		err = makeOnce(plan.Upper, 0o755)
	}
	if err == nil {
		err = makeOnce(plan.Work, 0o700)
	}
	if err != nil {
		return Rootfs{}, fmt.Errorf("container %s: rootfs: %w", containerID, err)
	}
	plan.Lower = slices.Clone(img.Layers)
	slices.Reverse(plan.Lower)
	if len(plan.Lower) == 0 {
		plan.Lower = []string{filepath.Join(s.root, "empty")}
	}
	return plan, nil
}

// makeOnce makes a directory, and leaves one that is there as its container left it.
func makeOnce(path string, mode os.FileMode) error {
	err := os.Mkdir(path, mode)
	if os.IsExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// readUsers learns from disk which container uses which image. A directory without
// its link is one whose making was cut short: nobody uses it.
func (s *Store) readUsers() error {
	entries, err := os.ReadDir(filepath.Join(s.root, "rootfs"))
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	for _, e := range entries {
		id, err := os.Readlink(filepath.Join(s.rootfsDir(e.Name()), "image"))
		if err == nil {
			s.users[e.Name()] = id
		}
	}
	return nil
}

func (s *Store) rootfsDir(containerID string) string {
	return filepath.Join(s.root, "rootfs", containerID)
}

// validContainerID keeps whatever names a directory to one plain component.
func validContainerID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '_' || c == '.' || c == '-'):
		default:
			return false
		}
	}
	return true
}
