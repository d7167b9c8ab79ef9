package image

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	cfs "github.com/containerd/continuity/fs"
)

// Usage is what the store takes on disk.
type Usage struct {
	// Layers is the bytes of all layers, shared ones counted once.
	Layers int64
	// Images are the images' shares, in the order of List.
	Images []ImageUsage
	// Writable is the bytes of each container's writable layer, by container ID.
	Writable map[string]int64
}

// ImageUsage is one image's share.
type ImageUsage struct {
	Image Image
	// Unique is the bytes of layers that no other image has: what removing it frees.
	Unique int64
	// Containers are those whose root file systems are made of it, by ID.
	Containers []string
}

// Usage measures. Layers were measured when they were unpacked; writable layers are
// walked now.
func (s *Store) Usage(ctx context.Context) (Usage, error) {
	st := s.snapshot.Load()
	u := Usage{Writable: map[string]int64{}}
	users := map[string]int{} // chain → images
	for _, r := range st.index.Images {
		for _, l := range r.Layers {
			users[l.Chain]++
		}
	}
	for _, size := range st.index.layerSizes() {
		u.Layers += size
	}
	tenants := s.tenants.byImage()
	for _, img := range st.sorted {
		one := ImageUsage{Image: img, Containers: tenants[img.ID]}
		for _, l := range st.index.Images[img.ID].Layers {
			if users[l.Chain] == 1 {
				one.Unique += l.Size
			}
		}
		u.Images = append(u.Images, one)
		for _, c := range one.Containers {
			size, err := writable(ctx, s.root.rootfs(c))
			if err != nil {
				return u, err
			}
			u.Writable[c] = size
		}
	}
	return u, nil
}

// writable measures a container's own layer; one that has just gone takes nothing.
func writable(ctx context.Context, rootfs string) (int64, error) {
	use, err := cfs.DiskUsage(ctx, filepath.Join(rootfs, "upper"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return use.Size, err
}
