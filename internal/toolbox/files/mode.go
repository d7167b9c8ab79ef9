package files

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

var errMode = errors.New("invalid mode")

// changedMode is a file's mode after chmod(1)'s octal or symbolic spec. Without a "who",
// letters that the umask holds back are left alone.
func changedMode(spec string, old uint32, dir bool, umask uint32) (uint32, error) {
	if n, err := strconv.ParseUint(spec, 8, 12); err == nil {
		return uint32(n), nil
	}
	mode := old & 0o7777
	for clause := range strings.SplitSeq(spec, ",") {
		who := clause[:len(clause)-len(strings.TrimLeft(clause, "ugoa"))]
		rest := clause[len(who):]
		if rest == "" {
			return 0, errMode
		}
		for rest != "" {
			end := 1
			for end < len(rest) && strings.IndexByte("+-=", rest[end]) < 0 {
				end++
			}
			var err error
			if mode, err = applyClause(mode, who, rest[:end], modeContext{dir, umask}); err != nil {
				return 0, err
			}
			rest = rest[end:]
		}
	}
	return mode, nil
}

type modeContext struct {
	dir   bool
	umask uint32
}

// applyClause applies one operator with its letters, such as "+x" or "=rw".
func applyClause(mode uint32, who, action string, c modeContext) (uint32, error) {
	op, letters := action[0], action[1:]
	if strings.IndexByte("+-=", op) < 0 {
		return 0, errMode
	}
	mask := whoMask(who)
	bits, err := modeBits(mode, letters, c.dir)
	if err != nil {
		return 0, err
	}
	bits &= mask
	if who == "" {
		bits &^= c.umask
		mask &^= c.umask
	}
	switch op {
	case '+':
		return mode | bits, nil
	case '-':
		return mode &^ bits, nil
	}
	keep := uint32(0)
	if c.dir {
		keep = 0o6000 // as GNU's: a directory's set-id bits are kept unless named
	}
	return mode&^(mask&^keep) | bits, nil
}

// whoMask are the bits that who may change; t belongs to everybody.
func whoMask(who string) uint32 {
	if who == "" || strings.Contains(who, "a") {
		return 0o7777
	}
	mask := uint32(0)
	for _, w := range who {
		mask |= map[rune]uint32{'u': 0o4700, 'g': 0o2070, 'o': 0o1007}[w]
	}
	return mask
}

func modeBits(mode uint32, letters string, dir bool) (uint32, error) {
	bits := uint32(0)
	for _, l := range letters {
		switch l {
		case 'r':
			bits |= 0o444
		case 'w':
			bits |= 0o222
		case 'x':
			bits |= 0o111
		case 'X':
			if dir || mode&0o111 != 0 {
				bits |= 0o111
			}
		case 's':
			bits |= 0o6000
		case 't':
			bits |= 0o1000
		case 'u', 'g', 'o':
			one := mode >> map[rune]uint32{'u': 6, 'g': 3, 'o': 0}[l] & 7
			bits |= one<<6 | one<<3 | one
		default:
			return 0, errMode
		}
	}
	return bits, nil
}

// chmod's mode may look like an option, such as -x.
func chmod(c *tool.Call) (int, error) {
	recursive, operands, err := chmodArgs(c.Args)
	if err != nil {
		return 0, err
	}
	spec := operands[0]
	umask := uint32(unix.Umask(0))
	unix.Umask(int(umask))
	if _, err := changedMode(spec, 0, false, umask); err != nil {
		return 0, tool.Invalid("invalid mode: '%s'", spec)
	}
	one := func(path string) error {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return tool.Cannot("cannot access", path, err)
		}
		mode, err := changedMode(spec, st.Mode, st.Mode&unix.S_IFMT == unix.S_IFDIR, umask)
		if err == nil {
			err = unix.Chmod(path, mode)
		}
		if err != nil {
			return tool.Cannot("changing permissions of", path, err)
		}
		return nil
	}
	return 0, c.Each(operands[1:], func(path string) error { return below(path, recursive, one) })
}

// chmodArgs takes the options apart from a mode that begins with a dash.
func chmodArgs(args []string) (recursive bool, operands []string, err error) {
	for i, a := range args {
		switch {
		case a == "--":
			operands = append(operands, args[i+1:]...)
		case a == "-R" || a == "--recursive":
			recursive = true
			continue
		case slices.Contains([]string{"-v", "-f", "-c"}, a):
			continue
		case len(a) > 1 && a[0] == '-' && (len(operands) > 0 || strings.Trim(a, "rwxXstugo,=+-") != ""):
			return false, nil, tool.Misused("invalid option -- '%s'", strings.TrimLeft(a, "-"))
		default:
			operands = append(operands, a)
			continue
		}
		break
	}
	return recursive, operands, tool.AtLeast(2, operands)
}

// below calls do for a path, or with recursive for everything below it that is no link.
func below(path string, recursive bool, do func(path string) error) error {
	if !recursive {
		return do(path)
	}
	var errs []error
	err := filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			errs = append(errs, tool.Cannot("cannot access", at, err))
		case d.Type()&fs.ModeSymlink == 0 || at == path:
			errs = append(errs, do(at))
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

func chown(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(2, -1, "Rhvfc", "recursive=R", "no-dereference=h")
	if err != nil {
		return 0, err
	}
	uid, gid, err := owner(rest[0])
	if err != nil {
		return 0, err
	}
	return 0, changeOwner(c, o, ids{uid, gid}, rest[1:])
}

func chgrp(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(2, -1, "Rhvfc", "recursive=R", "no-dereference=h")
	if err != nil {
		return 0, err
	}
	_, gid, err := owner(":" + rest[0])
	if err != nil {
		return 0, err
	}
	return 0, changeOwner(c, o, ids{-1, gid}, rest[1:])
}

// ids are an owner and a group; -1 leaves one as it is.
type ids struct{ uid, gid int }

func changeOwner(c *tool.Call, o tool.Options, who ids, paths []string) error {
	change := os.Chown
	if o.Has('h') || o.Has('R') {
		change = os.Lchown
	}
	return c.Each(paths, func(path string) error {
		return below(path, o.Has('R'), func(path string) error {
			err := change(path, who.uid, who.gid)
			switch {
			case errors.Is(err, os.ErrNotExist):
				return tool.Cannot("cannot access", path, err)
			case err != nil:
				return tool.Cannot("changing ownership of", path, err)
			}
			return nil
		})
	})
}

// owner reads USER[:GROUP] by name or number; what is left out is -1.
func owner(s string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(s, ":")
	uid, gid = -1, -1
	if name != "" {
		if uid, err = strconv.Atoi(name); err != nil || uid < 0 {
			u, e := user.Lookup(name)
			if e != nil {
				return 0, 0, errors.New("invalid user: '" + s + "'")
			}
			uid, _ = strconv.Atoi(u.Uid) // a number on this system
		}
	}
	if group != "" {
		if gid, err = strconv.Atoi(group); err != nil || gid < 0 {
			g, e := user.LookupGroup(group)
			if e != nil {
				return 0, 0, errors.New("invalid group: '" + strings.TrimPrefix(s, ":") + "'")
			}
			gid, _ = strconv.Atoi(g.Gid)
		}
	}
	return uid, gid, nil
}
