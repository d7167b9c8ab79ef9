package image

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"

	"carob/internal/fault"
	"carob/internal/sys/disk"
	"carob/internal/sys/mount"
)

// Containers' projects have numbers from here on, which administrators who count up from
// 1 do not reach; projectTries bounds the search for a free one.
const (
	firstProject = 1 << 30
	projectTries = 1000
)

// limitTree bounds what the new directory of a container may take on disk, with a project
// of its own: what is made below belongs to it. The number comes from the directory's
// name and is one that nothing is counted to, as the file system says; none is recorded.
func limitTree(path string, size int64) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // only read from
	if !disk.QuotasHold(dir) {
		return fault.New(fault.Unsupported, fmt.Sprintf("size limit: the image store's %s has no project quotas in force; mount it with prjquota, or leave the limit out", mount.FSType(path)))
	}
	project, own, err := projectOf(dir)
	if err == nil && !own {
		if project, err = freeProject(dir); err == nil {
			err = disk.SetProject(dir, project)
		}
	}
	if err == nil {
		err = disk.SetQuota(dir, project, size)
	}
	return fault.Wrap(fault.KindOf(err), "size limit", err)
}

// projectOf returns a container's project, and whether it is its own: all of the store
// may belong to one that an administrator has set.
func projectOf(dir *os.File) (project uint32, own bool, err error) {
	parent, err := os.Open(filepath.Dir(dir.Name()))
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = parent.Close() }() // only read from
	project, err = disk.ProjectOf(dir)
	if err != nil || project == 0 {
		return 0, false, err
	}
	outer, err := disk.ProjectOf(parent)
	return project, project != outer, err
}

func freeProject(dir *os.File) (uint32, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir.Name())) // cannot fail
	for n := range uint32(projectTries) {
		project := firstProject + (h.Sum32()+n)%firstProject
		bytes, inodes, err := disk.Used(dir, project)
		if err != nil || bytes == 0 && inodes == 0 {
			return project, err
		}
	}
	return 0, fault.New(fault.Unavailable, "no free project")
}

// removeRootfs removes a container's directory, and its project's bound with it.
func (d dirs) removeRootfs(containerID string) error {
	path := d.rootfs(containerID)
	dir, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // only read from
	project, own, err := projectOf(dir)
	if err == nil && own {
		err = disk.SetQuota(dir, project, 0)
	}
	return errors.Join(err, removeTree(path))
}
