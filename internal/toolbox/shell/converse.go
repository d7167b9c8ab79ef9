package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"carob/internal/toolbox/tool"
)

// codeInterrupted is the status of a line that Ctrl-C ended: 128 and SIGINT.
const codeInterrupted = 130

// input is where lines come from. Its Read gives no more than a line, and not what
// follows it: that is for the commands of the line.
type input interface {
	io.Reader
	// prompt is told what to ask with before the next Read.
	prompt(text string)
}

// scriptInput is standard input that nobody types. Like every shell it reads one byte
// at a time: what it reads ahead of a command is lost to that command.
type scriptInput struct{ f *os.File }

func (i scriptInput) prompt(string) {}

func (i scriptInput) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return i.f.Read(p[:1])
}

// typed is a terminal's lines, or those of whatever stands in for one with sh -i.
type typed struct {
	in      *os.File
	out     io.Writer
	signals *signals
}

func (t typed) prompt(text string) { fmt.Fprint(t.out, text) }

func (t typed) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := t.signals.await(int(t.in.Fd())); err != nil {
		return 0, err
	}
	return t.in.Read(p[:1])
}

// converse runs what a person types, who may mistype and interrupt.
func (s *script) converse() (int, error) {
	if err := errors.Join(s.signals.atTerminal(), interp.Interactive(true)(s.runner)); err != nil {
		return 0, err
	}
	var in input = typed{s.streams.In, s.streams.Err, s.signals}
	if canEdit(s.streams.In) {
		in = newEdited(typed{s.streams.In, s.streams.Err, s.signals})
	}
	for {
		code, err := s.session(in)
		switch {
		case errors.Is(err, errInterrupted):
			fmt.Fprintln(s.streams.Err)
			s.setStatus(codeInterrupted)
		case err == nil || s.runner.Exited():
			return code, err
		default:
			fmt.Fprintf(s.streams.Err, "sh: %s\n", tool.Printable(err.Error()))
			s.setStatus(code)
		}
	}
}

// session runs lines until the end, or until one that does not parse or is interrupted.
func (s *script) session(in input) (code int, err error) {
	p := syntax.NewParser()
	s.hooks.forget()
	in.prompt(s.ask())
	for stmts, err := range p.InteractiveSeq(in) {
		if err != nil {
			return codeUsage, err
		}
		if p.Incomplete() {
			in.prompt("> ")
			continue
		}
		if code, err = s.line(stmts); err != nil || s.runner.Exited() {
			return code, err
		}
		in.prompt(s.ask())
	}
	return s.lastTraps(code, nil)
}

// line runs the statements of one line. Its error is an interrupt, or one that ends the
// shell.
func (s *script) line(stmts []*syntax.Stmt) (code int, err error) {
	ctx, end := s.signals.begin()
	defer end()
	for _, stmt := range stmts {
		s.hooks.learn(stmt)
		code, err = status(s.runner.Run(ctx, stmt))
		if errors.Is(context.Cause(ctx), errInterrupted) || errors.Is(err, errInterrupted) {
			return codeInterrupted, errInterrupted
		}
		if s.runner.Exited() {
			return code, err
		}
		if err != nil {
			fmt.Fprintf(s.streams.Err, "sh: %s\n", tool.Printable(err.Error()))
		}
	}
	return code, nil
}

// setStatus makes $? what it is after an interrupt or a line that does not parse.
func (s *script) setStatus(code int) {
	file, err := syntax.NewParser().Parse(strings.NewReader(fmt.Sprintf("(exit %d)", code)), "")
	if err == nil {
		_ = s.runner.Run(context.Background(), file.Stmts[0]) // its error is the status
	}
}

// ask is the prompt: PS1, or where one is, with a sign for what root may do.
func (s *script) ask() string {
	if ps1 := s.runner.Vars["PS1"]; ps1.IsSet() {
		return ps1.String()
	}
	if ps1, ok := os.LookupEnv("PS1"); ok {
		return ps1
	}
	sign := "$"
	if os.Geteuid() == 0 {
		sign = "#"
	}
	return tool.Printable(s.runner.Dir) + " " + sign + " "
}
