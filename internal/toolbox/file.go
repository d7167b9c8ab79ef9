package toolbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func fileTools() []applet {
	return []applet{
		{"chown", chown}, {"dd", dd}, {"df", df}, {"ln", ln}, {"mount", mount}, {"readlink", readlink},
		{"stat", stat}, {"sync", syncAll}, {"umount", umount}, {"which", which}, {"basename", basename}, {"dirname", dirname},
	}
}

func basename(c *call) (int, error) {
	if len(c.args) == 0 {
		return codeUsage, errors.New("usage: basename PATH [SUFFIX]")
	}
	name := filepath.Base(c.args[0])
	if len(c.args) > 1 {
		name = strings.TrimSuffix(name, c.args[1])
	}
	_, err := fmt.Fprintln(c.stdout, name)
	return 0, err
}

func dirname(c *call) (int, error) {
	if len(c.args) == 0 {
		return codeUsage, errors.New("usage: dirname PATH")
	}
	_, err := fmt.Fprintln(c.stdout, filepath.Dir(c.args[0]))
	return 0, err
}

func chown(c *call) (int, error) {
	o, rest, err := c.parse("Rh")
	if err != nil || len(rest) < 2 {
		return codeUsage, errors.Join(err, errors.New("usage: chown [-Rh] USER[:GROUP] FILE…"))
	}
	uid, gid, err := owner(rest[0])
	if err != nil {
		return 0, err
	}
	for _, path := range rest[1:] {
		change := func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, uid, gid)
		}
		switch {
		case o.has('R'):
			err = errors.Join(err, filepath.WalkDir(path, change))
		case o.has('h'):
			err = errors.Join(err, os.Lchown(path, uid, gid))
		default:
			err = errors.Join(err, os.Chown(path, uid, gid))
		}
	}
	return 0, err
}

// owner reads USER[:GROUP] by name or number; what is left out is -1.
func owner(s string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(s, ":")
	uid, gid = -1, -1
	if name != "" {
		if uid, err = strconv.Atoi(name); err != nil {
			u, e := user.Lookup(name)
			if e != nil {
				return 0, 0, e
			}
			uid, _ = strconv.Atoi(u.Uid) // a number on this system
		}
	}
	if group != "" {
		if gid, err = strconv.Atoi(group); err != nil {
			g, e := user.LookupGroup(group)
			if e != nil {
				return 0, 0, e
			}
			gid, _ = strconv.Atoi(g.Gid)
		}
	}
	return uid, gid, nil
}

func ln(c *call) (int, error) {
	o, rest, err := c.parse("sfn")
	if err != nil || len(rest) == 0 || len(rest) > 2 {
		return codeUsage, errors.Join(err, errors.New("usage: ln [-sf] TARGET [LINK]"))
	}
	target, link := rest[0], filepath.Base(rest[0])
	if len(rest) == 2 {
		link = rest[1]
	}
	if fi, err := os.Stat(link); err == nil && fi.IsDir() && !o.has('n') {
		link = filepath.Join(link, filepath.Base(target))
	}
	if o.has('f') {
		if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
			return 0, err
		}
	}
	if o.has('s') {
		return 0, os.Symlink(target, link)
	}
	return 0, os.Link(target, link)
}

func readlink(c *call) (int, error) {
	o, rest, err := c.parse("fn")
	if err != nil || len(rest) == 0 {
		return codeUsage, errors.Join(err, errors.New("usage: readlink [-fn] FILE…"))
	}
	for _, path := range rest {
		var to string
		if o.has('f') {
			if to, err = filepath.EvalSymlinks(path); err == nil {
				to, err = filepath.Abs(to)
			}
		} else {
			to, err = os.Readlink(path)
		}
		if err != nil {
			return codeFailed, nil //nolint:nilerr // readlink(1) says nothing
		}
		if fmt.Fprint(c.stdout, to); !o.has('n') {
			fmt.Fprintln(c.stdout)
		}
	}
	return 0, nil
}

