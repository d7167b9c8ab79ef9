package toolbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// grep's patterns are Go's (RE2), which contain POSIX's extended ones.
func grep(c *call) (int, error) {
	o, rest, err := c.parse("ivncqEFGhHolrsRwxe:m:")
	if err != nil {
		return codeUsage, err
	}
	pattern, given := o['e']
	if !given {
		if len(rest) == 0 {
			return codeUsage, errors.New("usage: grep [-ivncqEFolrwx] PATTERN [FILE…]")
		}
		pattern, rest = rest[0], rest[1:]
	}
	g := &grepping{out: bufio.NewWriter(c.stdout), o: o}
	if g.re, err = compilePattern(pattern, o); err != nil {
		return codeUsage, err
	}
	return g.run(c, rest)
}

func (g *grepping) run(c *call, rest []string) (int, error) {
	o, err := g.o, error(nil)
	if o.has('r') || o.has('R') {
		if rest, err = filesBelow(rest); err != nil {
			return codeUsage, err
		}
	}
	g.names = (len(rest) > 1 || o.has('r') || o.has('H')) && !o.has('h')
	err = c.each(rest, g.file)
	err = errors.Join(err, g.out.Flush())
	switch {
	case err != nil && !(g.found && o.has('q')):
		return codeUsage, err
	case !g.found:
		return codeFailed, nil
	}
	return 0, nil
}

func compilePattern(pattern string, o options) (*regexp.Regexp, error) {
	if o.has('F') {
		pattern = regexp.QuoteMeta(pattern)
	}
	if o.has('w') {
		pattern = `\b(?:` + pattern + `)\b`
	}
	if o.has('x') {
		pattern = `^(?:` + pattern + `)$`
	}
	if o.has('i') {
		pattern = `(?i)` + pattern
	}
	return regexp.Compile(pattern)
}

func filesBelow(roots []string) ([]string, error) {
	if len(roots) == 0 {
		roots = []string{"."}
	}
	var files []string
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		files = []string{os.DevNull}
	}
	return files, nil
}

type grepping struct {
	out   *bufio.Writer
	re    *regexp.Regexp
	o     options
	names bool
	found bool
}

// errEnough ends a file early.
var errEnough = errors.New("enough")

