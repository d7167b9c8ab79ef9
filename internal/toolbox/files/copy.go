package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

// copying is what cp's options ask for.
type copying struct {
	c         *tool.Call
	recursive bool
	preserve  bool // mode in full, owner, times
	links     bool // a link named as an operand is copied as one
	force     bool
	keepOld   bool
	verbose   bool
}

func cp(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(2, -1, "rRapdLPfnvT", "recursive=r", "archive=a", "force=f", "no-clobber=n", "verbose=v", "no-target-directory=T")
	if err != nil {
		return 0, err
	}
	k := copying{
		c: c, recursive: o.Has('r') || o.Has('R') || o.Has('a'), preserve: o.Has('p') || o.Has('a'),
		force: o.Has('f'), keepOld: o.Has('n'), verbose: o.Has('v'),
	}
	k.links = !o.Has('L') && (k.recursive || o.Has('d') || o.Has('P'))
	sources, target, err := destinations(rest, o.Has('T'))
	if err != nil {
		return 0, err
	}
	return 0, c.Each(sources, func(source string) error { return k.operand(source, target(source)) })
}

// destinations tells where each source goes: into a directory, or to a name.
func destinations(operands []string, asName bool) (sources []string, target func(source string) string, err error) {
	last := len(operands) - 1
	sources, to := operands[:last], operands[last]
	if !asName && isDir(to) {
		return sources, func(source string) string { return filepath.Join(to, filepath.Base(source)) }, nil
	}
	if len(sources) > 1 {
		return nil, nil, fmt.Errorf("target '%s': Not a directory", to)
	}
	return sources, func(string) string { return to }, nil
}

// operand copies what the command line names.
func (k copying) operand(source, target string) error {
	look := os.Stat
	if k.links {
		look = os.Lstat
	}
	fi, err := look(source)
	if err != nil {
		return tool.Cannot("cannot stat", source, err)
	}
	if fi.IsDir() {
		if !k.recursive {
			return fmt.Errorf("-r not specified; omitting directory '%s'", source)
		}
		if within(target, source) {
			return fmt.Errorf("cannot copy a directory, '%s', into itself, '%s'", source, target)
		}
	}
	if old, err := os.Stat(target); err == nil && os.SameFile(fi, old) {
		return fmt.Errorf("'%s' and '%s' are the same file", source, target)
	}
	return k.copy(source, target, fi)
}

// within reports whether a path is the directory or below it, links resolved as far as
// the path exists.
func within(path, dir string) bool {
	resolve := func(p string) string {
		p, err := filepath.Abs(p)
		if err != nil {
			return p
		}
		if real, err := filepath.EvalSymlinks(p); err == nil {
			return real
		}
		up, err := filepath.EvalSymlinks(filepath.Dir(p))
		if err != nil {
			return p
		}
		return filepath.Join(up, filepath.Base(p))
	}
	return strings.HasPrefix(resolve(path)+"/", resolve(dir)+"/")
}

func (k copying) copy(source, target string, fi os.FileInfo) error {
	if _, err := os.Lstat(target); err == nil && k.keepOld && !fi.IsDir() {
		return nil
	}
	var err error
	switch kind := fi.Mode().Type(); {
	case kind == os.ModeDir:
		err = k.directory(source, target, fi)
	case kind == os.ModeSymlink:
		err = copyLink(source, target)
	case kind == 0 || !k.recursive:
		err = k.content(source, target, fi)
	default:
		err = copySpecial(target, fi)
	}
	if k.verbose && err == nil {
		fmt.Fprintf(k.c.Out, "'%s' -> '%s'\n", k.c.Shown(source), k.c.Shown(target))
	}
	if err != nil {
		return err
	}
	return k.attributes(target, fi)
}

// directory copies what is in it; the copy is writable until it is filled.
func (k copying) directory(source, target string, fi os.FileInfo) error {
	err := os.Mkdir(target, fi.Mode().Perm()|0o700)
	made := err == nil
	if errors.Is(err, os.ErrExist) && isDir(target) {
		err = nil
	}
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("cannot overwrite non-directory '%s' with directory '%s'", target, source)
	}
	if err != nil {
		return tool.Cannot("cannot create directory", target, err)
	}
	entries, err := os.ReadDir(source)
	if err != nil {
		return tool.Cannot("cannot access", source, err)
	}
	var errs []error
	for _, e := range entries {
		from := filepath.Join(source, e.Name())
		fi, err := os.Lstat(from)
		if err != nil {
			errs = append(errs, tool.Cannot("cannot stat", from, err))
			continue
		}
		errs = append(errs, k.copy(from, filepath.Join(target, e.Name()), fi))
	}
	if made && fi.Mode().Perm()&0o700 != 0o700 {
		errs = append(errs, os.Chmod(target, fi.Mode().Perm()))
	}
	return errors.Join(errs...)
}