// stat knows coreutils' format letters a A d F g G h i n N s u U X Y Z.
func stat(c *call) (int, error) {
	o, rest, err := c.parse("c:L")
	if err != nil || len(rest) == 0 {
		return codeUsage, errors.Join(err, errors.New("usage: stat [-L] [-c FORMAT] FILE…"))
	}
	format := o['c']
	if format == "" {
		format = "%n: %F, size %s, mode %a (%A), owner %u:%g, inode %d:%i, links %h, modified %Y"
	}
	look := os.Lstat
	if o.has('L') {
		look = os.Stat
	}
	for _, path := range rest {
		fi, e := look(path)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		fmt.Fprintln(c.stdout, statLine(format, path, fi))
	}
	return 0, err
}

func statLine(format, path string, fi os.FileInfo) string {
	st, _ := fi.Sys().(*syscall.Stat_t)
	kind := map[os.FileMode]string{
		0: "regular file", os.ModeDir: "directory", os.ModeSymlink: "symbolic link", os.ModeNamedPipe: "fifo", os.ModeSocket: "socket",
		os.ModeDevice: "block special file", os.ModeDevice | os.ModeCharDevice: "character special file",
	}[fi.Mode().Type()]
	n := func(v any) string { return fmt.Sprint(v) }
	return strings.NewReplacer(
		"%%", "%", "%n", path, "%F", kind, "%s", n(fi.Size()), "%a", strconv.FormatUint(uint64(st.Mode&0o7777), 8), "%A", fi.Mode().String(),
		"%u", n(st.Uid), "%g", n(st.Gid), "%U", userName(int(st.Uid)), "%G", groupName(int(st.Gid)), "%d", n(st.Dev), "%i", n(st.Ino), "%h", n(st.Nlink),
		"%X", n(st.Atim.Sec), "%Y", n(st.Mtim.Sec), "%Z", n(st.Ctim.Sec),
	).Replace(format)
}

func syncAll(*call) (int, error) {
	unix.Sync()
	return 0, nil
}

func which(c *call) (int, error) {
	code := 0
	for _, name := range c.args {
		path, err := exec.LookPath(name)
		if err != nil {
			code = codeFailed
			continue
		}
		fmt.Fprintln(c.stdout, path)
	}
	return code, nil
}

func df(c *call) (int, error) {
	o, paths, err := c.parse("hkaTP")
	if err != nil {
		return codeUsage, err
	}
	if len(paths) == 0 {
		if paths, err = mountPoints(); err != nil {
			return 0, err
		}
	}
	show := func(v uint64) string { return strconv.FormatUint(v>>10, 10) }
	if o.has('h') {
		show = human
	}
	fmt.Fprintf(c.stdout, "%12s %12s %12s %4s %s\n", "Size", "Used", "Available", "Use%", "Mounted on")
	for _, path := range paths {
		var st unix.Statfs_t
		if e := unix.Statfs(path, &st); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", path, e))
			continue
		}
		if st.Blocks == 0 && len(c.args) == 0 {
			continue
		}
		size, used, free := st.Blocks*uint64(st.Bsize), (st.Blocks-st.Bfree)*uint64(st.Bsize), st.Bavail*uint64(st.Bsize)
		fmt.Fprintf(c.stdout, "%12s %12s %12s %3d%% %s\n", show(size), show(used), show(free), used*100/max(used+free, 1), path)
	}
	return 0, err
}

func human(v uint64) string {
	f, unit := float64(v), 0
	for f >= 1024 && unit < 5 {
		f, unit = f/1024, unit+1
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + "BKMGTP"[unit:unit+1]
}

func mountPoints() ([]string, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var points []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) > 1 {
			points = append(points, strings.ReplaceAll(fields[1], `\040`, " "))
		}
	}
	return points, nil
}

