// Package checkpoint decides what of a container CRIU writes down and what belongs to
// others, and judges what has been made again before it may go on. It is pure: it reads
// what it is given.
package checkpoint

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"carob/internal/mountinfo"
)

// Mounts reads a mountinfo. What is judged by it must be understood: a line that is not is an
// error.
func Mounts(r io.Reader) (out []mountinfo.Mount, err error) {
	s := mountinfo.Scanner(r)
	for s.Scan() {
		m, ok := mountinfo.Parse(s.Text())
		if !ok {
			return nil, fmt.Errorf("mountinfo: %.80q is no mount", s.Text())
		}
		out = append(out, m)
	}
	return out, s.Err()
}

// External lists the mounts of a container that are not its own, by where they are: those
// that binds names, cgroups of v1, and whatever is part of a file system that the
// container does not have as a whole. A mask is none of them: it is a bind of the
// container's own null device.
func External(all []mountinfo.Mount, binds []string) (points []string) {
	foreign := func(m mountinfo.Mount) bool {
		return m.Type == "cgroup" || slices.Contains(binds, m.Point)
	}
	own := map[string]bool{}
	for _, m := range all {
		if m.Root == "/" && m.Point != "/" && !foreign(m) {
			own[m.Device] = true
		}
	}
	for _, m := range all {
		if m.Point != "/" && (foreign(m) || !own[m.Device]) && !slices.Contains(points, m.Point) {
			points = append(points, m.Point)
		}
	}
	return points
}

// Stream is one of the standard streams of a process that is written down.
type Stream struct {
	// Link is what /proc/PID/fd says of it, Mount and Inode where its file is.
	Link  string
	Mount int
	Inode uint64
}

// Key is CRIU's key for a stream that belongs to somebody else, "" for one that is the
// container's own.
func (s Stream) Key(all []mountinfo.Mount) string {
	inside := slices.ContainsFunc(all, func(m mountinfo.Mount) bool { return m.ID == s.Mount })
	switch {
	case strings.HasPrefix(s.Link, "pipe:["):
		return s.Link
	case inside, strings.HasPrefix(s.Link, "socket:["), strings.HasPrefix(s.Link, "anon_inode:"):
		return ""
	}
	return fmt.Sprintf("file[%x:%x]", s.Mount, s.Inode)
}

// External tells whether a key has to be given to a dump: one of a pipe need not.
func (s Stream) External(all []mountinfo.Mount) bool { return strings.HasPrefix(s.Key(all), "file[") }
