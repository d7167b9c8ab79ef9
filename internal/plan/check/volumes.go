package check

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"carob/internal/fault"
	"carob/internal/spec"
)

// maxImageVolumes bounds what an image can make the host do.
const maxImageVolumes = 64

// ImageVolumes returns the mount points that the image declares, checked and
// without those that the container mounts itself. An image's configuration is an
// attacker's input (CVE-2022-23648).
func ImageVolumes(declared map[string]struct{}, mounts []spec.Mount) ([]spec.Mount, error) {
	if len(declared) > maxImageVolumes {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("image declares %d volumes, more than %d", len(declared), maxImageVolumes))
	}
	var out []spec.Mount
	for _, target := range slices.Sorted(maps.Keys(declared)) {
		clean := path.Clean(target)
		if !path.IsAbs(target) || clean == "/" || len(target) > 1024 || strings.ContainsAny(target, "\x00\n") || slices.Contains(strings.Split(target, "/"), "..") {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("image volume %.80q: not an absolute path below the root", target))
		}
		for _, kernel := range []string{"/proc", "/sys", "/dev"} {
			if clean == kernel || strings.HasPrefix(clean, kernel+"/") {
				return nil, fault.New(fault.Invalid, fmt.Sprintf("image volume %.80q: hides a file system of the kernel's", target))
			}
		}
		if !slices.ContainsFunc(slices.Concat(mounts, out), func(m spec.Mount) bool { return path.Clean(m.Target) == clean }) {
			out = append(out, spec.Mount{Type: spec.Volume, Target: clean})
		}
	}
	return out, nil
}

// Source is what a look at the source of a bind means for the container.
func Source(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, "source "+path+": no such file or directory (create it, or use a named volume)")
	case errors.Is(err, fs.ErrPermission):
		return fault.Wrap(fault.Denied, "source", err)
	}
	return fmt.Errorf("source: %w", err)
}
