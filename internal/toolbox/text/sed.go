package text

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"carob/internal/toolbox/tool"
)

// editor is sed at work: the pattern space, the hold space, and where it is.
type editor struct {
	script  []*command
	quiet   bool
	out     *bufio.Writer
	in      *lookAhead
	line    int
	space   string
	hold    string
	appends []string // what a and r print after the line
	changed bool     // since the last t
	live    bool
}

func sed(c *tool.Call) (int, error) {
	scripts, rest, o, err := sedArgs(c)
	if err != nil {
		return 0, err
	}
	if len(scripts) == 0 {
		if len(rest) == 0 {
			return 0, tool.Misuse{}
		}
		scripts, rest = rest[:1], rest[1:]
	}
	script, err := parseSed(strings.Join(scripts, "\n"), o.Has('E') || o.Has('r'))
	if err != nil {
		return 0, fmt.Errorf("-e expression: %w", err)
	}
	if o.Has('i') {
		return collectCodes(rest, func(path string) (int, error) { return editInPlace(c, script, o, path) })
	}
	e := &editor{script: script, quiet: o.Has('n'), out: bufio.NewWriter(c.Out), live: c.OnTerminal()}
	var readers []io.Reader
	var errs []error
	for _, name := range rest {
		f, err := os.Open(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("can't read %s: %s", name, tool.Why(err)))
			continue
		}
		defer f.Close()
		readers = append(readers, f)
	}
	if len(rest) == 0 {
		readers = []io.Reader{c.In}
	}
	e.in = newLookAhead(readers)
	code, err := e.run()
	if len(errs) > 0 {
		code = cmp.Or(code, 2)
	}
	return code, errors.Join(append(errs, err, e.out.Flush())...)
}

// sedArgs collects -e and -f, which may come several times.
func sedArgs(c *tool.Call) (scripts, rest []string, o tool.Options, err error) {
	o = tool.Options{}
	args := c.Args
	for len(args) > 0 {
		one := tool.Call{Args: args[:1]}
		if a := args[0]; len(a) == 2 && (a == "-e" || a == "-f") && len(args) > 1 {
			one.Args = args[:2]
		}
		args = args[len(one.Args):]
		if one.Args[0] == "--" {
			return scripts, append(rest, args...), o, nil
		}
		got, operands, err := one.Parse("nErisze:f:", "quiet=n", "silent=n", "regexp-extended=E", "in-place=i", "expression=e", "file=f")
		if err != nil {
			return nil, nil, nil, err
		}
		for letter := range got {
			o[letter] = ""
		}
		if got.Has('e') {
			scripts = append(scripts, got['e'])
		}
		if got.Has('f') {
			text, err := os.ReadFile(got['f'])
			if err != nil {
				return nil, nil, nil, fmt.Errorf("couldn't open file %s: %s", got['f'], tool.Why(err))
			}
			scripts = append(scripts, strings.TrimSuffix(string(text), "\n"))
		}
		rest = append(rest, operands...)
	}
	return scripts, rest, o, nil
}

func collectCodes(operands []string, do func(string) (int, error)) (int, error) {
	code, errs := 0, []error{}
	for _, operand := range operands {
		n, err := do(operand)
		code, errs = cmp.Or(code, n), append(errs, err)
	}
	return code, errors.Join(errs...)
}

// editInPlace writes beside the file and then takes its place, so that it is whole at
// every time.
func editInPlace(c *tool.Call, script []*command, o tool.Options, path string) (int, error) {
	in, err := os.Open(path)
	if err != nil {
		return 4, fmt.Errorf("can't read %s: %s", path, tool.Why(err))
	}
	defer in.Close()
	fi, err := in.Stat()
	if err != nil {
		return 4, err
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".sed")
	if err != nil {
		return 4, fmt.Errorf("couldn't open temporary file: %s", tool.Why(err))
	}
	defer os.Remove(out.Name()) // gone already when all went well
	e := &editor{script: script, quiet: o.Has('n'), out: bufio.NewWriter(out), in: newLookAhead([]io.Reader{in})}
	code, err := e.run()
	for rest := ""; err == nil; { // q leaves the rest of the file as it was
		var ok bool
		if rest, ok, err = e.in.next(); !ok {
			break
		}
		e.print(rest)
	}
	err = errors.Join(err, e.out.Flush(), out.Chmod(fi.Mode().Perm()), out.Close())
	if err != nil {
		return 4, err
	}
	return code, os.Rename(out.Name(), path)
}

// errQuit ends the run, errNext the cycle, errAgain begins one without reading.
var (
	errQuit  = errors.New("quit")
	errNext  = errors.New("next line")
	errAgain = errors.New("again")
)

// run is sed's cycle: read a line, run the script, print.
func (e *editor) run() (int, error) {
	for {
		if ok, err := e.read(); err != nil || !ok {
			return 0, err
		}
		code, err := e.cycle()
		for errors.Is(err, errAgain) {
			code, err = e.cycle()
		}
		quits := errors.Is(err, errQuit)
		if (err == nil || quits && code >= 0) && !e.quiet {
			e.print(e.space)
		}
		e.flushAppends()
		switch {
		case quits:
			return max(code, ^code), nil // Q's is the complement
		case err != nil && !errors.Is(err, errNext):
			return 0, err
		}
	}
}

