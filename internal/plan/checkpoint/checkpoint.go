// Package checkpoint decides what of a container CRIU writes down and what belongs to
// others, and judges what has been made again before it may go on. It is pure: it reads
// what it is given.
package checkpoint

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Mount is one mount of a container, as /proc/PID/mountinfo has it.
type Mount struct {
	ID int
	// Device is the file system's, Root the directory of it that is mounted, Point where.
	Device, Root, Point, Type string
	// ReadOnly is a mount, or its whole file system, through which nothing can be written.
	ReadOnly bool
}

// longest is the longest line that is read; an overlay of 500 layers stays below it.
const longest = 1 << 20

// Mounts reads a mountinfo (proc_pid_mountinfo(5)).
func Mounts(r io.Reader) (out []Mount, err error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), longest)
	for s.Scan() {
		left, right, ok := strings.Cut(s.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 1 {
			return nil, fmt.Errorf("mountinfo: %.80q is no mount", s.Text())
		}
		id, err := strconv.Atoi(l[0])
		if err != nil {
			return nil, fmt.Errorf("mountinfo: %w", err)
		}
		m := Mount{ID: id, Device: l[2], Root: unescape(l[3]), Point: unescape(l[4]), Type: r[0]}
		m.ReadOnly = slices.Contains(strings.Split(l[5], ","), "ro") || len(r) > 2 && slices.Contains(strings.Split(r[2], ","), "ro")
		out = append(out, m)
	}
	return out, s.Err()
}

// unescape undoes the kernel's \ooo for blanks, line ends and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// External lists the mounts of a container that are not its own, by where they are: those
// that binds names, cgroups of v1, and whatever is part of a file system that the
// container does not have as a whole. A mask is none of them: it is a bind of the
// container's own null device.
func External(all []Mount, binds []string) (points []string) {
	foreign := func(m Mount) bool {
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
func (s Stream) Key(all []Mount) string {
	inside := slices.ContainsFunc(all, func(m Mount) bool { return m.ID == s.Mount })
	switch {
	case strings.HasPrefix(s.Link, "pipe:["):
		return s.Link
	case inside, strings.HasPrefix(s.Link, "socket:["), strings.HasPrefix(s.Link, "anon_inode:"):
		return ""
	}
	return fmt.Sprintf("file[%x:%x]", s.Mount, s.Inode)
}

// External tells whether a key has to be given to a dump: one of a pipe need not.
func (s Stream) External(all []Mount) bool { return strings.HasPrefix(s.Key(all), "file[") }
