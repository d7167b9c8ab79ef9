package text

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"carob/internal/toolbox/tool"
)

// oldStyle turns head's and tail's "-5" into "-n 5".
func oldStyle(args []string) []string {
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0][1] >= '0' && args[0][1] <= '9' {
		return append([]string{"-n", args[0][1:]}, args[1:]...)
	}
	return args
}

// titles prints "==> file <==" before each of several files.
type titles struct {
	out   io.Writer
	on    bool
	again bool
}

func newTitles(out io.Writer, o tool.Options, files []string) *titles {
	return &titles{out: out, on: (len(files) > 1 || o.Has('v')) && !o.Has('q')}
}

func (t *titles) print(name string) {
	if !t.on {
		return
	}
	if t.again {
		fmt.Fprintln(t.out)
	}
	t.again = true
	if name == "-" {
		name = "standard input"
	}
	fmt.Fprintf(t.out, "==> %s <==\n", tool.Printable(name))
}

func head(c *tool.Call) (int, error) {
	c.Args = oldStyle(c.Args)
	o, files, err := c.Parse("n:c:qv", "lines=n", "bytes=c", "quiet=q", "verbose=v")
	if err != nil {
		return 0, err
	}
	n, err := number(o['n'], 10)
	if err != nil {
		return 0, err
	}
	bytes, err := tool.ParseSize(cmp.Or(o['c'], "0"))
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriter(c.Out)
	c.Unopened = cannotOpen
	title := newTitles(out, o, files)
	err = c.EachFile(files, func(name string, r io.Reader) error {
		defer out.Flush() // its error comes again at the end; an error message must not overtake
		title.print(name)
		if o.Has('c') {
			_, err := io.CopyN(out, r, bytes)
			return notEOF(err)
		}
		if n < 0 {
			return allBut(out, r, -n)
		}
		return firstLines(out, r, n)
	})
	return 0, errors.Join(err, out.Flush())
}

func firstLines(out *bufio.Writer, r io.Reader, n int) error {
	b := bufio.NewReader(r)
	for range n {
		line, err := b.ReadString('\n')
		if _, e := out.WriteString(line); e != nil || err != nil {
			return notEOF(cmp.Or(e, err))
		}
	}
	return nil
}

// allBut prints all but the last n lines.
func allBut(out io.Writer, r io.Reader, n int) error {
	var last []string
	return lines(r, func(line string) error {
		last = append(last, line)
		if len(last) <= n {
			return nil
		}
		_, err := fmt.Fprintln(out, last[0])
		last = last[1:]
		return err
	})
}

func tail(c *tool.Call) (int, error) {
	c.Args = oldStyle(c.Args)
	o, files, err := c.Parse("n:c:fFqv", "lines=n", "bytes=c", "follow=f", "quiet=q", "verbose=v")
	if err != nil {
		return 0, err
	}
	unit := cmp.Or(o['c'], o['n'], "10")
	text, fromStart := strings.CutPrefix(unit, "+")
	n, err := number(strings.TrimPrefix(text, "-"), 0)
	if err != nil {
		return 0, err
	}
	show := tailLines
	if o.Has('c') {
		show = tailBytes
	}
	c.Unopened = cannotOpen
	title := newTitles(c.Out, o, files)
	follow := o.Has('f') || o.Has('F')
	return 0, c.EachFile(files, func(name string, r io.Reader) error {
		title.print(name)
		err := show(c.Out, r, n, fromStart)
		for follow && err == nil { // a file that grows tells nobody without inotify; this is cheap enough
			if _, err = io.Copy(c.Out, r); err == nil {
				time.Sleep(200 * time.Millisecond)
			}
		}
		return err
	})
}

// tailLines keeps the end of a last line as it is: a file may end without one.
func tailLines(w io.Writer, r io.Reader, n int, fromStart bool) error {
	out := bufio.NewWriter(w)
	b := bufio.NewReader(r)
	var last []string
	for at := 1; ; at++ {
		line, err := b.ReadString('\n')
		switch {
		case fromStart && at >= n:
			out.WriteString(line)
		case !fromStart && line != "":
			if last = append(last, line); len(last) > n {
				last = last[1:]
			}
		}
		if err != nil {
			for _, line := range last {
				out.WriteString(line)
			}
			return errors.Join(notEOF(err), out.Flush())
		}
	}
}

func tailBytes(w io.Writer, r io.Reader, n int, fromStart bool) error {
	if fromStart {
		if _, err := io.CopyN(io.Discard, r, int64(max(n-1, 0))); err != nil {
			return notEOF(err)
		}
		_, err := io.Copy(w, r)
		return err
	}
	var last []byte
	block := make([]byte, 64<<10)
	for {
		k, err := r.Read(block)
		last = append(last, block[:k]...)
		last = last[max(0, len(last)-n):]
		if err != nil {
			_, e := w.Write(last)
			return errors.Join(notEOF(err), e)
		}
	}
}

// counts are wc's columns.
type counts struct{ lines, words, chars, bytes int }