func (g *grepping) file(name string, r io.Reader) error {
	prefix := ""
	if g.names {
		prefix = name + ":"
	}
	most, err := number(g.o['m'], -1)
	if err != nil {
		return err
	}
	n, at := 0, 0
	err = lines(r, func(line string) error {
		at++
		if g.re.MatchString(line) == g.o.has('v') {
			return nil
		}
		g.found = true
		n++
		if g.o.has('q') || g.o.has('l') {
			return errEnough
		}
		if !g.o.has('c') {
			g.print(prefix, at, line)
		}
		if n == most {
			return errEnough
		}
		return nil
	})
	if g.o.has('l') && n > 0 {
		fmt.Fprintln(g.out, name)
	} else if g.o.has('c') && !g.o.has('q') {
		fmt.Fprintf(g.out, "%s%d\n", prefix, n)
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (g *grepping) print(prefix string, at int, line string) {
	if g.o.has('n') {
		prefix += strconv.Itoa(at) + ":"
	}
	if !g.o.has('o') {
		fmt.Fprintf(g.out, "%s%s\n", prefix, line)
		return
	}
	for _, m := range g.re.FindAllString(line, -1) {
		fmt.Fprintf(g.out, "%s%s\n", prefix, m)
	}
}

func cut(c *call) (int, error) {
	o, files, err := c.parse("d:f:c:b:s")
	if err != nil {
		return codeUsage, err
	}
	list, byField := o['f'], o.has('f')
	if !byField {
		list = o['c'] + o['b']
	}
	ranges, err := parseRanges(list)
	if err != nil {
		return codeUsage, err
	}
	sep := "\t"
	if o.has('d') {
		sep = o['d']
	}
	out := bufio.NewWriter(c.stdout)
	err = c.each(files, func(_ string, r io.Reader) error {
		return lines(r, func(line string) error {
			if !byField {
				_, err := fmt.Fprintln(out, pick(strings.Split(line, ""), ranges, ""))
				return err
			}
			if !strings.Contains(line, sep) {
				if o.has('s') {
					return nil
				}
				_, err := fmt.Fprintln(out, line)
				return err
			}
			_, err := fmt.Fprintln(out, pick(strings.Split(line, sep), ranges, sep))
			return err
		})
	})
	return 0, errors.Join(err, out.Flush())
}

// parseRanges reads "1,3-5,7-"; an open end is -1.
func parseRanges(s string) ([][2]int, error) {
	var ranges [][2]int
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err1 := number(from, 1)
		b, err2 := number(to, -1)
		if !isRange {
			b = a
		}
		if part == "" || part == "-" || err1 != nil || err2 != nil || a < 1 {
			return nil, fmt.Errorf("%q is no list of positions", s)
		}
		ranges = append(ranges, [2]int{a, b})
	}
	return ranges, nil
}

func pick(parts []string, ranges [][2]int, sep string) string {
	var kept []string
	for i, p := range parts {
		for _, r := range ranges {
			if i+1 >= r[0] && (r[1] < 0 || i+1 <= r[1]) {
				kept = append(kept, p)
				break
			}
		}
	}
	return strings.Join(kept, sep)
}

func tr(c *call) (int, error) {
	o, sets, err := c.parse("dsc")
	if err != nil {
		return codeUsage, err
	}
	if len(sets) == 0 || len(sets) == 1 && !o.has('d') && !o.has('s') {
		return codeUsage, errors.New("usage: tr [-cds] SET1 [SET2]")
	}
	out := bufio.NewWriter(c.stdout)
	err = newTranslation(o, sets).copy(out, bufio.NewReader(c.stdin))
	return 0, errors.Join(err, out.Flush())
}

// copy translates until the end; whole lines go out at once, for who waits for them.
func (t *translation) copy(out *bufio.Writer, in *bufio.Reader) error {
	last := -1
	for {
		b, err := in.ReadByte()
		if err != nil {
			return ignoreEOF(err)
		}
		if t.drop[b] {
			continue
		}
		b = t.to[b]
		if int(b) == last && t.squeeze[b] {
			continue
		}
		last = int(b)
		if err := out.WriteByte(b); err != nil {
			return err
		}
		if b == '\n' && in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

type translation struct {
	drop, squeeze [256]bool
	to            [256]byte
}

func newTranslation(o options, sets []string) *translation {
	t := &translation{}
	one, two := expandSet(sets[0]), []byte(nil)
	if o.has('c') {
		one = complement(one)
	}
	if len(sets) > 1 {
		two = expandSet(sets[1])
	}
	for b := range 256 {
		t.to[b] = byte(b)
	}
	for i, b := range one {
		if t.drop[b] = o.has('d'); !o.has('d') && len(two) > 0 {
			t.to[b] = two[min(i, len(two)-1)]
		}
	}
	last := one
	if len(two) > 0 {
		last = two
	}
	for _, b := range last {
		t.squeeze[b] = o.has('s')
	}
	return t
}

func complement(set []byte) []byte {
	var rest []byte
	for b := range 256 {
		if bytes.IndexByte(set, byte(b)) < 0 {
			rest = append(rest, byte(b))
		}
	}
	return rest
}

// expandSet knows ranges, the usual escapes and classes.
func expandSet(s string) []byte {
	for class, chars := range map[string]string{
		"[:lower:]": "a-z", "[:upper:]": "A-Z", "[:digit:]": "0-9", "[:alpha:]": "A-Za-z", "[:alnum:]": "0-9A-Za-z", "[:space:]": " \t\n\v\f\r",
		`\n`: "\n", `\t`: "\t", `\r`: "\r", `\0`: "\x00", `\\`: "\\",
	} {
		s = strings.ReplaceAll(s, class, chars)
	}
	var set []byte
	for i := 0; i < len(s); i++ {
		if i+2 < len(s) && s[i+1] == '-' && s[i] <= s[i+2] {
			for b := int(s[i]); b <= int(s[i+2]); b++ {
				set = append(set, byte(b))
			}
			i += 2
			continue
		}
		set = append(set, s[i])
	}
	return set
}
