package files

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"carob/internal/toolbox/tool"
)

// codeNamed is ls's exit code when an operand could not be listed; what fails below is 1.
const codeNamed = 2

// listed is one file as ls shows it.
type listed struct {
	name string
	st   unix.Stat_t
	link string // where a link leads
}

type lister struct {
	c     *tool.Call
	o     tool.Options
	width int // of the terminal, 0 where there is none
	now   time.Time
	again bool // something has been printed
	code  int
}

func ls(c *tool.Call) (int, error) {
	c.Args = slices.DeleteFunc(slices.Clone(c.Args), func(a string) bool { return a == "--color" || strings.HasPrefix(a, "--color=") })
	o, names, err := c.Parse("1aAdFhilngprRStCHL", "all=a", "almost-all=A", "directory=d", "human-readable=h", "recursive=R", "reverse=r")
	if err != nil {
		return 0, err
	}
	l := &lister{c: c, o: o, now: time.Now()}
	if f, ok := c.Out.(*os.File); ok && c.OnTerminal() {
		l.width, _, _ = term.GetSize(int(f.Fd())) // 0 prints a name per line
	}
	if len(names) == 0 {
		names = []string{"."}
	}
	files, dirs, err := l.operands(names)
	l.show(files)
	for _, d := range dirs {
		err = errors.Join(err, l.directory(d, len(names) > 1 || o.Has('R')))
	}
	return l.code, err
}

// operands parts what the command line names into files and directories.
func (l *lister) operands(names []string) (files []listed, dirs []string, errs error) {
	for _, name := range names {
		f, err := lookAt(name, name)
		if err != nil {
			l.code = codeNamed
			errs = l.c.Report(tool.Cannot("cannot access", name, err))
			continue
		}
		if !l.o.Has('d') && (f.isDir() || f.link != "" && !l.o.Has('l') && isDir(name)) {
			dirs = append(dirs, name)
		} else {
			files = append(files, f)
		}
	}
	l.sort(files)
	slices.Sort(dirs)
	return files, dirs, errs
}

func lookAt(path, name string) (listed, error) {
	f := listed{name: name}
	if err := unix.Lstat(path, &f.st); err != nil {
		return f, err
	}
	if f.st.Mode&unix.S_IFMT == unix.S_IFLNK {
		f.link, _ = os.Readlink(path)
		f.link = cmp.Or(f.link, "?") // a link one may not read
	}
	return f, nil
}

func (f listed) isDir() bool { return f.st.Mode&unix.S_IFMT == unix.S_IFDIR }

func (l *lister) directory(dir string, titled bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.code = codeNamed
		return tool.Cannot("cannot open directory", dir, err)
	}
	if l.again {
		fmt.Fprintln(l.c.Out)
	}
	if titled {
		fmt.Fprintf(l.c.Out, "%s:\n", l.c.Shown(dir))
	}
	l.again = true
	var files []listed
	var errs error
	for _, name := range l.names(entries) {
		f, err := lookAt(dir+"/"+name, name)
		if err != nil {
			l.code = max(l.code, tool.Failed)
			errs = errors.Join(errs, tool.Cannot("cannot access", dir+"/"+name, err))
			continue
		}
		files = append(files, f)
	}
	l.sort(files)
	if l.isLong() {
		total := int64(0)
		for _, f := range files {
			total += f.st.Blocks * 512
		}
		fmt.Fprintf(l.c.Out, "total %s\n", l.size(total, 1024))
	}
	l.show(files)
	return errors.Join(errs, l.below(dir, files))
}

func (l *lister) isLong() bool { return l.o.Has('l') || l.o.Has('n') || l.o.Has('g') }

// names are those of a directory that are to be shown.
func (l *lister) names(entries []os.DirEntry) []string {
	var names []string
	if l.o.Has('a') {
		names = []string{".", ".."}
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") || l.o.Has('a') || l.o.Has('A') {
			names = append(names, e.Name())
		}
	}
	return names
}

func (l *lister) below(dir string, files []listed) (errs error) {
	if !l.o.Has('R') {
		return nil
	}
	for _, f := range files {
		if f.isDir() && f.name != "." && f.name != ".." {
			errs = errors.Join(errs, l.directory(strings.TrimSuffix(dir, "/")+"/"+f.name, true))
		}
	}
	return errs
}

func (l *lister) sort(files []listed) {
	slices.SortStableFunc(files, func(a, b listed) int {
		order := strings.Compare(a.name, b.name)
		switch {
		case l.o.Has('S'):
			order = cmp.Or(cmp.Compare(b.st.Size, a.st.Size), order)
		case l.o.Has('t'):
			order = cmp.Or(cmp.Compare(b.st.Mtim.Nano(), a.st.Mtim.Nano()), order)
		}
		if l.o.Has('r') {
			return -order
		}
		return order
	})
}

