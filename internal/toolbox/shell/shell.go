// Package shell is the toolbox's sh. The language is mvdan.cc/sh's; what a library
// cannot give, because it is no process, is added here: exec that replaces the
// process, traps of signals, umask, ulimit, kill, reading standard input line by
// line, and the exit codes of POSIX.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

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
}

// script is one run of the shell.
type script struct {
	streams Streams
	runner  *interp.Runner
	hooks   *hooks
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
	stop := s.hooks.watch(os.Getpid() == 1)
	defer stop()
	switch {
	case f.hasCommand:
		return s.text(strings.NewReader(f.command))
	case f.name != "sh":
		file, err := os.Open(f.name)
		if err != nil {
			return codeNotFound, err
		}
		defer file.Close()
		return s.text(file)
	}
	return s.lines(f.interactive || term.IsTerminal(int(streams.In.Fd())))
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
	s := &script{streams: streams, name: f.name, hooks: newHooks()}
	r, err := interp.New(
		interp.StdIO(streams.In, streams.Out, streams.Err),
		interp.Params(f.params...),
		interp.Interactive(f.interactive),
		interp.CallHandler(s.hooks.beforeCall),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return execute }),
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
	return status(s.runner.Run(context.Background(), file))
}

// lines runs standard input as it comes, so that a command may read the lines that
// follow it; prompts are for people only.
func (s *script) lines(interactive bool) (int, error) {
	if interactive {
		// Ctrl-C is for the command, not for the shell that waits for it. Catching,
		// unlike ignoring, is not inherited.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
	}
	s.prompt(interactive, "$ ")
	code := 0
	for {
		again, c, err := s.session(interactive)
		code = c
		if !again {
			return code, err
		}
		fmt.Fprintf(s.streams.Err, "sh: %v\n", err)
		s.prompt(interactive, "$ ")
	}
}

// session runs lines until the end, or until one that does not parse, after which
// a person may try again.
func (s *script) session(interactive bool) (again bool, code int, err error) {
	p := syntax.NewParser()
	for stmts, err := range p.InteractiveSeq(byteReader{s.streams.In}) {
		if err != nil {
			return interactive, codeUsage, err
		}
		if p.Incomplete() {
			s.prompt(interactive, "> ")
			continue
		}
		for _, stmt := range stmts {
			s.hooks.learn(stmt)
			code, err = status(s.runner.Run(context.Background(), stmt))
			if s.runner.Exited() {
				return false, code, err
			}
			if err != nil {
				fmt.Fprintf(s.streams.Err, "sh: %v\n", err)
			}
		}
		s.prompt(interactive, "$ ")
	}
	return false, code, nil
}

func (s *script) prompt(interactive bool, text string) {
	if interactive {
		fmt.Fprint(s.streams.Err, text)
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

// byteReader reads one byte at a time, as every shell must: what it reads ahead of a
// command is lost to that command.
type byteReader struct{ r io.Reader }

func (b byteReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return b.r.Read(p[:1])
}

// execute runs an external command with the messages and codes of a POSIX shell.
func execute(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	_, err := interp.LookPathDir(hc.Dir, hc.Env, args[0])
	if err == nil {
		return interp.DefaultExecHandler(2*time.Second)(ctx, args)
	}
	if fi, e := os.Stat(args[0]); e == nil && strings.Contains(args[0], "/") {
		why := "permission denied"
		if fi.IsDir() {
			why = "is a directory"
		}
		fmt.Fprintf(hc.Stderr, "sh: %s: %s\n", args[0], why)
		return interp.ExitStatus(codeCannotExec)
	}
	fmt.Fprintf(hc.Stderr, "sh: %s: not found\n", args[0])
	return interp.ExitStatus(codeNotFound)
}
