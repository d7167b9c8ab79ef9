package image

import (
	"os"
	"path/filepath"
	"strings"
)

// dirs is the root directory, and knows what lies where below it.
type dirs string

func (d dirs) index() string  { return filepath.Join(string(d), "index.json") }
func (d dirs) layers() string { return filepath.Join(string(d), "layers") }
func (d dirs) tmp() string    { return filepath.Join(string(d), "tmp") }
func (d dirs) empty() string  { return filepath.Join(string(d), "empty") }
func (d dirs) configs() string {
	return filepath.Join(string(d), "configs")
}

func (d dirs) config(id string) string {
	return filepath.Join(d.configs(), strings.TrimPrefix(id, "sha256:")+".json")
}

// rootfs is the directory of one container, or of all when the ID is empty.
func (d dirs) rootfs(containerID string) string {
	return filepath.Join(string(d), "rootfs", containerID)
}

// make makes what is missing.
func (d dirs) make() error {
	for _, dir := range []string{string(d), d.configs(), d.layers(), d.rootfs(""), d.tmp()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	// The container sees the merged root with the mode of its layers.
	return makeDir(d.empty(), 0o755)
}

// makeDir is Mkdir that the umask does not touch and that accepts what is there.
func makeDir(path string, mode os.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil && !os.IsExist(err) {
		return err
	}
	return os.Chmod(path, mode)
}
