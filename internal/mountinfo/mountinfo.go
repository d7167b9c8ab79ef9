// Package mountinfo reads lines of /proc/PID/mountinfo (proc_pid_mountinfo(5)). It is pure:
// whoever has the file reads it through Scanner.
package mountinfo

import (
	"bufio"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Mount is one line.
type Mount struct {
	ID, Parent int
	// Device is the file system's "major:minor", Root the directory of it that is mounted, Point
	// where.
	Device, Root, Point string
	// Options are the mount's, Tags its optional fields ("shared:7"), Super its file system's.
	Options, Tags, Super []string
	Type, Source         string
}

// longest is the longest line that is read; an overlay of 500 layers stays below it.
const longest = 1 << 20

// Scanner reads the lines of a mountinfo.
func Scanner(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), longest)
	return s
}

// Parse reads a line; one that is not of the documented form is none.
func Parse(line string) (m Mount, ok bool) {
	left, right, ok := strings.Cut(line, " - ")
	l, r := strings.Fields(left), strings.Split(right, " ") // a source may be empty
	if !ok || len(l) < 6 || len(r) < 2 || r[0] == "" {
		return m, false
	}
	id, err1 := strconv.Atoi(l[0])
	parent, err2 := strconv.Atoi(l[1])
	if err1 != nil || err2 != nil {
		return m, false
	}
	m = Mount{
		ID: id, Parent: parent, Device: l[2], Root: unescape(l[3]), Point: unescape(l[4]),
		Options: strings.Split(l[5], ","), Tags: l[6:], Type: r[0], Source: unescape(r[1]),
	}
	if len(r) > 2 {
		m.Super = strings.Split(r[2], ",")
	}
	return m, true
}

// ReadOnly reports whether nothing can be written through the mount, because it or its
// whole file system is read-only.
func (m Mount) ReadOnly() bool {
	return slices.Contains(m.Options, "ro") || slices.Contains(m.Super, "ro")
}

// unescape undoes the kernel's \ooo for blanks, line ends, backslashes and '#'.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
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
