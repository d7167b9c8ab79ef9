package shell

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"carob/internal/toolbox/tool"
)

// hooks give the interpreter what belongs to a process: exec that replaces it, traps
// of signals, umask, ulimit, and kill.
type hooks struct {
	runner  *interp.Runner
	signals *signals
	jobs    jobs
	// execs are the calls of exec that may replace the process: those that no goroutine
	// of the interpreter stands in for (subshell, pipeline, background). last is a
	// script's last command, which may too.
	execs, last map[syntax.Pos]bool
	// began says that a command has run.
	began atomic.Bool
	// apart are the calls in a subshell, a substitution, a pipe or the background: traps
	// are the shell's itself and do not run there.
	apart map[syntax.Pos]bool
}

func newHooks(s *signals) *hooks {
	h := &hooks{signals: s}
	h.forget()
	return h
}

// forget drops what was learned: positions count anew in a new text.
func (h *hooks) forget() {
	h.execs, h.last = map[syntax.Pos]bool{}, map[syntax.Pos]bool{}
	h.apart = map[syntax.Pos]bool{}
}

// learn finds the calls of exec, and the last command of a script, where this
// process may become the command: then signals reach it and no memory is held.
func (h *hooks) learn(n syntax.Node) {
	if file, ok := n.(*syntax.File); ok && len(file.Stmts) > 0 && !mentions(file, "trap") {
		if last := file.Stmts[len(file.Stmts)-1]; plain(last) {
			h.last[last.Cmd.Pos()] = true
		}
	}
	numberJobs(n)
	h.learnApart(n)
	syntax.Walk(n, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Subshell, *syntax.CmdSubst, *syntax.ProcSubst, *syntax.CoprocClause, *syntax.FuncDecl:
			return false
		case *syntax.BinaryCmd:
			return n.Op != syntax.Pipe && n.Op != syntax.PipeAll
		case *syntax.Stmt:
			return !n.Background
		case *syntax.CallExpr:
			if len(n.Args) > 0 && n.Args[0].Lit() == "exec" {
				h.execs[n.Pos()] = true
			}
		}
		return true
	})
}

func (h *hooks) learnApart(n syntax.Node) {
	syntax.Walk(n, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Stmt:
			if n.Background {
				mark(h.apart, n)
			}
		case *syntax.Subshell, *syntax.CmdSubst, *syntax.ProcSubst, *syntax.CoprocClause:
			mark(h.apart, n)
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				mark(h.apart, n)
			}
		}
		return true
	})
}

// mark adds all calls in a node.
func mark(calls map[syntax.Pos]bool, n syntax.Node) {
	syntax.Walk(n, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			calls[call.Args[0].Pos()] = true
		}
		return true
	})
}

func plain(s *syntax.Stmt) bool {
	call, ok := s.Cmd.(*syntax.CallExpr)
	return ok && !s.Background && !s.Negated && len(s.Redirs) == 0 && len(call.Assigns) == 0 && len(call.Args) > 0
}

func mentions(n syntax.Node, word string) (found bool) {
	syntax.Walk(n, func(n syntax.Node) bool {
		if l, ok := n.(*syntax.Lit); ok && (l.Value == word || l.Value == "eval" || l.Value == ".") {
			found = true
		}
		return !found
	})
	return found
}

// beforeCall sees every simple command. It runs what it knows itself and then
// returns "true" or "false" in its place.
func (h *hooks) beforeCall(ctx context.Context, args []string) ([]string, error) {
	hc := interp.HandlerCtx(ctx)
	b := h.jobs.of(hc, ownVariable)
	if b == nil && !h.apart[hc.Pos] {
		if action, ok := h.signals.due(); ok {
			return []string{"eval", action + "\n" + quoteAll(args)}, nil
		}
	}
	if b != nil {
		if h.jobs.wasKilled(b) {
			return nil, interp.ExitStatus(128 + syscall.SIGTERM)
		}
		if interp.IsBuiltin(args[0]) {
			h.jobs.began(b, 0)
		}
	}
	h.tryToBecome(hc, args)
	h.began.Store(true)
	return h.ownBuiltin(hc, args)
}

