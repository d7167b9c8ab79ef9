package toolbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"carob/internal/toolbox/tool"
)

// Exit codes of xargs(1): some command failed; one said that no more are to run.
const (
	codeSome = 123
	codeStop = 124
)

// maxArguments keeps a command line below the kernel's limit of 128 KiB and more.
const maxArguments = 100 << 10

func xargs(c *tool.Call) (int, error) {
	o, command, err := c.Parse("+0rtn:I:", "null=0", "no-run-if-empty=r", "max-args=n", "verbose=t", "replace=I")
	if err != nil {
		return 0, err
	}
	if len(command) == 0 {
		command = []string{"echo"}
	}
	most := 1 << 30
	if o.Has('n') {
		if most, err = strconv.Atoi(o['n']); err != nil || most < 1 {
			return 0, tool.Invalid("invalid number for -n option: '%s'", o['n'])
		}
	}
	x := &xargsRun{c: c, command: command, trace: o.Has('t'), replace: o['I']}
	err = eachWord(c.In, o.Has('0'), o.Has('I'), func(word string) error { return x.add(word, most) })
	if err == nil && (len(x.words) > 0 || !x.ran && !o.Has('r') && !o.Has('I')) {
		err = x.run()
	}
	if errors.Is(err, errStop) {
		err = nil
	}
	return x.code, err
}

var errStop = errors.New("stop")

type xargsRun struct {
	c       *tool.Call
	command []string
	trace   bool
	replace string
	words   []string
	size    int
	ran     bool
	code    int
}

func (x *xargsRun) add(word string, most int) error {
	x.words, x.size = append(x.words, word), x.size+len(word)+1
	if len(x.words) < most && x.size < maxArguments && x.replace == "" {
		return nil
	}
	return x.run()
}

// run starts the command with the words collected.
func (x *xargsRun) run() error {
	args := append(append([]string{}, x.command...), x.words...)
	if x.replace != "" {
		args = nil
		for _, a := range x.command {
			args = append(args, strings.ReplaceAll(a, x.replace, x.words[0]))
		}
	}
	x.words, x.size, x.ran = nil, 0, true
	if x.trace {
		fmt.Fprintln(x.c.Err, tool.Printable(strings.Join(args, " ")))
	}
	cmd := exec.Command(args[0], args[1:]...) // its standard input is /dev/null: ours holds the arguments
	cmd.Stdout, cmd.Stderr = x.c.Out, x.c.Err
	code, err := outcome(cmd.Run())
	switch {
	case err != nil:
		x.code = code
		return err
	case code == 255:
		x.code = codeStop
		return errStop
	case code > 128:
		x.code = codeOwn
		return fmt.Errorf("%s: terminated by signal %d", args[0], code-128)
	case code != 0:
		x.code = codeSome
	}
	return nil
}

// eachWord reads words apart by zero bytes, or by lines, or by blanks with quotes and
// backslashes as in a shell.
func eachWord(r io.Reader, zero, line bool, do func(string) error) error {
	b := bufio.NewReader(r)
	switch {
	case zero:
		return eachPart(b, 0, do)
	case line:
		return eachPart(b, '\n', do)
	}
	w := words{do: do}
	for {
		ch, err := b.ReadByte()
		if err != nil {
			return errors.Join(notEOF(err), w.end())
		}
		if err := w.take(ch); err != nil {
			return err
		}
	}
}

func eachPart(b *bufio.Reader, end byte, do func(string) error) error {
	for {
		word, err := b.ReadString(end)
		if word = strings.TrimSuffix(word, string(end)); word != "" || err == nil && end == 0 {
			if e := do(word); e != nil {
				return e
			}
		}
		if err != nil {
			return notEOF(err)
		}
	}
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// words takes characters and gives words.
type words struct {
	do      func(string) error
	text    strings.Builder
	any     bool
	quote   byte
	escaped bool
}

func (w *words) take(ch byte) error {
	switch {
	case w.escaped:
		w.escaped = false
		w.text.WriteByte(ch)
	case w.quote != 0 && ch == w.quote:
		w.quote = 0
	case w.quote != 0 && ch == '\n':
		return errors.New("unmatched quote")
	case w.quote != 0:
		w.text.WriteByte(ch)
	case ch == '\\':
		w.escaped, w.any = true, true
	case ch == '"' || ch == '\'':
		w.quote, w.any = ch, true
	case strings.IndexByte(" \t\n\v\f\r", ch) >= 0:
		return w.flush()
	default:
		w.text.WriteByte(ch)
		w.any = true
	}
	return nil
}

func (w *words) flush() error {
	if !w.any {
		return nil
	}
	word := w.text.String()
	w.text.Reset()
	w.any = false
	return w.do(word)
}

func (w *words) end() error {
	if w.quote != 0 {
		return errors.New("unmatched quote")
	}
	return w.flush()
}
