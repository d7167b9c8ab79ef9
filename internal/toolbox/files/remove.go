package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

func rm(c *tool.Call) (int, error) {
	o, names, err := c.Parse("rRfidv", "recursive=r", "force=f", "dir=d", "verbose=v")
	if err != nil {
		return 0, err
	}
	if len(names) == 0 && !o.Has('f') {
		return 0, tool.Misused("missing operand")
	}
	return 0, c.Each(names, func(name string) error { return removeOne(c, o, name) })
}

func removeOne(c *tool.Call, o tool.Options, name string) error {
	recursive := o.Has('r') || o.Has('R')
	err := removable(name, recursive, o.Has('d'))
	if o.Has('f') && isNot(err) {
		return nil
	}
	if err != nil || o.Has('i') && !o.Has('f') && !agreed(c, fmt.Sprintf("rm: remove '%s'? ", c.Shown(name))) {
		return err
	}
	remove := os.Remove
	if recursive {
		remove = os.RemoveAll
	}
	if err := remove(strings.TrimRight(name, "/")); err != nil {
		return tool.Cannot("cannot remove", failedAt(err, name), err)
	}
	if o.Has('v') {
		fmt.Fprintf(c.Out, "removed '%s'\n", c.Shown(name))
	}
	return nil
}

func removable(name string, recursive, dirs bool) error {
	fi, err := os.Lstat(name)
	switch {
	case err == nil && recursive:
		return tooMuch(name)
	case err == nil && fi.IsDir() && !dirs:
		err = syscall.EISDIR
	}
	if err != nil {
		return tool.Cannot("cannot remove", name, err)
	}
	return nil
}

// tooMuch refuses what nobody means.
func tooMuch(name string) error {
	if base := filepath.Base(name); base == "." || base == ".." {
		return fmt.Errorf("refusing to remove '.' or '..' directory: skipping '%s'", name)
	}
	if filepath.Clean(name) == "/" {
		return errors.New("it is dangerous to operate recursively on '/'")
	}
	return nil
}

// isNot reports whether an error means that there is no such file.
func isNot(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// failedAt is the path in an error, which deep in a tree is not the operand.
func failedAt(err error, otherwise string) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Path
	}
	return otherwise
}

// agreed asks a person. It reads no more than the line.
func agreed(c *tool.Call, question string) bool {
	fmt.Fprint(c.Err, question)
	var answer []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(c.In, b); err != nil || b[0] == '\n' {
			break
		}
		answer = append(answer, b[0])
	}
	return len(answer) > 0 && (answer[0] == 'y' || answer[0] == 'Y')
}

func rmdir(c *tool.Call) (int, error) {
	o, dirs, err := c.Operands(1, -1, "p", "parents=p")
	if err != nil {
		return 0, err
	}
	return 0, c.Each(dirs, func(dir string) error {
		for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
			if err := unix.Rmdir(dir); err != nil {
				return tool.Cannot("failed to remove", dir, err)
			}
			if up := filepath.Dir(dir); !o.Has('p') || up == "." || up == "/" {
				return nil
			}
		}
	})
}