// ownBuiltin are the builtins that are the shell's and not the library's.
func (h *hooks) ownBuiltin(hc interp.HandlerContext, args []string) ([]string, error) {
	if set := h.jobs.assignment(hc, args); set != "" {
		return []string{"eval", set}, nil
	}
	switch args[0] {
	case "printf":
		if len(args) == 1 || args[1] != "-v" {
			return append([]string{printfCall}, args[1:]...), nil
		}
	case "trap":
		return h.trap(hc, args)
	case "umask":
		return outcome(hc, "umask", umask(hc, args[1:]))
	case "ulimit":
		return outcome(hc, "ulimit", ulimit(hc, args[1:]))
	case "wait":
		return append([]string{waitCall}, args[1:]...), nil
	case "read":
		return h.beforeRead(hc, args)
	case "kill":
		return h.beforeKill(hc, args)
	}
	return args, nil
}

// tryToBecome replaces the shell by a command where that is the same to everybody. The
// first process of a PID namespace does not when it has run something already: a signal
// that comes while the new program starts would end it with a code of Go's (see package
// early), and somebody who has just answered "read" is there to type Ctrl-C.
func (h *hooks) tryToBecome(hc interp.HandlerContext, args []string) {
	switch {
	case h.runner.Funcs[args[0]] != nil:
	case h.execs[hc.Pos] && args[0] == "exec" && len(args) > 1:
		become(hc, args[1:])
	case h.last[hc.Pos] && (os.Getpid() != 1 || !h.began.Load()) && !interp.IsBuiltin(args[0]) && !slices.Contains([]string{"umask", "ulimit", "kill"}, args[0]):
		become(hc, args)
	}
}

func outcome(hc interp.HandlerContext, name string, err error) ([]string, error) {
	if err != nil {
		fmt.Fprintf(hc.Stderr, "sh: %s: %v\n", name, err)
		return []string{"false"}, nil
	}
	return []string{"true"}, nil
}

func quoteAll(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		q, err := syntax.Quote(a, syntax.LangBash)
		if err != nil {
			return "false" // a zero byte, which no command can be given
		}
		words[i] = q
	}
	return strings.Join(words, " ")
}

// beforeKill is the program's own kill, with processes in place of jobs.
func (h *hooks) beforeKill(hc interp.HandlerContext, args []string) ([]string, error) {
	aimed := h.jobs.aim(hc, args)
	if len(aimed) == 1 && len(args) > 1 {
		return outcome(hc, "kill", fmt.Errorf("%s: No such process", tool.Printable(args[len(args)-1])))
	}
	self, err := os.Executable()
	return append([]string{self}, aimed...), err
}

// beforeRead waits for the line, so that Ctrl-C can end the wait. A prompt goes first.
func (h *hooks) beforeRead(hc interp.HandlerContext, args []string) ([]string, error) {
	in, ok := hc.Stdin.(*os.File)
	if !ok || !h.signals.interactive {
		return args, nil
	}
	if i := slices.Index(args, "-p"); i > 0 && i+1 < len(args) {
		fmt.Fprint(hc.Stderr, args[i+1])
		args = slices.Delete(slices.Clone(args), i, i+2)
	}
	return args, h.signals.await(int(in.Fd()))
}

// trap adds signals to the library's EXIT and ERR.
func (h *hooks) trap(hc interp.HandlerContext, args []string) ([]string, error) {
	if len(args) < 3 || args[1] != "-" && strings.HasPrefix(args[1], "-") {
		return args, nil
	}
	rest := args[:2:2]
	for _, name := range args[2:] {
		n, ok := tool.Signal(name)
		switch {
		case name == "0":
			rest = append(rest, "EXIT")
		case !ok:
			rest = append(rest, name)
		default:
			h.signals.setTrap(n, args[1])
		}
	}
	if len(rest) == 2 {
		return []string{"true"}, nil
	}
	return rest, nil
}

func umask(hc interp.HandlerContext, args []string) error {
	if len(args) == 0 {
		old := unix.Umask(0)
		unix.Umask(old)
		_, err := fmt.Fprintf(hc.Stdout, "%04o\n", old)
		return err
	}
	mask, err := strconv.ParseUint(args[0], 8, 9)
	if err != nil {
		return fmt.Errorf("%q is not an octal mask", args[0])
	}
	unix.Umask(int(mask))
	return nil
}