func copyLink(source, target string) error {
	to, err := os.Readlink(source)
	if err != nil {
		return tool.Cannot("cannot read symbolic link", source, err)
	}
	if fi, err := os.Lstat(target); err == nil && !fi.IsDir() {
		_ = os.Remove(target) // what it cannot remove is found by the next line
	}
	if err := os.Symlink(to, target); err != nil {
		return tool.Cannot("cannot create symbolic link", target, err)
	}
	return nil
}

func copySpecial(target string, fi os.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("cannot create special file '%s'", target)
	}
	_ = os.Remove(target)
	if err := unix.Mknod(target, st.Mode, int(st.Rdev)); err != nil {
		return tool.Cannot("cannot create special file", target, err)
	}
	return nil
}

func (k copying) content(source, target string, fi os.FileInfo) error {
	in, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("cannot open '%s' for reading: %s", source, tool.Why(err))
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fi.Mode().Perm())
	if err != nil && k.force && os.Remove(target) == nil {
		out, err = os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fi.Mode().Perm())
	}
	switch {
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("cannot overwrite directory '%s' with non-directory", target)
	case err != nil:
		return tool.Cannot("cannot create regular file", target, err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return tool.Cannot("error writing", target, err)
	}
	return nil
}

// attributes are copied by -p. Only root may give files away; for others, as with
// coreutils, the copy stays theirs, without set-id bits.
func (k copying) attributes(target string, fi os.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !k.preserve || !ok {
		return nil
	}
	mode := st.Mode & 0o7777
	if err := os.Lchown(target, int(st.Uid), int(st.Gid)); err != nil {
		mode &^= 0o6000
	}
	if fi.Mode().Type() == os.ModeSymlink {
		return nil
	}
	if err := unix.Chmod(target, mode); err != nil {
		return tool.Cannot("preserving permissions for", target, err)
	}
	if err := os.Chtimes(target, time.Unix(st.Atim.Unix()), fi.ModTime()); err != nil {
		return tool.Cannot("preserving times for", target, err)
	}
	return nil
}

func mv(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(2, -1, "fnvT", "force=f", "no-clobber=n", "verbose=v", "no-target-directory=T")
	if err != nil {
		return 0, err
	}
	sources, target, err := destinations(rest, o.Has('T'))
	if err != nil {
		return 0, err
	}
	return 0, c.Each(sources, func(source string) error { return moveOne(c, o, source, target(source)) })
}

func moveOne(c *tool.Call, o tool.Options, source, target string) error {
	fi, err := os.Lstat(source)
	if err != nil {
		return tool.Cannot("cannot stat", source, err)
	}
	if old, err := os.Lstat(target); err == nil {
		if os.SameFile(fi, old) {
			return fmt.Errorf("'%s' and '%s' are the same file", source, target)
		}
		if o.Has('n') {
			return nil
		}
	}
	err = unix.Rename(source, target)
	if errors.Is(err, unix.EXDEV) { // between a container's layer and a volume, say
		if err := (copying{c: c, recursive: true, preserve: true, links: true, force: true}).operand(source, target); err != nil {
			return err
		}
		if err := os.RemoveAll(source); err != nil {
			return tool.Cannot("cannot remove", failedAt(err, source), err)
		}
		err = nil
	}
	switch {
	case errors.Is(err, unix.EISDIR):
		return fmt.Errorf("cannot overwrite directory '%s' with non-directory", target)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("cannot move '%s' to a subdirectory of itself, '%s'", source, target)
	case err != nil:
		return fmt.Errorf("cannot move '%s' to '%s': %s", source, target, tool.Why(err))
	case o.Has('v'):
		fmt.Fprintf(c.Out, "renamed '%s' -> '%s'\n", c.Shown(source), c.Shown(target))
	}
	return nil
}