func wc(c *tool.Call) (int, error) {
	o, files, err := c.Parse("lwcm", "lines=l", "words=w", "bytes=c", "chars=m")
	if err != nil {
		return 0, err
	}
	var total counts
	err = c.EachFile(files, func(name string, r io.Reader) error {
		n, err := countText(bufio.NewReader(r))
		if err != nil {
			return err
		}
		total = counts{total.lines + n.lines, total.words + n.words, total.chars + n.chars, total.bytes + n.bytes}
		if len(files) == 0 {
			name = ""
		}
		return n.print(c.Out, o, name)
	})
	if len(files) > 1 {
		err = errors.Join(err, total.print(c.Out, o, "total"))
	}
	return 0, err
}

func (n counts) print(w io.Writer, o tool.Options, name string) error {
	var cols []string
	for _, col := range []struct {
		letter byte
		n      int
	}{{'l', n.lines}, {'w', n.words}, {'m', n.chars}, {'c', n.bytes}} {
		if o.Has(col.letter) || len(o) == 0 && col.letter != 'm' {
			cols = append(cols, strconv.Itoa(col.n))
		}
	}
	if name != "" {
		cols = append(cols, tool.Printable(name))
	}
	_, err := fmt.Fprintln(w, strings.Join(cols, " "))
	return err
}

func countText(b *bufio.Reader) (n counts, err error) {
	inWord := false
	for {
		ch, err := b.ReadByte()
		if err != nil {
			return n, notEOF(err)
		}
		n.bytes++
		if ch&0xc0 != 0x80 { // not the rest of a UTF-8 character
			n.chars++
		}
		if ch == '\n' {
			n.lines++
		}
		space := strings.IndexByte(" \t\n\v\f\r", ch) >= 0
		if !space && !inWord {
			n.words++
		}
		inWord = !space
	}
}

func uniq(c *tool.Call) (int, error) {
	o, files, err := c.Operands(0, 1, "cdui", "count=c", "repeated=d", "unique=u", "ignore-case=i")
	if err != nil {
		return 0, err
	}
	last, n := "", 0
	flush := func() {
		if n == 0 || o.Has('d') && n == 1 || o.Has('u') && n > 1 {
			return
		}
		if o.Has('c') {
			fmt.Fprintf(c.Out, "%7d ", n)
		}
		fmt.Fprintln(c.Out, last)
	}
	err = c.EachFile(files, func(_ string, r io.Reader) error {
		return lines(r, func(line string) error {
			if n > 0 && (line == last || o.Has('i') && strings.EqualFold(line, last)) {
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

// sequence is what seq's arguments ask for.
type sequence struct {
	first, step, last int
	sep               string
	pad               bool
}

// parseSeq takes negative numbers for numbers, not for options.
func parseSeq(args []string) (sequence, error) {
	q := sequence{first: 1, step: 1, sep: "\n"}
	for len(args) > 0 && (strings.HasPrefix(args[0], "-w") || strings.HasPrefix(args[0], "-s")) {
		switch {
		case args[0] == "-w":
			q.pad = true
		case args[0] != "-s":
			q.sep = args[0][2:]
		case len(args) > 1:
			q.sep, args = args[1], args[1:]
		default:
			return q, tool.Misused("option requires an argument -- 's'")
		}
		args = args[1:]
	}
	places := map[int][]*int{1: {&q.last}, 2: {&q.first, &q.last}, 3: {&q.first, &q.step, &q.last}}[len(args)]
	if places == nil {
		return q, tool.Misuse{}
	}
	for i, into := range places {
		var err error
		if *into, err = strconv.Atoi(args[i]); err != nil {
			return q, tool.Invalid("invalid integer argument: '%s'", args[i])
		}
	}
	if q.step == 0 {
		return q, tool.Invalid("invalid Zero increment value: '0'")
	}
	return q, nil
}

// has reports whether a number is not beyond the last.
func (q sequence) has(n int) bool { return q.step > 0 && n <= q.last || q.step < 0 && n >= q.last }

func seq(c *tool.Call) (int, error) {
	q, err := parseSeq(c.Args)
	if err != nil {
		return 0, err
	}
	width := 0
	if q.pad {
		width = max(len(strconv.Itoa(q.first)), len(strconv.Itoa(q.last)))
	}
	out := bufio.NewWriter(c.Out)
	for n := q.first; q.has(n); n += q.step {
		end := q.sep
		if !q.has(n + q.step) {
			end = "\n"
		}
		if _, err := fmt.Fprintf(out, "%0*d%s", width, n, end); err != nil {
			return 0, err
		}
	}
	return 0, out.Flush()
}

// tee goes on without a file that it cannot open.
func tee(c *tool.Call) (int, error) {
	o, files, err := c.Parse("ai", "append=a", "ignore-interrupts=i")
	if err != nil {
		return 0, err
	}
	mode := os.O_TRUNC
	if o.Has('a') {
		mode = os.O_APPEND
	}
	to := []io.Writer{c.Out}
	failed := c.Each(files, func(name string) error {
		f, err := create(name, mode)
		if err == nil {
			to = append(to, f) // closed by the process's end
		}
		return err
	})
	_, err = io.Copy(io.MultiWriter(to...), c.In)
	return 0, errors.Join(failed, err)
}

func yes(c *tool.Call) (int, error) {
	line := "y\n"
	if len(c.Args) > 0 {
		line = strings.Join(c.Args, " ") + "\n"
	}
	block := []byte(strings.Repeat(line, 1+4096/len(line)))
	for {
		if _, err := c.Out.Write(block); err != nil {
			return 0, err
		}
	}
}
