// Package shell is the toolbox's sh. The language is mvdan.cc/sh's; what a library
// cannot give, because it is no process, is added here: exec that replaces the
// process, traps of signals, umask, ulimit, kill, reading standard input line by
// line, and the exit codes of POSIX.
package shell

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Exit codes of POSIX shells.
const (
	codeUsage      = 2
	codeCannotExec = 126
	codeNotFound   = 127
)

// Streams are what a script reads and writes.
type Streams struct {
	In       *os.File
	Out, Err io.Writer
	// Asked brings the signals that ask the process to end: early.Asked.
	Asked chan os.Signal
}

// script is one run of the shell.
type script struct {
	streams Streams
	runner  *interp.Runner
	hooks   *hooks
	signals *signals
	// name is $0 and what errors begin with.
	name string
}

// flags are what sh's own arguments mean.
type flags struct {
	command     string
	hasCommand  bool
	interactive bool
	params      []string // for the interpreter: set's options, then "--" and $1 …
	name        string   // $0
}

// Run is sh with these arguments, its own name not among them. It returns the exit
// code, and an error that nobody has printed.
func Run(args []string, streams Streams) (int, error) {
	f, err := parse(args)
	if err != nil {
		return codeUsage, err
	}
	s, err := newScript(streams, f)
	if err != nil {
		return codeUsage, err
	}
	defer s.signals.watch()()
	switch {
	case f.hasCommand:
		return s.text(strings.NewReader(f.command))
	case f.name != "sh":
		return s.file(f.name)
	}
	if !f.interactive && !term.IsTerminal(int(streams.In.Fd())) {
		return s.session(scriptInput{streams.In})
	}
	return s.converse()
}

// file runs a script from a file.
func (s *script) file(name string) (int, error) {
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return codeNotFound, err
	}
	if err != nil {
		return codeCannotExec, err
	}
	defer file.Close()
	return s.text(file)
}

// Builtin runs a builtin of the language, such as printf, as a program.
func Builtin(name string, args []string, streams Streams) (int, error) {
	s, err := newScript(streams, flags{name: name, params: append([]string{"--"}, args...)})
	if err != nil {
		return codeUsage, err
	}
	return s.text(strings.NewReader(name + ` "$@"`))
}

// parse reads "[-eux…] [-c COMMAND [NAME [ARG…]]] [SCRIPT [ARG…]]".
func parse(args []string) (flags, error) {
	f := flags{name: "sh"}
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			break
		}
		if strings.HasSuffix(arg, "o") && len(args) > 0 {
			f.params = append(f.params, arg[:1]+"o", args[0])
			arg, args = arg[:len(arg)-1], args[1:]
		}
		f.letters(arg)
	}
	if f.hasCommand {
		if len(args) == 0 {
			return f, errors.New("option -c wants a command")
		}
		f.command, args = args[0], args[1:]
	}
	if len(args) > 0 {
		f.name, args = args[0], args[1:]
	}
	f.params = append(append(f.params, "--"), args...)
	return f, nil
}

// letters takes one argument apart; what is not for sh is for set.
func (f *flags) letters(arg string) {
	for _, letter := range arg[1:] {
		switch letter {
		case 'c':
			f.hasCommand = true
		case 'i':
			f.interactive = true
		case 'l', 's':
		default:
			f.params = append(f.params, arg[:1]+string(letter))
		}
	}
}

func newScript(streams Streams, f flags) (*script, error) {
	signals := newSignals(streams.Asked)
	s := &script{streams: streams, name: f.name, signals: signals, hooks: newHooks(signals)}
	r, err := interp.New(
		interp.StdIO(streams.In, streams.Out, streams.Err),
		interp.Params(f.params...),
		interp.Interactive(f.interactive),
		interp.CallHandler(s.hooks.beforeCall),
		interp.OpenHandler(open),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return s.hooks.execute }),
	)
	if err != nil {
		return nil, err
	}
	s.runner, s.hooks.runner = r, r
	return s, nil
}

// text runs a whole script, which must parse before anything of it runs.
func (s *script) text(r io.Reader) (int, error) {
	file, err := syntax.NewParser().Parse(r, s.name)
	if err != nil {
		return codeUsage, err
	}
	s.hooks.learn(file)
	code, err := status(s.runner.Run(context.Background(), file))
	return s.lastTraps(code, err)
}

// lastTraps runs the actions of signals that came during the last command.
func (s *script) lastTraps(code int, err error) (int, error) {
	for {
		action, ok := s.signals.due()
		if !ok {
			return code, err
		}
		file, e := syntax.NewParser().Parse(strings.NewReader(action), "trap")
		if e != nil {
			return codeUsage, e
		}
		ran, e := status(s.runner.Run(context.Background(), file))
		if e != nil || s.runner.Exited() {
			return ran, e
		}
	}
}

// status takes the exit code out of what Run returns.
func status(err error) (int, error) {
	var code interp.ExitStatus
	if errors.As(err, &code) {
		return int(code), nil
	}
	return 0, err
}
