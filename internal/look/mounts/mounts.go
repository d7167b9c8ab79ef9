// Package mounts reads mountinfo files (proc_pid_mountinfo(5)), of this machine or of
// a recorded tree. It answers what is mounted over a path and where on the host a
// mount comes from; it opens nothing but the one file it is told to.
package mounts

import (
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"carob/internal/mountinfo"
)

// Mount is one line of a mountinfo.
type Mount struct {
	// Line is the line's number in its file, from 1, and Text the line itself.
	Line int    `json:"line"`
	Text string `json:"text"`

	ID     int    `json:"-"`
	Parent int    `json:"-"`
	Device string `json:"-"` // "major:minor"
	// Root is the directory of the file system that is mounted, Point where.
	Root    string   `json:"root"`
	Point   string   `json:"point"`
	Options []string `json:"-"`
	// Shared is the peer group that mount events are exchanged with, 0 for none.
	Shared int      `json:"-"`
	Type   string   `json:"type"`
	Source string   `json:"-"`
	Super  []string `json:"-"`
}

// Parse reads a mountinfo in the order of its lines. A line that is not of the
// documented form is skipped: a newer kernel may add what this reader does not know.
func Parse(r io.Reader) ([]Mount, error) {
	var out []Mount
	s := mountinfo.Scanner(r)
	for n := 1; s.Scan(); n++ {
		if m, ok := parse(s.Text()); ok {
			m.Line = n
			out = append(out, m)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("mountinfo: %w", err)
	}
	return out, nil
}

// Read is Parse on a file.
func Read(file string) ([]Mount, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Parse(f)
}

func parse(line string) (Mount, bool) {
	from, ok := mountinfo.Parse(line)
	m := Mount{
		Text: line, ID: from.ID, Parent: from.Parent, Device: from.Device, Root: from.Root, Point: from.Point,
		Options: from.Options, Type: from.Type, Source: from.Source, Super: from.Super,
	}
	for _, tag := range from.Tags {
		if n, ok := strings.CutPrefix(tag, "shared:"); ok {
			m.Shared, _ = strconv.Atoi(n) // 0, not shared, for what is no number
		}
	}
	return m, ok
}

// ReadOnly reports whether nothing can be written through the mount, because it or its
// whole file system is read-only.
func (m Mount) ReadOnly() bool {
	return slices.Contains(m.Options, "ro") || slices.Contains(m.Super, "ro")
}

// IDMapped reports whether the mount shows other owners than the file system has
// (mount_setattr(2), MOUNT_ATTR_IDMAP).
func (m Mount) IDMapped() bool { return slices.Contains(m.Options, "idmapped") }

// Under reports whether p is dir or below it.
func Under(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// Over returns the mount that a path leads into: of those above it the deepest, and of
// several at one point the last, which hides the others.
func Over(all []Mount, p string) (Mount, bool) {
	best := -1
	for i, m := range all {
		if Under(p, m.Point) && (best < 0 || len(m.Point) >= len(all[best].Point)) {
			best = i
		}
	}
	if best < 0 {
		return Mount{}, false
	}
	return all[best], true
}

// HostPath returns where the directory that m shows is found among the host's mounts,
// "" when it is not to be seen there. Of several places it is the shortest.
func HostPath(host []Mount, m Mount) string {
	found := ""
	for _, h := range host {
		if h.Device != m.Device || !Under(m.Root, h.Root) {
			continue
		}
		p := path.Join(h.Point, strings.TrimPrefix(m.Root, h.Root))
		if top, ok := Over(host, p); !ok || top.Device != h.Device {
			continue // something else is mounted over it
		}
		if found == "" || len(p) < len(found) {
			found = p
		}
	}
	return found
}
