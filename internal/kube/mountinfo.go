package kube

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"carob/internal/mountinfo"
)

// maxStacked bounds how many mounts on top of each other are taken off.
const maxStacked = 16

// mountsBelow lists the mount points at and below dir, parents first.
func mountsBelow(dir string) ([]string, error) {
	real, err := filepath.EvalSymlinks(dir) // the kernel shows resolved paths
	if err != nil {
		return nil, err
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMountinfo(f, real)
}

// parseMountinfo finds them in a mountinfo. A line that is not understood is an error: what is
// below dir is about to be removed.
func parseMountinfo(r io.Reader, dir string) (found []string, err error) {
	lines := mountinfo.Scanner(r)
	for lines.Scan() {
		m, ok := mountinfo.Parse(lines.Text())
		if !ok {
			return nil, fmt.Errorf("mountinfo: line %q", lines.Text())
		}
		if m.Point == dir || strings.HasPrefix(m.Point, strings.TrimSuffix(dir, "/")+"/") {
			found = append(found, m.Point)
		}
	}
	return found, lines.Err()
}
