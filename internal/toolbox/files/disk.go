package files

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

func syncAll(*tool.Call) (int, error) {
	unix.Sync()
	return 0, nil
}

// mounted is one line of /proc/self/mounts.
type mounted struct{ source, target, kind, options string }

func readMounts(r io.Reader) ([]mounted, error) {
	var all []mounted
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for s.Scan() {
		if f := strings.Fields(s.Text()); len(f) >= 4 {
			all = append(all, mounted{unescape.Replace(f[0]), unescape.Replace(f[1]), f[2], f[3]})
		}
	}
	return all, s.Err()
}

func mounts() ([]mounted, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readMounts(f)
}

func df(c *tool.Call) (int, error) {
	o, paths, err := c.Parse("hkaTP", "human-readable=h", "all=a", "portability=P", "print-type=T")
	if err != nil {
		return 0, err
	}
	all, err := mounts()
	if err != nil {
		return 0, err
	}
	wanted := all
	if len(paths) > 0 {
		if wanted, err = holding(all, paths); wanted == nil {
			return 0, err
		}
	}
	rows, e := dfRows(o, wanted, len(paths) > 0)
	fmt.Fprint(c.Out, rightAligned(rows, len(rows[0])-1))
	return 0, errors.Join(err, e)
}

// dfRows is df's table. A mount that nobody asked for may be out of reach, and does not
// count when it has no size.
func dfRows(o tool.Options, wanted []mounted, asked bool) (rows [][]string, errs error) {
	rows = [][]string{{"Filesystem", "Type", "1K-blocks", "Used", "Available", "Use%", "Mounted on"}}
	if o.Has('h') {
		rows[0][2] = "Size"
	}
	for _, m := range wanted {
		var st unix.Statfs_t
		err := unix.Statfs(m.target, &st)
		switch {
		case err != nil && asked:
			errs = errors.Join(errs, fmt.Errorf("%s: %s", m.target, tool.Why(err)))
		case err == nil && (st.Blocks > 0 || o.Has('a') || asked):
			rows = append(rows, dfRow(m, &st, o.Has('h')))
		}
	}
	if !o.Has('T') {
		for i := range rows {
			rows[i] = slices.Delete(rows[i], 1, 2)
		}
	}
	return rows, errs
}

// holding finds the mount that each path is on: of those around it, the one that the
// kernel says has its device, the last as it hides the others.
func holding(all []mounted, paths []string) (found []mounted, errs error) {
	for _, p := range paths {
		real, err := filepath.EvalSymlinks(p)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %s", p, tool.Why(err)))
			continue
		}
		real, _ = filepath.Abs(real) // fails only where there is no directory to be in
		best := mounted{source: "-", target: real, kind: "-"}
		longest := -1
		for _, m := range all {
			if (m.target == "/" || real == m.target || strings.HasPrefix(real, m.target+"/")) && len(m.target) >= longest {
				best, longest = m, len(m.target)
			}
		}
		found = append(found, best)
	}
	return found, errs
}

func dfRow(m mounted, st *unix.Statfs_t, short bool) []string {
	size, used, free := st.Blocks*uint64(st.Bsize), (st.Blocks-st.Bfree)*uint64(st.Bsize), st.Bavail*uint64(st.Bsize)
	show := func(v uint64) string {
		if short {
			return tool.Human(v)
		}
		return strconv.FormatUint(v>>10, 10)
	}
	percent := "-"
	if used+free > 0 {
		percent = strconv.FormatUint((used*100+used+free-1)/(used+free), 10) + "%"
	}
	return []string{tool.Printable(m.source), m.kind, show(size), show(used), show(free), percent, tool.Printable(m.target)}
}

// rightAligned lines up a table whose columns are numbers but for the first, those
// with letters only, and the last, which is not padded.
func rightAligned(rows [][]string, last int) string {
	widths := make([]int, last)
	for _, r := range rows {
		for i := range last {
			widths[i] = max(widths[i], len(r[i]))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		for i := range last {
			if i == 0 || rows[0][i] == "Type" {
				fmt.Fprintf(&b, "%-*s ", widths[i], r[i])
			} else {
				fmt.Fprintf(&b, "%*s ", widths[i], r[i])
			}
		}
		b.WriteString(r[last] + "\n")
	}
	return b.String()
}

// usage counts what files take; a file with several names counts once.
type usage struct {
	c      *tool.Call
	o      tool.Options
	depth  int
	device uint64
	seen   map[[2]uint64]bool
	errs   []error
}

func du(c *tool.Call) (int, error) {
	o, paths, err := c.Parse("sahkxcd:", "summarize=s", "all=a", "human-readable=h", "max-depth=d", "one-file-system=x", "total=c")
	if err != nil {
		return 0, err
	}
	u := &usage{c: c, o: o, depth: -1, seen: map[[2]uint64]bool{}}
	if o.Has('d') {
		if u.depth, err = strconv.Atoi(o['d']); err != nil || u.depth < 0 {
			return 0, tool.Invalid("invalid maximum depth '%s'", o['d'])
		}
	}
	if o.Has('s') {
		u.depth = 0
	}
	if len(paths) == 0 {
		paths = []string{"."}
	}
	total := int64(0)
	for _, p := range paths {
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			u.errs = append(u.errs, tool.Cannot("cannot access", p, err))
			continue
		}
		u.device = uint64(st.Dev)
		total += u.count(p, 0)
	}
	if o.Has('c') {
		u.print(total, "total")
	}
	return 0, errors.Join(u.errs...)
}

