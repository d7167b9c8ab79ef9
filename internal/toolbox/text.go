package toolbox

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

func textTools() []applet {
	return []applet{
		{"cut", cut}, {"grep", grep}, {"head", head}, {"seq", seq}, {"sort", sortLines}, {"tail", tail},
		{"tee", tee}, {"tr", tr}, {"uniq", uniq}, {"wc", wc}, {"yes", yes},
	}
}

// maxLine bounds a line that a tool must hold whole.
const maxLine = 64 << 20

// lines calls do for every line, without its end.
func lines(r io.Reader, do func(line string) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		if err := do(s.Text()); err != nil {
			return err
		}
	}
	return s.Err()
}

func number(text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return n, nil
}

// oldStyle turns head's and tail's "-5" into "-n 5".
func oldStyle(args []string) []string {
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0][1] >= '0' && args[0][1] <= '9' {
		return append([]string{"-n", args[0][1:]}, args[1:]...)
	}
	return args
}

func head(c *call) (int, error) {
	c.args = oldStyle(c.args)
	o, files, err := c.parse("n:c:q")
	if err != nil {
		return codeUsage, err
	}
	n, err := number(o['n'], 10)
	bytes, err2 := number(o['c'], -1)
	if err := errors.Join(err, err2); err != nil {
		return codeUsage, err
	}
	out := bufio.NewWriter(c.stdout)
	err = c.each(files, func(_ string, r io.Reader) error {
		if bytes >= 0 {
			_, err := io.CopyN(out, r, int64(bytes))
			return ignoreEOF(err)
		}
		b := bufio.NewReader(r)
		for range n {
			line, err := b.ReadString('\n')
			if _, e := out.WriteString(line); e != nil || err != nil {
				return ignoreEOF(cmp.Or(e, err))
			}
		}
		return nil
	})
	return 0, errors.Join(err, out.Flush())
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func tail(c *call) (int, error) {
	c.args = oldStyle(c.args)
	o, files, err := c.parse("n:c:fFq")
	if err != nil {
		return codeUsage, err
	}
	text, fromStart := strings.CutPrefix(o['n'], "+")
	n, err := number(text, 10)
	if err != nil {
		return codeUsage, err
	}
	follow := o.has('f') || o.has('F')
	return 0, c.each(files, func(_ string, r io.Reader) error {
		var last []string
		at := 0
		err := lines(r, func(line string) error {
			at++
			if fromStart {
				if at >= n {
					_, err := fmt.Fprintln(c.stdout, line)
					return err
				}
				return nil
			}
			if last = append(last, line); len(last) > max(n, 0) {
				last = last[1:]
			}
			return nil
		})
		for _, line := range last {
			fmt.Fprintln(c.stdout, line)
		}
		for follow && err == nil { // a file that grows tells nobody without inotify; this is cheap enough
			if _, err = io.Copy(c.stdout, r); err == nil {
				time.Sleep(200 * time.Millisecond)
			}
		}
		return err
	})
}

func wc(c *call) (int, error) {
	o, files, err := c.parse("lwcm")
	if err != nil {
		return codeUsage, err
	}
	return 0, c.each(files, func(name string, r io.Reader) error {
		nl, nw, nc, err := countText(bufio.NewReader(r))
		if err != nil {
			return err
		}
		var cols []string
		for _, col := range []struct {
			letter byte
			n      int
		}{{'l', nl}, {'w', nw}, {'c', nc}} {
			if len(o) == 0 || o.has(col.letter) || col.letter == 'c' && o.has('m') {
				cols = append(cols, strconv.Itoa(col.n))
			}
		}
		if name != "-" {
			cols = append(cols, name)
		}
		_, err = fmt.Fprintln(c.stdout, strings.Join(cols, " "))
		return err
	})
}

func countText(b *bufio.Reader) (lines, words, bytes int, err error) {
	inWord := false
	for {
		ch, err := b.ReadByte()
		if err != nil {
			return lines, words, bytes, ignoreEOF(err)
		}
		bytes++
		if ch == '\n' {
			lines++
		}
		space := strings.IndexByte(" \t\n\v\f\r", ch) >= 0
		if !space && !inWord {
			words++
		}
		inWord = !space
	}
}

func sortLines(c *call) (int, error) {
	o, files, err := c.parse("nruk:t:")
	if err != nil {
		return codeUsage, err
	}
	key, _, _ := strings.Cut(o['k'], ",")
	field, err := number(strings.TrimRight(key, "n"), 0)
	if err != nil {
		return codeUsage, err
	}
	var all []string
	if err := c.each(files, func(_ string, r io.Reader) error {
		return lines(r, func(line string) error { all = append(all, line); return nil })
	}); err != nil {
		return 0, err
	}
	order := func(a, b string) int {
		x, y := sortKey(a, field, o['t']), sortKey(b, field, o['t'])
		if o.has('n') || strings.HasSuffix(key, "n") {
			if d := cmp.Compare(leadingNumber(x), leadingNumber(y)); d != 0 {
				return d
			}
		}
		return cmp.Or(strings.Compare(x, y), strings.Compare(a, b))
	}
	slices.SortStableFunc(all, order)
	if o.has('u') {
		all = slices.Compact(all)
	}
	if o.has('r') {
		slices.Reverse(all)
	}
	out := bufio.NewWriter(c.stdout)
	for _, line := range all {
		fmt.Fprintln(out, line)
	}
	return 0, out.Flush()
}

func sortKey(line string, field int, sep string) string {
	if field == 0 {
		return line
	}
	parts := strings.Fields(line)
	if sep != "" {
		parts = strings.Split(line, sep)
	}
	if field > len(parts) {
		return ""
	}
	return strings.Join(parts[field-1:], " ")
}

func leadingNumber(s string) float64 {
	s = strings.TrimSpace(s)
	end := 0
	for end < len(s) && strings.IndexByte("+-.0123456789", s[end]) >= 0 {
		end++
	}
	f, _ := strconv.ParseFloat(s[:end], 64) // no number sorts as 0, as in sort(1)
	return f
}

func uniq(c *call) (int, error) {
	o, files, err := c.parse("cdu")
	if err != nil {
		return codeUsage, err
	}
	last, n := "", 0
	flush := func() {
		if n == 0 || o.has('d') && n == 1 || o.has('u') && n > 1 {
			return
		}
		if o.has('c') {
			fmt.Fprintf(c.stdout, "%7d ", n)
		}
		fmt.Fprintln(c.stdout, last)
	}
	err = c.each(files, func(_ string, r io.Reader) error {
		return lines(r, func(line string) error {
			if n > 0 && line == last {
				n++
				return nil
			}
			flush()
			last, n = line, 1
			return nil
		})
	})
	flush()
	return 0, err
}

func seq(c *call) (int, error) {
	from, step, to := 1, 1, 0
	var err error
	set := func(into *int, text string) {
		n, e := number(text, 0)
		*into, err = n, errors.Join(err, e)
	}
	switch len(c.args) {
	case 1:
		set(&to, c.args[0])
	case 2:
		set(&from, c.args[0])
		set(&to, c.args[1])
	case 3:
		set(&from, c.args[0])
		set(&step, c.args[1])
		set(&to, c.args[2])
	default:
		return codeUsage, errors.New("usage: seq [FIRST [STEP]] LAST")
	}
	if err != nil || step == 0 {
		return codeUsage, cmp.Or(err, errors.New("a step of 0 never ends"))
	}
	out := bufio.NewWriter(c.stdout)
	for n := from; step > 0 && n <= to || step < 0 && n >= to; n += step {
		if _, err := fmt.Fprintln(out, n); err != nil {
			return 0, err
		}
	}
	return 0, out.Flush()
}

func tee(c *call) (int, error) {
	o, files, err := c.parse("ai")
	if err != nil {
		return codeUsage, err
	}
	mode := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if o.has('a') {
		mode = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	to := []io.Writer{c.stdout}
	for _, name := range files {
		f, err := os.OpenFile(name, mode, 0o666)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		to = append(to, f)
	}
	_, err = io.Copy(io.MultiWriter(to...), c.stdin)
	return 0, err
}

func yes(c *call) (int, error) {
	line := "y\n"
	if len(c.args) > 0 {
		line = strings.Join(c.args, " ") + "\n"
	}
	block := []byte(strings.Repeat(line, 1+4096/len(line)))
	for {
		if _, err := c.stdout.Write(block); err != nil {
			return 0, err
		}
	}
}
