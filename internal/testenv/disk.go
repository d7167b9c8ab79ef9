package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Disk is a file system of its own in a sparse file.
type Disk struct {
	kind Need
	size int64
	mkfs []string
}

// Ext4Disk is an ext4 of so many bytes, made with further options of mkfs.ext4.
func Ext4Disk(size int64, mkfs ...string) Disk { return Disk{Ext4, size, mkfs} }

// Projects is the option of mkfs.ext4 for file systems with quotas of projects.
const Projects = "-Oquota,project"

// XFSDisk is an XFS of so many bytes, at least 300 MiB.
func XFSDisk(size int64) Disk { return Disk{XFS, size, nil} }

// Mount makes the file system and mounts it with mount(8)'s options until the test ends.
// It returns the file and where it is mounted.
func (d Disk) Mount(t testing.TB, options string) (image, dir string) {
	t.Helper()
	Require(t, Root, d.kind)
	base := t.TempDir()
	image, dir = filepath.Join(base, "disk"), filepath.Join(base, "mounted")
	if err := d.make(image); err != nil {
		t.Fatal(err)
	}
	MountImage(t, image, dir, options)
	return image, dir
}

// MountImage mounts a file system in a file on a directory that it makes, until the test
// ends.
func MountImage(t testing.TB, image, dir, options string) {
	t.Helper()
	if err := mount(image, dir, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := command("umount", "-l", dir); err != nil {
			t.Error(err)
		}
	})
}

func (d Disk) make(image string) error {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := f.Truncate(d.size); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return command("mkfs."+string(d.kind), append(append([]string{"-q"}, d.mkfs...), image)...)
}

func mount(image, dir, options string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return command("mount", "-o", "loop,"+options, image, dir)
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %s: %w", name, args, out, err)
	}
	return nil
}

// holdsQuotas says why a file system cannot be mounted with project quotas: the kernel was
// built without them.
func holdsQuotas(d Disk) string {
	base, err := os.MkdirTemp("", "quota-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(base)
	image, dir := filepath.Join(base, "disk"), filepath.Join(base, "mounted")
	if err := d.make(image); err != nil {
		return err.Error()
	}
	if err := mount(image, dir, "prjquota"); err != nil {
		return "this kernel has no project quotas"
	}
	return text(command("umount", dir))
}
