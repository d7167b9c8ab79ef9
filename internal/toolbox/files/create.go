package files

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

func cat(c *tool.Call) (int, error) {
	o, files, err := c.Parse("unb", "number=n")
	if err != nil {
		return 0, err
	}
	n := 0
	return 0, c.EachFile(files, func(name string, r io.Reader) error {
		if !o.Has('n') {
			_, err := io.Copy(c.Out, r)
			return err
		}
		for b := bufio.NewReader(r); ; {
			line, err := b.ReadString('\n')
			if line != "" {
				n++
				fmt.Fprintf(c.Out, "%6d\t%s", n, line)
			}
			if err != nil {
				return notEOF(err)
			}
		}
	})
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func mkdir(c *tool.Call) (int, error) {
	o, dirs, err := c.Operands(1, -1, "pvm:", "parents=p", "mode=m", "verbose=v")
	if err != nil {
		return 0, err
	}
	mode, err := newMode(o, 0o777)
	if err != nil {
		return 0, err
	}
	return 0, c.Each(dirs, func(dir string) error {
		if _, err := os.Stat(dir); err == nil && o.Has('p') && isDir(dir) {
			return nil
		}
		if o.Has('p') {
			if err := os.MkdirAll(filepath.Dir(strings.TrimRight(dir, "/")), 0o777); err != nil {
				return tool.Cannot("cannot create directory", failedAt(err, dir), err)
			}
		}
		if err := unix.Mkdir(dir, mode); err != nil {
			return tool.Cannot("cannot create directory", dir, err)
		}
		if o.Has('v') {
			fmt.Fprintf(c.Out, "mkdir: created directory '%s'\n", c.Shown(dir))
		}
		if o.Has('m') { // the umask is for modes that nobody asked for
			return unix.Chmod(dir, mode)
		}
		return nil
	})
}

// newMode is what -m says, or the mode that the umask is taken from.
func newMode(o tool.Options, otherwise uint32) (uint32, error) {
	if !o.Has('m') {
		return otherwise, nil
	}
	mode, err := changedMode(o['m'], otherwise, false, 0)
	if err != nil {
		return 0, fmt.Errorf("invalid mode '%s'", o['m'])
	}
	return mode, nil
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

func mkfifo(c *tool.Call) (int, error) {
	o, names, err := c.Operands(1, -1, "m:", "mode=m")
	if err != nil {
		return 0, err
	}
	mode, err := newMode(o, 0o666)
	if err != nil {
		return 0, err
	}
	return 0, c.Each(names, func(name string) error {
		if err := unix.Mkfifo(name, mode); err != nil {
			return tool.Cannot("cannot create fifo", name, err)
		}
		return nil
	})
}

func mknod(c *tool.Call) (int, error) {
	o, words, err := c.Operands(2, 4, "m:", "mode=m")
	if err != nil {
		return 0, err
	}
	mode, err := newMode(o, 0o666)
	if err != nil {
		return 0, err
	}
	kind, known := map[string]uint32{"b": unix.S_IFBLK, "c": unix.S_IFCHR, "u": unix.S_IFCHR, "p": unix.S_IFIFO}[words[1]]
	if !known || (words[1] == "p") != (len(words) == 2) || len(words) == 3 {
		return 0, errors.New("want NAME b|c|u MAJOR MINOR, or NAME p")
	}
	var numbers [2]uint64
	for i, w := range words[2:] {
		if numbers[i], err = strconv.ParseUint(w, 0, 20); err != nil { // the kernel's minors have 20 bits
			return 0, fmt.Errorf("invalid device number %q", w)
		}
	}
	device := unix.Mkdev(uint32(numbers[0]), uint32(numbers[1]))
	if err := unix.Mknod(words[0], kind|mode, int(device)); err != nil {
		return 0, tool.Cannot("cannot create node", words[0], err)
	}
	return 0, nil
}

func touch(c *tool.Call) (int, error) {
	o, names, err := c.Operands(1, -1, "acmr:d:", "no-create=c", "reference=r", "date=d")
	if err != nil {
		return 0, err
	}
	when, err := touchTime(o)
	if err != nil {
		return 0, err
	}
	access, change := when, when
	if o.Has('m') && !o.Has('a') {
		access = time.Time{} // stays as it is
	}
	if o.Has('a') && !o.Has('m') {
		change = time.Time{}
	}
	return 0, c.Each(names, func(name string) error {
		if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
			if o.Has('c') {
				return nil
			}
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
			if err != nil {
				return tool.Cannot("cannot touch", name, err)
			}
			f.Close()
		}
		if err := os.Chtimes(name, access, change); err != nil {
			return tool.Cannot("cannot touch", name, err)
		}
		return nil
	})
}

func touchTime(o tool.Options) (time.Time, error) {
	if o.Has('r') {
		fi, err := os.Stat(o['r'])
		if err != nil {
			return time.Time{}, tool.Cannot("failed to get attributes of", o['r'], err)
		}
		return fi.ModTime(), nil
	}
	if !o.Has('d') {
		return time.Now(), nil
	}
	if seconds, ok := strings.CutPrefix(o['d'], "@"); ok {
		if n, err := strconv.ParseInt(seconds, 10, 62); err == nil {
			return time.Unix(n, 0), nil
		}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, o['d'], time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, tool.Invalid("invalid date format '%s'", o['d'])
}

func truncate(c *tool.Call) (int, error) {
	o, names, err := c.Operands(1, -1, "cs:", "size=s", "no-create=c")
	if err != nil {
		return 0, err
	}
	if !o.Has('s') {
		return 0, tool.Misused("you must specify '--size'")
	}
	size, err := tool.ParseSize(o['s'])
	if err != nil {
		return 0, err
	}
	flags := os.O_WRONLY | os.O_CREATE
	if o.Has('c') {
		flags = os.O_WRONLY
	}
	return 0, c.Each(names, func(name string) error {
		f, err := os.OpenFile(name, flags, 0o666)
		if o.Has('c') && errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return tool.Cannot("cannot open", name, err)
		}
		defer f.Close()
		return f.Truncate(size)
	})
}

// mktemp replaces the last Xs of its template.
func mktemp(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(0, 1, "dqup:t", "directory=d", "quiet=q", "dry-run=u", "tmpdir=p")
	if err != nil {
		return 0, err
	}
	template := filepath.Join(orDefault(o['p'], orDefault(os.Getenv("TMPDIR"), "/tmp")), "tmp.XXXXXXXXXX")
	if len(rest) == 1 {
		if template = rest[0]; o.Has('p') || o.Has('t') {
			template = filepath.Join(orDefault(o['p'], orDefault(os.Getenv("TMPDIR"), "/tmp")), template)
		}
	}
	path, err := makeTemp(template, o)
	if err != nil {
		if o.Has('q') {
			return tool.Failed, nil
		}
		return 0, err
	}
	_, err = fmt.Fprintln(c.Out, path)
	return 0, err
}

func makeTemp(template string, o tool.Options) (string, error) {
	head := strings.TrimRight(template, "X")
	n := len(template) - len(head)
	if n < 3 {
		return "", tool.Invalid("too few X's in template '%s'", template)
	}
	for range 100 {
		path := head + (rand.Text() + rand.Text())[:min(n, 52)]
		err := error(nil)
		switch {
		case o.Has('u'):
		case o.Has('d'):
			err = os.Mkdir(path, 0o700)
		default:
			var f *os.File
			if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
				err = f.Close()
			}
		}
		if err == nil || !errors.Is(err, os.ErrExist) {
			if err != nil {
				err = fmt.Errorf("failed to create via template '%s': %s", template, tool.Why(err))
			}
			return path, err
		}
	}
	return "", fmt.Errorf("failed to create via template '%s': File exists", template)
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
