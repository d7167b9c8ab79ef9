// Package tool is what the toolbox's tools have in common: how they are called, how
// their options are read, and how they say what went wrong. Options are getopt(3)'s,
// messages are libc's words ("cat: x: No such file or directory"), because scripts
// and people look for both.
package tool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// Exit codes that several tools share.
const (
	Failed     = 1
	CannotExec = 126
	NotFound   = 127
)

// Tool is one name of the program.
type Tool struct {
	Name string
	// Usage is what follows the name in a usage line.
	Usage string
	// Does is the tool in a few words.
	Does string
	// Misused is the exit code for wrong arguments, 1 when it is 0: the manuals differ.
	Misused int
	// Literal tools take every argument as it is, --help too, as POSIX asks of echo and test.
	Literal bool
	Run     Func
}

// Func runs a tool and returns its exit code and an error. The error is printed, and
// makes the code 1 when it is 0; wrong arguments are a Misuse and get the tool's code.
type Func func(c *Call) (int, error)

// Call is one run of a tool.
type Call struct {
	Name string
	Args []string // without the name
	In   *os.File
	Out  io.Writer
	Err  io.Writer
	// Asked are the signals that ask the process to end, where somebody must look after
	// them: early.Asked.
	Asked chan os.Signal
	// Unopened is EachFile's message for a file that cannot be opened, where it is not
	// "FILE: why": a format for both.
	Unopened string
}

// Misuse is wrong arguments. An empty Text means that the usage says it all; where a
// Value is wrong, it would say nothing.
type Misuse struct {
	Text  string
	Value bool
}

// Error is the text.
func (m Misuse) Error() string {
	if m.Text == "" {
		return "wrong usage"
	}
	return m.Text
}

// Misused makes a Misuse.
func Misused(format string, args ...any) error {
	return Misuse{Text: fmt.Sprintf(format, args...)}
}

// Invalid makes a Misuse of a value.
func Invalid(format string, args ...any) error {
	return Misuse{Text: fmt.Sprintf(format, args...), Value: true}
}

// Finish prints what went wrong, if anything, and returns the exit code.
func (t Tool) Finish(c *Call, code int, err error) int {
	if err == nil {
		return code
	}
	var wrong Misuse
	if errors.As(err, &wrong) {
		if wrong.Text != "" {
			fmt.Fprintf(c.Err, "%s: %s\n", t.Name, Printable(wrong.Text))
		}
		if !wrong.Value {
			fmt.Fprintf(c.Err, "usage: %s\n", t.usageLine())
		}
		return orElse(code, orElse(t.Misused, Failed))
	}
	_ = c.Report(err) // it has been
	return orElse(code, Failed)
}

// errReported stands for errors that have been printed.
var errReported = errors.New("see above")

// Report prints an error at once, among what the tool prints, and returns one that only
// says that something failed.
func (c *Call) Report(err error) error {
	if err == nil {
		return nil
	}
	for _, line := range Lines(err) {
		fmt.Fprintf(c.Err, "%s: %s\n", c.Name, line)
	}
	return errReported
}

// Each calls do for every operand. What fails is printed at once, and the rest goes on;
// the error only says that something did.
func (c *Call) Each(operands []string, do func(operand string) error) error {
	var failed error
	for _, o := range operands {
		if err := c.Report(do(o)); err != nil {
			failed = err
		}
	}
	return failed
}

// Help is the tool's page.
func (t Tool) Help() string { return fmt.Sprintf("usage: %s\n%s\n", t.usageLine(), t.Does) }

func (t Tool) usageLine() string { return strings.TrimSpace(t.Name + " " + t.Usage) }

func orElse(code, otherwise int) int {
	if code != 0 {
		return code
	}
	return otherwise
}

// Lines are the messages of err, one for each of the errors joined in it. A broken pipe
// is none: who reads no more wants no more.
func Lines(err error) []string {
	if err == nil || err == errReported || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, Lines(e)...)
		}
		return all
	}
	return []string{Printable(Text(err))}
}

// Text is an error as libc's tools have it: without Go's name of the call, and with
// strerror(3)'s capital.
func Text(err error) string {
	var path *fs.PathError
	var link *os.LinkError
	var call *os.SyscallError
	switch e := err.(type) {
	case syscall.Errno:
		text := e.Error()
		return strings.ToUpper(text[:1]) + text[1:]
	default:
		switch {
		case errors.As(e, &path) && path == e:
			return path.Path + ": " + Text(path.Err)
		case errors.As(e, &link) && link == e:
			return link.New + ": " + Text(link.Err)
		case errors.As(e, &call) && call == e:
			return Text(call.Err)
		}
	}
	return err.Error()
}

// Why is the last part of an error: strerror(3)'s words where the kernel said no.
func Why(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		return Text(no)
	}
	return err.Error()
}

// Cannot is an error in the words of the manual: "cannot remove 'x': Is a directory".
func Cannot(what, path string, err error) error {
	return fmt.Errorf("%s '%s': %w", what, path, because{err})
}

// because prints an error as Why and keeps it for errors.Is.
type because struct{ err error }

func (b because) Error() string { return Why(b.err) }
func (b because) Unwrap() error { return b.err }

// Printable makes text harmless that names somebody else chose: control characters
// drive a terminal.
func Printable(s string) string {
	clean := true
	for _, r := range s {
		clean = clean && plain(r)
	}
	if clean && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == utf8.RuneError || !plain(r):
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// OnTerminal reports whether a person reads the output.
func (c *Call) OnTerminal() bool {
	f, ok := c.Out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Shown is a name as it may be printed: whoever made a file chose it, and a terminal
// obeys what is in it. A program gets it unchanged.
func (c *Call) Shown(name string) string {
	if c.OnTerminal() {
		return Printable(name)
	}
	return name
}

// plain reports whether a terminal shows a rune and does no more: C1 is 0x80 to 0x9f.
func plain(r rune) bool { return r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) || r == '\t' }

// ParseDuration reads what sleep(1) does: a decimal number with s, m, h or d.
func ParseDuration(s string) (time.Duration, error) {
	if s == "infinity" || s == "inf" {
		return Forever, nil
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	unit, text := time.Second, s
	if s != "" {
		if u, ok := units[s[len(s)-1]]; ok {
			unit, text = u, s[:len(s)-1]
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n != n {
		return 0, Invalid("invalid time interval '%s'", s)
	}
	if n*float64(unit) >= float64(Forever) {
		return Forever, nil
	}
	return time.Duration(n * float64(unit)), nil
}

// Forever is the longest time there is.
const Forever = time.Duration(1<<63 - 1)

// ParseSize reads 4096, 4k, 1M, 1G.
func ParseSize(s string) (int64, error) {
	shift, text := 0, s
	if s != "" {
		if i := strings.IndexByte("KMGT", strings.ToUpper(s)[len(s)-1]); i >= 0 {
			shift, text = 10*(i+1), s[:len(s)-1]
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<62>>shift {
		return 0, Invalid("invalid number '%s'", s)
	}
	return n << shift, nil
}

// Human is a number of bytes with one decimal and a unit.
func Human(v uint64) string {
	f, unit := float64(v), 0
	for f >= 1024 && unit < 5 {
		f, unit = f/1024, unit+1
	}
	if unit == 0 {
		return strconv.FormatUint(v, 10)
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + "BKMGTP"[unit:unit+1]
}