func (u *usage) count(path string, depth int) int64 {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			u.errs = append(u.errs, tool.Cannot("cannot access", path, err))
		}
		return 0
	}
	key := [2]uint64{uint64(st.Dev), st.Ino}
	if u.seen[key] || u.o.Has('x') && uint64(st.Dev) != u.device {
		return 0
	}
	dir := st.Mode&syscall.S_IFMT == syscall.S_IFDIR
	u.seen[key] = dir || st.Nlink > 1
	total := st.Blocks * 512
	if dir {
		total += u.inside(path, depth)
	}
	if depth == 0 || u.shows(dir, depth) {
		u.print(total, path)
	}
	return total
}

func (u *usage) shows(dir bool, depth int) bool {
	return (dir || u.o.Has('a')) && (u.depth < 0 || depth <= u.depth)
}

func (u *usage) inside(dir string, depth int) (total int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		u.errs = append(u.errs, tool.Cannot("cannot read directory", dir, err))
	}
	for _, e := range entries {
		total += u.count(strings.TrimSuffix(dir, "/")+"/"+e.Name(), depth+1)
	}
	return total
}

func (u *usage) print(n int64, what string) {
	size := strconv.FormatInt((n+1023)/1024, 10)
	if u.o.Has('h') {
		size = tool.Human(uint64(n))
	}
	fmt.Fprintf(u.c.Out, "%s\t%s\n", size, u.c.Shown(what))
}

// mount lists without operands, and mounts with them.
func mount(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(0, 2, "rt:o:", "types=t", "options=o", "read-only=r")
	if err != nil {
		return 0, err
	}
	switch len(rest) {
	case 0:
		return 0, listMounts(c, o['t'])
	case 1:
		rest = []string{"none", rest[0]} // -o remount and the propagation flags need no source
	}
	flags, data := mountFlags(o['o'])
	if o.Has('r') {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount(rest[0], rest[1], o['t'], flags, data); err != nil {
		return 32, fmt.Errorf("mounting %s on %s failed: %s", rest[0], rest[1], tool.Why(err)) // mount(8): 32 is "mount failure"
	}
	if flags&unix.MS_BIND != 0 && flags&(unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC) != 0 && flags&unix.MS_REMOUNT == 0 {
		if err := unix.Mount("", rest[1], "", flags|unix.MS_REMOUNT, ""); err != nil { // a bind ignores these flags; a second call does not
			return 32, fmt.Errorf("remounting %s failed: %s", rest[1], tool.Why(err))
		}
	}
	return 0, nil
}

func listMounts(c *tool.Call, kind string) error {
	all, err := mounts()
	for _, m := range all {
		if kind == "" || kind == m.kind {
			fmt.Fprintf(c.Out, "%s on %s type %s (%s)\n", tool.Printable(m.source), tool.Printable(m.target), m.kind, m.options)
		}
	}
	return err
}

// mountFlags parts what mount(2) takes as flags from what the file system is told.
func mountFlags(options string) (flags uintptr, data string) {
	known := map[string]uintptr{
		"defaults": 0, "rw": 0, "ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC, "noatime": unix.MS_NOATIME,
		"relatime": unix.MS_RELATIME, "bind": unix.MS_BIND, "rbind": unix.MS_BIND | unix.MS_REC, "remount": unix.MS_REMOUNT, "private": unix.MS_PRIVATE,
		"rprivate": unix.MS_PRIVATE | unix.MS_REC, "shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC, "slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
	}
	var rest []string
	for opt := range strings.SplitSeq(options, ",") {
		if f, ok := known[opt]; ok {
			flags |= f
		} else if opt != "" {
			rest = append(rest, opt)
		}
	}
	return flags, strings.Join(rest, ",")
}

func umount(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(1, -1, "lf", "lazy=l", "force=f")
	if err != nil {
		return 0, err
	}
	flags := 0
	if o.Has('l') {
		flags |= unix.MNT_DETACH
	}
	if o.Has('f') {
		flags |= unix.MNT_FORCE
	}
	err = c.Each(rest, func(target string) error {
		if err := unix.Unmount(target, flags); err != nil {
			return fmt.Errorf("can't unmount %s: %s", target, tool.Why(err))
		}
		return nil
	})
	if err != nil {
		return 32, err
	}
	return 0, nil
}