// mount lists without arguments, and mounts with them.
func mount(c *call) (int, error) {
	o, rest, err := c.parse("t:o:")
	if err != nil {
		return codeUsage, err
	}
	if len(rest) == 0 {
		f, err := os.Open("/proc/self/mounts")
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return 0, lines(f, func(line string) error {
			if p := strings.Fields(line); len(p) >= 4 {
				fmt.Fprintf(c.stdout, "%s on %s type %s (%s)\n", p[0], p[1], p[2], p[3])
			}
			return nil
		})
	}
	if len(rest) != 2 {
		return codeUsage, errors.New("usage: mount [-t TYPE] [-o OPTIONS] SOURCE TARGET")
	}
	flags, data := uintptr(0), []string{}
	known := map[string]uintptr{"ro": unix.MS_RDONLY, "rw": 0, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
		"bind": unix.MS_BIND, "rbind": unix.MS_BIND | unix.MS_REC, "remount": unix.MS_REMOUNT}
	for _, opt := range strings.FieldsFunc(o['o'], func(r rune) bool { return r == ',' }) {
		if f, ok := known[opt]; ok {
			flags |= f
		} else {
			data = append(data, opt)
		}
	}
	if err := unix.Mount(rest[0], rest[1], o['t'], flags, strings.Join(data, ",")); err != nil {
		return 0, fmt.Errorf("%s: %w", rest[1], err)
	}
	return 0, nil
}

func umount(c *call) (int, error) {
	o, rest, err := c.parse("l")
	if err != nil {
		return codeUsage, err
	}
	flags := 0
	if o.has('l') {
		flags = unix.MNT_DETACH
	}
	for _, path := range rest {
		if e := unix.Unmount(path, flags); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", path, e))
		}
	}
	return 0, err
}

// ddPlan is what dd's KEY=VALUE arguments mean; count -1 is to the end.
type ddPlan struct {
	words                 map[string]string
	bs, skip, seek, count int64
}

func parseDD(args []string) (p ddPlan, err error) {
	p.words = map[string]string{"bs": "512", "count": "", "skip": "0", "seek": "0"}
	for _, a := range args {
		k, v, ok := strings.Cut(a, "=")
		if !ok {
			return p, fmt.Errorf("%q is not KEY=VALUE", a)
		}
		p.words[k] = v
	}
	p.count = -1
	for key, into := range map[string]*int64{"bs": &p.bs, "skip": &p.skip, "seek": &p.seek, "count": &p.count} {
		if text := p.words[key]; text != "" {
			n, e := parseSize(text)
			*into, err = n, errors.Join(err, e)
		}
	}
	if p.bs == 0 && err == nil {
		err = errors.New("a block size of 0 never ends")
	}
	return p, err
}

// dd knows if of bs count skip seek conv=notrunc,fsync status=none.
func dd(c *call) (int, error) {
	p, err := parseDD(c.args)
	if err != nil {
		return codeUsage, err
	}
	in, out := c.stdin, os.Stdout
	if name := p.words["if"]; name != "" {
		if in, err = os.Open(name); err != nil {
			return 0, err
		}
		defer in.Close()
	}
	if name := p.words["of"]; name != "" {
		if out, err = p.create(name); err != nil {
			return 0, err
		}
		defer out.Close()
	}
	if _, err := io.CopyN(io.Discard, in, p.skip*p.bs); err != nil {
		return 0, err
	}
	n, err := copyBlocks(out, in, p.bs, p.count)
	if err == nil && strings.Contains(p.words["conv"], "fsync") {
		err = out.Sync()
	}
	if p.words["status"] != "none" {
		fmt.Fprintf(c.stderr, "%d bytes copied\n", n)
	}
	return 0, err
}

// create opens the output where writing is to begin.
func (p ddPlan) create(name string) (*os.File, error) {
	mode := os.O_WRONLY | os.O_CREATE
	if !strings.Contains(p.words["conv"], "notrunc") && p.seek == 0 {
		mode |= os.O_TRUNC
	}
	out, err := os.OpenFile(name, mode, 0o666)
	if err == nil && p.seek > 0 {
		_, err = out.Seek(p.seek*p.bs, io.SeekStart)
	}
	return out, err
}

func copyBlocks(out io.Writer, in io.Reader, bs, count int64) (n int64, err error) {
	block := make([]byte, bs)
	for i := int64(0); i != count; i++ {
		k, err := io.ReadFull(in, block)
		if k > 0 {
			w, err := out.Write(block[:k])
			if n += int64(w); err != nil {
				return n, err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// parseSize reads 4096, 4k, 1M, 1G.
func parseSize(s string) (int64, error) {
	shift := 0
	if s != "" {
		if i := strings.IndexByte("KMGT", strings.ToUpper(s)[len(s)-1]); i >= 0 {
			shift, s = 10*(i+1), s[:len(s)-1]
		}
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no size", s)
	}
	return n << shift, nil
}
