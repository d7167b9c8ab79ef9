package image

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"carob/internal/fault"
)

// tenants knows which container's root filesystem is made of which image. It decides
// between a start and a removal that meet.
type tenants struct {
	mu      sync.Mutex
	users   map[string]string   // container ID → image ID
	mounts  map[string][]string // container ID → IDs of images it mounts besides
	leaving map[string]struct{} // image IDs being removed
}

// readTenants learns from disk. A directory without its link is one whose making
// was cut short: nobody uses it.
func readTenants(d dirs) (*tenants, error) {
	t := &tenants{users: map[string]string{}, mounts: map[string][]string{}, leaving: map[string]struct{}{}}
	entries, err := os.ReadDir(d.rootfs(""))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if id, err := os.Readlink(filepath.Join(d.rootfs(e.Name()), "image")); err == nil {
			t.users[e.Name()] = id
		}
		links, err := os.ReadDir(d.mounted(e.Name()))
		if err != nil && e.IsDir() && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, l := range links {
			t.mounts[e.Name()] = append(t.mounts[e.Name()], "sha256:"+l.Name())
		}
	}
	return t, nil
}

// enter notes that the container uses the image, so that the image stays; known
// says that it did so before. present is asked when no removal can come between.
func (t *tenants) enter(containerID, imageID string, present func() bool) (known bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, gone := t.leaving[imageID]; gone || !present() {
		return false, fault.New(fault.NotFound, "image "+imageID+": not in the local store")
	}
	old, known := t.users[containerID]
	if known && old != imageID {
		return true, fault.New(fault.Conflict, fmt.Sprintf("container %s: rootfs: already made from image %s", containerID, old))
	}
	t.users[containerID] = imageID
	return known, nil
}

// mount notes that the container mounts the image besides its own.
func (t *tenants) mount(containerID, imageID string, present func() bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, gone := t.leaving[imageID]; gone || !present() {
		return notStored(imageID)
	}
	if !slices.Contains(t.mounts[containerID], imageID) {
		t.mounts[containerID] = append(t.mounts[containerID], imageID)
	}
	return nil
}

func (t *tenants) exit(containerID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.users, containerID)
	delete(t.mounts, containerID)
}

// ofLocked returns the containers that use the image in either way, sorted.
func (t *tenants) ofLocked(imageID string) (containers []string) {
	for c, of := range t.users {
		if of == imageID {
			containers = append(containers, c)
		}
	}
	for c, images := range t.mounts {
		if slices.Contains(images, imageID) && t.users[c] != imageID {
			containers = append(containers, c)
		}
	}
	slices.Sort(containers)
	return containers
}

// imageOf returns the image that the container's root file system is made of.
func (t *tenants) imageOf(containerID string) (imageID string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	imageID, ok = t.users[containerID]
	return imageID, ok
}

// byImage returns the containers of each image, sorted.
func (t *tenants) byImage() map[string][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[string][]string{}
	for _, c := range slices.Sorted(maps.Keys(t.users)) {
		all[t.users[c]] = append(all[t.users[c]], c)
	}
	return all
}

// close lets nobody enter the image any more; Conflict when somebody is there.
func (t *tenants) close(imageID string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch users := t.ofLocked(imageID); len(users) {
	case 0:
		t.leaving[imageID] = struct{}{}
		return nil
	case 1:
		return fault.New(fault.Conflict, "in use by container "+users[0]+"; remove it first")
	default:
		return fault.New(fault.Conflict, fmt.Sprintf("in use by container %s and %d more; remove them first", users[0], len(users)-1))
	}
}

// reopen ends close, when the image is gone or stays after all.
func (t *tenants) reopen(imageID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.leaving, imageID)
}
