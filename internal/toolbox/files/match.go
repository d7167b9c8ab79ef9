package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

func nameMatch(fold bool) func(string) (condition, error) {
	return func(pattern string) (condition, error) {
		if fold {
			pattern = strings.ToLower(pattern)
		}
		if _, err := filepath.Match(pattern, ""); err != nil {
			return nil, tool.Invalid("bad pattern '%s'", pattern)
		}
		return func(v *visited) bool {
			name := v.name
			if fold {
				name = strings.ToLower(name)
			}
			ok, _ := filepath.Match(pattern, name) // the pattern has been tried
			return ok
		}, nil
	}
}

// pathMatch is like nameMatch for whole paths, where * and ? match slashes too. Go's
// matcher does not, so slashes are another letter to it.
func pathMatch(pattern string) (condition, error) {
	const letter = "\x01"
	pattern = strings.ReplaceAll(pattern, "/", letter)
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, tool.Invalid("bad pattern '%s'", pattern)
	}
	return func(v *visited) bool {
		ok, _ := filepath.Match(pattern, strings.ReplaceAll(v.path, "/", letter))
		return ok
	}, nil
}

func typeMatch(letters string) (condition, error) {
	kinds := map[string]uint32{
		"f": unix.S_IFREG, "d": unix.S_IFDIR, "l": unix.S_IFLNK, "p": unix.S_IFIFO, "s": unix.S_IFSOCK, "b": unix.S_IFBLK, "c": unix.S_IFCHR,
	}
	wanted := map[uint32]bool{}
	for letter := range strings.SplitSeq(letters, ",") {
		kind, ok := kinds[letter]
		if !ok {
			return nil, tool.Invalid("unknown argument to -type: '%s'", letter)
		}
		wanted[kind] = true
	}
	return func(v *visited) bool { return wanted[v.st.Mode&unix.S_IFMT] }, nil
}

// compared reads find's +N (more), -N (less) and N.
func compared(text string) (func(n int64) bool, error) {
	digits := strings.TrimLeft(text, "+-")
	want, err := strconv.ParseInt(digits, 10, 62)
	if err != nil || len(text)-len(digits) > 1 {
		return nil, tool.Invalid("'%s' is no number", text)
	}
	switch text[0] {
	case '+':
		return func(n int64) bool { return n > want }, nil
	case '-':
		return func(n int64) bool { return n < want }, nil
	}
	return func(n int64) bool { return n == want }, nil
}

// sizeMatch counts blocks of 512 bytes, or with a letter other units, rounded up.
func sizeMatch(text string) (condition, error) {
	unit := int64(512)
	for letter, n := range map[string]int64{"c": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30} {
		if t, ok := strings.CutSuffix(text, letter); ok {
			text, unit = t, n
			break
		}
	}
	ok, err := compared(text)
	return func(v *visited) bool { return ok((v.st.Size + unit - 1) / unit) }, err
}

func (s *search) ageMatch(unit time.Duration) func(string) (condition, error) {
	return func(text string) (condition, error) {
		ok, err := compared(text)
		return func(v *visited) bool { return ok(int64(s.now.Sub(time.Unix(v.st.Mtim.Unix())) / unit)) }, err
	}
}

func newerMatch(path string) (condition, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, tool.Why(err))
	}
	return func(v *visited) bool { return time.Unix(v.st.Mtim.Unix()).After(fi.ModTime()) }, nil
}

func userMatch(name string) (condition, error) {
	if u, err := user.Lookup(name); err == nil {
		name = u.Uid
	}
	uid, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		return nil, tool.Invalid("'%s' is not the name of a known user", name)
	}
	return func(v *visited) bool { return uint64(v.st.Uid) == uid }, nil
}

// permMatch: MODE is exactly these bits, -MODE all of them, /MODE any of them.
func permMatch(text string) (condition, error) {
	digits := strings.TrimLeft(text, "-/")
	want64, err := strconv.ParseUint(digits, 8, 12)
	if err != nil {
		return nil, tool.Invalid("invalid mode '%s'", text)
	}
	want := uint32(want64)
	return func(v *visited) bool {
		mode := v.st.Mode & 0o7777
		switch text[0] {
		case '-':
			return mode&want == want
		case '/':
			return want == 0 || mode&want != 0
		}
		return mode == want
	}, nil
}

func empty(v *visited) bool {
	switch v.st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return v.st.Size == 0
	case unix.S_IFDIR:
		d, err := os.Open(v.path)
		if err != nil {
			return false
		}
		defer d.Close()
		_, err = d.Readdirnames(1)
		return errors.Is(err, io.EOF)
	}
	return false
}
