package kube

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// parseMountinfo reads the fifth field of proc_pid_mountinfo(5) lines.
func parseMountinfo(r io.Reader, dir string) ([]string, error) {
	var found []string
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if f := strings.Fields(line); len(f) >= 5 {
			at := unescape(f[4])
			if at == dir || strings.HasPrefix(at, strings.TrimSuffix(dir, "/")+"/") {
				found = append(found, at)
			}
		} else if line != "" && line != "\n" {
			return nil, fmt.Errorf("mountinfo: line %q", line)
		}
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// unescape resolves \040 and the like: the kernel escapes space, tab, newline,
// backslash and # as three octal digits.
func unescape(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+4 > len(s) {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
			b.WriteByte(byte(n))
		} else {
			b.WriteString(s[i : i+4])
		}
		s = s[i+4:]
	}
}