func (l *lister) size(n, unit int64) string {
	if l.o.Has('h') {
		return tool.Human(uint64(n))
	}
	return strconv.FormatInt(n/unit, 10)
}

// show prints files: long, in columns for a person, or one per line.
func (l *lister) show(files []listed) {
	if len(files) == 0 {
		return
	}
	l.again = true
	var rows [][]string
	for _, f := range files {
		var row []string
		if l.o.Has('i') {
			row = append(row, strconv.FormatUint(f.st.Ino, 10))
		}
		if l.isLong() {
			row = append(row, l.long(f)...)
		}
		rows = append(rows, append(row, l.name(f)))
	}
	if len(rows[0]) == 1 && !l.o.Has('1') && l.width > 0 {
		names := make([]string, len(rows))
		for i, r := range rows {
			names[i] = r[0]
		}
		fmt.Fprint(l.c.Out, columns(names, l.width))
		return
	}
	fmt.Fprint(l.c.Out, table(rows))
}

func (l *lister) name(f listed) string {
	name := l.c.Shown(f.name)
	if l.o.Has('F') || l.o.Has('p') && f.isDir() {
		name += mark(f.st.Mode, l.o.Has('l'))
	}
	if f.link != "" && l.o.Has('l') {
		name += " -> " + l.c.Shown(f.link)
	}
	return name
}

// mark is -F's letter behind a name.
func mark(mode uint32, long bool) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "/"
	case unix.S_IFLNK:
		if long {
			return ""
		}
		return "@"
	case unix.S_IFIFO:
		return "|"
	case unix.S_IFSOCK:
		return "="
	case unix.S_IFREG:
		if mode&0o111 != 0 {
			return "*"
		}
	}
	return ""
}

func (l *lister) long(f listed) []string {
	owner, group := userName(f.st.Uid), groupName(f.st.Gid)
	if l.o.Has('n') {
		owner, group = strconv.Itoa(int(f.st.Uid)), strconv.Itoa(int(f.st.Gid))
	}
	size := l.size(f.st.Size, 1)
	if kind := f.st.Mode & unix.S_IFMT; kind == unix.S_IFCHR || kind == unix.S_IFBLK {
		size = fmt.Sprintf("%d,%4d", unix.Major(f.st.Rdev), unix.Minor(f.st.Rdev))
	}
	return []string{modeText(f.st.Mode), strconv.FormatUint(uint64(f.st.Nlink), 10), owner, group, size, fileTime(time.Unix(f.st.Mtim.Unix()), l.now)}
}

// fileTime is POSIX's: what is older than half a year, or to come, shows its year.
func fileTime(t, now time.Time) string {
	if age := now.Sub(t); age < 0 || age > 182*24*time.Hour {
		return t.Format("Jan _2  2006")
	}
	return t.Format("Jan _2 15:04")
}

// modeText is a mode as ls -l shows it, such as drwxr-xr-t.
func modeText(mode uint32) string {
	kinds := map[uint32]byte{
		unix.S_IFDIR: 'd', unix.S_IFLNK: 'l', unix.S_IFCHR: 'c', unix.S_IFBLK: 'b', unix.S_IFIFO: 'p', unix.S_IFSOCK: 's', unix.S_IFREG: '-',
	}
	b := []byte("?rwxrwxrwx")
	if k, ok := kinds[mode&unix.S_IFMT]; ok {
		b[0] = k
	}
	for i := range 9 {
		if mode&(1<<(8-i)) == 0 {
			b[1+i] = '-'
		}
	}
	for _, special := range []struct {
		bit uint32
		at  int
		set byte
	}{{syscall.S_ISUID, 3, 's'}, {syscall.S_ISGID, 6, 's'}, {syscall.S_ISVTX, 9, 't'}} {
		if mode&special.bit == 0 {
			continue
		}
		if b[special.at] == '-' {
			special.set -= 'a' - 'A' // without x
		}
		b[special.at] = special.set
	}
	return string(b)
}

// table lines up all columns but the last; numbers go to the right.
func table(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		for i, cell := range r[:len(r)-1] {
			if cell[0] >= '0' && cell[0] <= '9' {
				fmt.Fprintf(&b, "%*s ", widths[i], cell)
			} else {
				fmt.Fprintf(&b, "%-*s ", widths[i], cell)
			}
		}
		b.WriteString(r[len(r)-1] + "\n")
	}
	return b.String()
}

// columns fills a terminal's width, read downwards.
func columns(names []string, width int) string {
	widest := 0
	for _, n := range names {
		widest = max(widest, len([]rune(n)))
	}
	across := max(1, width/(widest+2))
	down := (len(names) + across - 1) / across
	var b strings.Builder
	for row := range down {
		for i := row; i < len(names); i += down {
			b.WriteString(names[i])
			if i+down < len(names) {
				b.WriteString(strings.Repeat(" ", widest+2-len([]rune(names[i]))))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
