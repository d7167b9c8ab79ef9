package files

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

func ln(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(1, -1, "sfnvT", "symbolic=s", "force=f", "no-dereference=n", "verbose=v", "no-target-directory=T")
	if err != nil {
		return 0, err
	}
	if len(rest) == 1 {
		rest = append(rest, ".")
	}
	to := rest[len(rest)-1]
	if fi, err := os.Lstat(to); err == nil && fi.Mode()&os.ModeSymlink != 0 && o.Has('n') {
		o['T'] = ""
	}
	targets, link, err := destinations(rest, o.Has('T'))
	if err != nil {
		return 0, err
	}
	return 0, c.Each(targets, func(target string) error { return linkOne(c, o, target, link(target)) })
}

func linkOne(c *tool.Call, o tool.Options, target, link string) error {
	what, make := "failed to create symbolic link", os.Symlink
	if !o.Has('s') {
		what, make = "failed to create hard link", os.Link
		if _, err := os.Lstat(target); err != nil {
			return tool.Cannot("failed to access", target, err)
		}
	}
	if o.Has('f') {
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return tool.Cannot("cannot remove", link, err)
		}
	}
	if err := make(target, link); err != nil {
		return tool.Cannot(what, link, err)
	}
	if o.Has('v') {
		fmt.Fprintf(c.Out, "'%s' -> '%s'\n", c.Shown(link), c.Shown(target))
	}
	return nil
}

// readlink says nothing of what is no link, as its manual has it.
func readlink(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(1, -1, "fenq", "canonicalize=f", "no-newline=n")
	if err != nil {
		return 0, err
	}
	code := 0
	for _, path := range rest {
		to, err := os.Readlink(path)
		if o.Has('f') || o.Has('e') {
			to, err = resolved(path, o.Has('e'))
		}
		if err != nil {
			code = tool.Failed
			continue
		}
		if fmt.Fprint(c.Out, to); !o.Has('n') {
			fmt.Fprintln(c.Out)
		}
	}
	return code, nil
}

// resolved is an absolute path without links. Only its last part may be missing, and
// that not where all must exist.
func resolved(path string, all bool) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if all || !errors.Is(err, os.ErrNotExist) {
		return real, err
	}
	up, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(up, filepath.Base(path)), err
}

func realpath(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(1, -1, "e")
	if err != nil {
		return 0, err
	}
	return 0, c.Each(rest, func(path string) error {
		to, err := resolved(path, o.Has('e'))
		if err != nil {
			return fmt.Errorf("%s: %s", path, tool.Why(err))
		}
		_, err = fmt.Fprintln(c.Out, c.Shown(to))
		return err
	})
}

// stat knows coreutils' format letters a A b B d f F g G h i n N s t T u U X Y Z x y z.
func stat(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(1, -1, "c:L", "format=c", "dereference=L")
	if err != nil {
		return 0, err
	}
	format := orDefault(o['c'], "  File: %N\n  Size: %s\tBlocks: %b\t%F\nDevice: %d\tInode: %i\tLinks: %h\nAccess: (%a/%A)  Uid: (%u/%U)  Gid: (%g/%G)\nAccess: %x\nModify: %y\nChange: %z")
	look := unix.Lstat
	if o.Has('L') {
		look = unix.Stat
	}
	return 0, c.Each(rest, func(path string) error {
		var st unix.Stat_t
		if err := look(path, &st); err != nil {
			return tool.Cannot("cannot stat", path, err)
		}
		_, err := fmt.Fprintln(c.Out, statLine(format, c.Shown(path), &st))
		return err
	})
}

func statLine(format, path string, st *unix.Stat_t) string {
	n := func(v any) string { return fmt.Sprint(v) }
	full := func(t unix.Timespec) string { return time.Unix(t.Unix()).Format("2006-01-02 15:04:05.000000000 -0700") }
	name := path
	if to, err := os.Readlink(path); err == nil {
		name += " -> " + tool.Printable(to)
	}
	return strings.NewReplacer(
		"%%", "%", "%n", path, "%N", name, "%F", kindText(st), "%s", n(st.Size), "%a", strconv.FormatUint(uint64(st.Mode&0o7777), 8), "%A", modeText(st.Mode),
		"%b", n(st.Blocks), "%B", "512", "%f", strconv.FormatUint(uint64(st.Mode), 16), "%t", strconv.FormatUint(uint64(unix.Major(st.Rdev)), 16),
		"%T", strconv.FormatUint(uint64(unix.Minor(st.Rdev)), 16), "%u", n(st.Uid), "%g", n(st.Gid), "%U", userName(st.Uid), "%G", groupName(st.Gid),
		"%d", n(st.Dev), "%i", n(st.Ino), "%h", n(st.Nlink), "%X", n(st.Atim.Sec), "%Y", n(st.Mtim.Sec), "%Z", n(st.Ctim.Sec),
		"%x", full(st.Atim), "%y", full(st.Mtim), "%z", full(st.Ctim),
	).Replace(format)
}

func kindText(st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if st.Size == 0 {
			return "regular empty file"
		}
		return "regular file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFBLK:
		return "block special file"
	}
	return "character special file"
}

func userName(uid uint32) string {
	n := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(n); err == nil {
		return u.Username
	}
	return n
}

func groupName(gid uint32) string {
	n := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(n); err == nil {
		return g.Name
	}
	return n
}