// read takes the next line into the pattern space.
func (e *editor) read() (bool, error) {
	line, ok, err := e.in.next()
	if ok {
		e.space = line
		e.line++
		e.changed = false
	}
	return ok, err
}

func (e *editor) print(text string) {
	e.out.WriteString(text + "\n")
	if e.live {
		_ = e.out.Flush() // its error comes again at the end
	}
}

func (e *editor) flushAppends() {
	for _, text := range e.appends {
		e.out.WriteString(text)
	}
	e.appends = nil
}

// cycle runs the script once over the pattern space.
func (e *editor) cycle() (int, error) {
	for at := 0; at < len(e.script); {
		cmd := e.script[at]
		at++
		selected, err := cmd.selects(e)
		if err != nil {
			return 0, err
		}
		if selected == cmd.negated {
			if cmd.name == '{' {
				at = cmd.jump
			}
			continue
		}
		jump, code, err := e.do(cmd)
		if err != nil {
			return code, err
		}
		if jump {
			at = cmd.jump
		}
	}
	return 0, nil
}

// do runs one command; jump sends the script to the command's target.
func (e *editor) do(cmd *command) (jump bool, code int, err error) {
	switch cmd.name {
	case 'd':
		return false, 0, errNext
	case 'D':
		return false, 0, e.deleteFirst()
	case 'n', 'N':
		return false, 0, e.more(cmd.name == 'N')
	case 'q':
		return false, cmd.code, errQuit
	case 'Q':
		return false, ^cmd.code, errQuit // as a negative number: do not print
	case 's':
		return false, 0, e.substitute(cmd)
	case 'y':
		e.space = cmd.mapping.Replace(e.space)
	case 'b':
		return true, 0, nil
	case 't':
		jump, e.changed = e.changed, false
		return jump, 0, nil
	case 'a', 'i', 'c', 'r':
		return false, 0, e.insert(cmd)
	default:
		e.move(cmd.name)
	}
	return false, 0, nil
}

// deleteFirst is D: without the first line the script begins anew.
func (e *editor) deleteFirst() error {
	_, rest, more := strings.Cut(e.space, "\n")
	if !more {
		return errNext
	}
	e.space = rest
	return errAgain
}

// move carries text between the two spaces, and to the output.
func (e *editor) move(name byte) {
	switch name {
	case 'p':
		e.print(e.space)
	case 'P':
		first, _, _ := strings.Cut(e.space, "\n")
		e.print(first)
	case '=':
		e.print(fmt.Sprint(e.line))
	case 'h':
		e.hold = e.space
	case 'H':
		e.hold += "\n" + e.space
	case 'g':
		e.space = e.hold
	case 'G':
		e.space += "\n" + e.hold
	case 'x':
		e.space, e.hold = e.hold, e.space
	}
}

// insert are the commands that print text of their own.
func (e *editor) insert(cmd *command) error {
	switch cmd.name {
	case 'a':
		e.appends = append(e.appends, cmd.text+"\n")
	case 'i':
		e.print(cmd.text)
	case 'c':
		if !cmd.ranged() || cmd.negated || !cmd.open {
			e.print(cmd.text)
		}
		return errNext
	case 'r':
		if text, err := os.ReadFile(cmd.text); err == nil { // a missing file is an empty one
			e.appends = append(e.appends, string(text))
		}
	}
	return nil
}

// more is n and N; without a next line GNU's sed prints and ends, and so does this.
func (e *editor) more(join bool) error {
	if e.in.last() {
		return errQuit
	}
	old := e.space
	if !join {
		if !e.quiet {
			e.print(old)
		}
		e.flushAppends()
	}
	changed := e.changed
	_, err := e.read()
	if e.changed = changed; join {
		e.space = old + "\n" + e.space
	}
	return err
}

func (e *editor) substitute(cmd *command) error {
	result, n := cmd.replace(e.space)
	if n == 0 {
		return nil
	}
	e.space, e.changed = result, true
	if cmd.printIt {
		e.print(e.space)
	}
	return nil
}

// lookAhead reads the lines of several files and knows which is the last of all.
type lookAhead struct {
	readers []io.Reader
	at      *bufio.Reader
	ahead   *string
	err     error
}

func newLookAhead(readers []io.Reader) *lookAhead { return &lookAhead{readers: readers} }

func (l *lookAhead) next() (string, bool, error) {
	l.fill()
	if l.ahead == nil {
		return "", false, l.err
	}
	line := *l.ahead
	l.ahead = nil
	return line, true, nil
}

// last reports whether no line follows; it is asked only where that matters, for it
// waits for the next line.
func (l *lookAhead) last() bool {
	l.fill()
	return l.ahead == nil
}

func (l *lookAhead) fill() {
	for l.ahead == nil && l.err == nil {
		if l.at == nil {
			if len(l.readers) == 0 {
				return
			}
			l.at, l.readers = bufio.NewReader(l.readers[0]), l.readers[1:]
		}
		line, err := l.at.ReadString('\n')
		if line != "" {
			line = strings.TrimSuffix(line, "\n")
			l.ahead = &line
		}
		if err != nil {
			l.at, l.err = nil, notEOF(err)
		}
	}
}
