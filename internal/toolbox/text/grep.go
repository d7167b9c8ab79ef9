package text

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"carob/internal/toolbox/tool"
)

// codeTrouble is grep's exit code when it could not look: 1 means that nothing matches.
const codeTrouble = 2

// grepping is what grep's arguments ask for, and what it has found.
type grepping struct {
	out           *bufio.Writer
	re            *regexp.Regexp
	o             tool.Options
	names         bool
	most          int // matching lines per file, -1 for all
	before, after int
	found         bool
	live          bool // a person waits for each line
}

func grep(c *tool.Call) (int, error) {
	c.Args = slices.DeleteFunc(slices.Clone(c.Args), func(a string) bool { return a == "--color" || strings.HasPrefix(a, "--color=") })
	o, rest, err := c.Parse("ivncqEFGhHoLlrRswxA:B:C:e:m:a", "ignore-case=i", "invert-match=v", "line-number=n", "count=c", "quiet=q",
		"extended-regexp=E", "fixed-strings=F", "recursive=r", "word-regexp=w", "line-regexp=x", "only-matching=o", "files-with-matches=l", "regexp=e", "max-count=m")
	if err != nil {
		return 0, err
	}
	pattern, given := o['e']
	if !given {
		if len(rest) == 0 {
			return 0, tool.Misuse{}
		}
		pattern, rest = rest[0], rest[1:]
	}
	g := &grepping{out: bufio.NewWriter(c.Out), o: o, live: c.OnTerminal()}
	if g.re, err = grepPattern(pattern, o); err != nil {
		return codeTrouble, err
	}
	if err := g.numbers(); err != nil {
		return 0, err
	}
	return g.run(c, rest)
}

func (g *grepping) numbers() error {
	around, err := number(g.o['C'], 0)
	before, err1 := number(g.o['B'], around)
	after, err2 := number(g.o['A'], around)
	most, err3 := number(g.o['m'], -1)
	g.before, g.after, g.most = before, after, most
	return errors.Join(err, err1, err2, err3)
}

// grepPattern joins the lines of a pattern, any of which may match.
func grepPattern(pattern string, o tool.Options) (*regexp.Regexp, error) {
	var all []string
	for line := range strings.SplitSeq(pattern, "\n") {
		text, err := regexp.QuoteMeta(line), error(nil)
		if !o.Has('F') {
			text, err = translate(line, o.Has('E'))
		}
		if err != nil {
			return nil, err
		}
		all = append(all, "(?:"+text+")")
	}
	text := strings.Join(all, "|")
	switch {
	case o.Has('x'):
		text = `^(?:` + text + `)$`
	case o.Has('w'):
		text = `\b(?:` + text + `)\b`
	}
	if o.Has('i') {
		text = `(?i)` + text
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, patternError(err)
	}
	re.Longest()
	return re, nil
}

func (g *grepping) run(c *tool.Call, rest []string) (int, error) {
	var unread error
	if g.o.Has('s') {
		c.Err = io.Discard
	}
	several := len(rest) > 1
	if g.o.Has('r') || g.o.Has('R') {
		several = len(rest) != 1 || isDir(rest[0])
		rest, unread = filesBelow(rest)
	}
	g.names = (several || g.o.Has('H')) && !g.o.Has('h')
	err := errors.Join(unread, c.EachFile(rest, g.file), g.out.Flush())
	switch {
	case g.found && (err == nil || g.o.Has('q')):
		return 0, nil
	case err != nil:
		return codeTrouble, err
	}
	return tool.Failed, nil
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// filesBelow goes on where it may not read.
func filesBelow(roots []string) ([]string, error) {
	if len(roots) == 0 {
		roots = []string{"."}
	}
	var files []string
	var errs []error
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				errs = append(errs, err)
			} else if d.Type().IsRegular() {
				files = append(files, path)
			}
			return nil
		})
		errs = append(errs, err)
	}
	if len(files) == 0 {
		files = []string{os.DevNull}
	}
	return files, errors.Join(errs...)
}

// errEnough ends a file early.
var errEnough = errors.New("enough")

// hits is the state of one file.
type hits struct {
	prefix  string
	at, n   int
	earlier []string // lines before, for -B
	owed    int      // lines after, for -A
	printed int      // the last line printed
}

func (g *grepping) file(name string, r io.Reader) error {
	if name == "-" {
		name = "(standard input)"
	}
	h := &hits{}
	if g.names {
		h.prefix = tool.Printable(name)
	}
	err := lines(r, func(line string) error { return g.line(h, line) })
	switch {
	case g.o.Has('q'):
	case g.o.Has('l') && h.n > 0, g.o.Has('L') && h.n == 0:
		fmt.Fprintln(g.out, tool.Printable(name))
	case g.o.Has('c') && !g.o.Has('l'):
		fmt.Fprintf(g.out, "%s%d\n", h.mark(":"), h.n)
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (h *hits) mark(sign string) string {
	if h.prefix == "" {
		return ""
	}
	return h.prefix + sign
}

func (g *grepping) line(h *hits, line string) error {
	h.at++
	if g.re.MatchString(line) == g.o.Has('v') {
		return g.context(h, line)
	}
	g.found = true
	h.n++
	switch {
	case g.o.Has('q') || g.o.Has('l') || g.o.Has('L'):
		return errEnough
	case !g.o.Has('c'):
		g.separate(h)
		for i, earlier := range h.earlier {
			g.print(h, h.at-len(h.earlier)+i, "-", earlier)
		}
		g.match(h, line)
		h.earlier, h.owed = nil, g.after
		h.printed = h.at
	}
	if h.n == g.most {
		return errEnough
	}
	return nil
}

// context keeps or prints a line that does not match.
func (g *grepping) context(h *hits, line string) error {
	if g.o.Has('c') || g.o.Has('q') || g.o.Has('l') || g.o.Has('o') {
		return nil
	}
	if h.owed > 0 {
		h.owed--
		g.print(h, h.at, "-", line)
		h.printed = h.at
		return nil
	}
	if g.before > 0 {
		h.earlier = append(h.earlier, line)
		h.earlier = h.earlier[max(0, len(h.earlier)-g.before):]
	}
	return nil
}

// separate prints a line of dashes between two places that do not touch.
func (g *grepping) separate(h *hits) {
	if (g.before > 0 || g.after > 0) && h.printed > 0 && h.at-len(h.earlier) > h.printed+1 {
		fmt.Fprintln(g.out, "--")
	}
}

func (g *grepping) match(h *hits, line string) {
	if !g.o.Has('o') {
		g.print(h, h.at, ":", line)
		return
	}
	for _, m := range g.re.FindAllString(line, -1) {
		if m != "" {
			g.print(h, h.at, ":", m)
		}
	}
}

func (g *grepping) print(h *hits, at int, sign, line string) {
	prefix := h.mark(sign)
	if g.o.Has('n') {
		prefix += strconv.Itoa(at) + sign
	}
	fmt.Fprintf(g.out, "%s%s\n", prefix, line)
	if g.live {
		_ = g.out.Flush() // its error comes again at the end
	}
}
