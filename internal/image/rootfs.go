package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carob/internal/fault"
)

// Rootfs is the plan of a container's root filesystem, an overlay: this package
// mounts nothing.
type Rootfs struct {
	// Lower are the read-only directories, top layer first: the image's, and below
	// them one that has the places every container's mounts go onto.
	Lower []string
	// Upper (0755) takes the container's writes, Work (0700) belongs to the kernel.
	// Both are on one file system; the caller changes their owner.
	Upper, Work string
	// Label is the SELinux label of every file, "" for what the layers say. Who mounts sets it.
	Label string `json:",omitempty"`
}

// NewRootfs makes a container's writable directories and returns how to mount them
// over the image's layers. It is idempotent: the same container and image give the
// same plan. A size is the most bytes that the writable directories may take, 0 no limit;
// Unsupported is one on a file system that cannot hold it. Conflict is a container that
// already has a root filesystem from another image. Nothing is hashed, copied or flushed.
func (s *Store) NewRootfs(_ context.Context, containerID, imageID string, size int64) (Rootfs, error) {
	if !validContainerID(containerID) {
		return Rootfs{}, fault.New(fault.Invalid, fmt.Sprintf("container ID %.64q: want 1 to 128 letters, digits, '_', '.' or '-', beginning with a letter or digit", containerID))
	}
	var img Image
	known, err := s.tenants.enter(containerID, imageID, func() (ok bool) {
		img, ok = s.snapshot.Load().byID[imageID]
		return ok
	})
	if err != nil {
		return Rootfs{}, err
	}
	plan, err := s.root.makeRootfs(containerID, img, size)
	if err != nil && !known {
		// The directory is not ready, and nobody was told of it.
		if e := s.root.removeRootfs(containerID); e == nil {
			s.tenants.exit(containerID)
		}
	}
	return plan, err
}

// MountImage keeps an image for a container that mounts it besides its own, until
// RemoveRootfs, and returns its layers' directories as overlayfs's option lowerdir
// names them: top first, with colons between them. It may be called before NewRootfs,
// and is idempotent. Invalid is an image without layers.
func (s *Store) MountImage(_ context.Context, containerID, imageID string) (lowerdir string, err error) {
	if !validContainerID(containerID) {
		return "", fault.New(fault.Invalid, fmt.Sprintf("container ID %.64q", containerID))
	}
	var img Image
	err = s.tenants.mount(containerID, imageID, func() (ok bool) {
		img, ok = s.snapshot.Load().byID[imageID]
		return ok
	})
	if err != nil {
		return "", err
	}
	if len(img.Layers) == 0 {
		return "", fault.New(fault.Invalid, "image "+imageID+": has no layers to mount")
	}
	dir := s.root.mounted(containerID)
	err = makeDir(filepath.Dir(dir), 0o700)
	if err == nil {
		err = makeDir(dir, 0o700)
	}
	if err == nil {
		if err = os.Symlink(imageID, filepath.Join(dir, strings.TrimPrefix(imageID, "sha256:"))); os.IsExist(err) {
			err = nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("container %s: image %s: %w", containerID, imageID, err)
	}
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`)
	var lower []string
	for _, l := range slices.Backward(img.Layers) {
		lower = append(lower, escape.Replace(l))
	}
	return strings.Join(lower, ":"), nil
}

// RemoveRootfs removes a container's directories and all that was written into
// them, whoever owns it, whatever its flags. It is idempotent; after an error a
// retry goes on. The caller has unmounted it.
func (s *Store) RemoveRootfs(_ context.Context, containerID string) error {
	if !validContainerID(containerID) {
		return nil // no such container can have one
	}
	if err := s.root.removeRootfs(containerID); err != nil {
		return fmt.Errorf("container %s: rootfs: %w", containerID, err)
	}
	s.tenants.exit(containerID)
	return nil
}

func (d dirs) makeRootfs(containerID string, img Image, size int64) (Rootfs, error) {
	dir, plan := d.rootfs(containerID), d.plan(containerID, img)
	err := makeDir(dir, 0o700)
	if err == nil {
		// A symbolic link is whole or absent, even after a power failure, without a flush.
		if err = os.Symlink(img.ID, filepath.Join(dir, "image")); os.IsExist(err) {
			err = nil
		}
	}
	if err == nil && size > 0 {
		err = limitTree(dir, size)
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
	return plan, nil
}

// plan says how a container's root file system is mounted.
func (d dirs) plan(containerID string, img Image) Rootfs {
	dir := d.rootfs(containerID)
	p := Rootfs{Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"), Lower: slices.Clone(img.Layers)}
	slices.Reverse(p.Lower)
	p.Lower = append(p.Lower, d.base())
	return p
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
