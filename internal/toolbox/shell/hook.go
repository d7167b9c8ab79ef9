package shell

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// hooks give the interpreter what belongs to a process: exec that replaces it, traps
// of signals, umask, ulimit, and kill.
type hooks struct {
	runner *interp.Runner
	// replace are the calls that may replace the process: those that no goroutine of
	// the interpreter stands in for (subshell, pipeline, background).
	replace map[syntax.Pos]bool
	caught  chan os.Signal

	mu    sync.Mutex
	traps map[syscall.Signal]string // signal → action, "" ignores it
}

func newHooks() *hooks {
	return &hooks{replace: map[syntax.Pos]bool{}, caught: make(chan os.Signal, 8), traps: map[syscall.Signal]string{}}
}

// watch ends PID 1 by the signals that would end any other process; stop undoes it.
func (h *hooks) watch(first bool) (stop func()) {
	if !first {
		return func() {}
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for s := range asked {
			n, ok := s.(syscall.Signal)
			h.mu.Lock()
			_, trapped := h.traps[n]
			h.mu.Unlock()
			if ok && !trapped {
				os.Exit(128 + int(n))
			}
		}
	}()
	return func() { signal.Stop(asked); close(asked) }
}

// learn finds the calls of exec, and the last command of a script, where this
// process may become the command: then signals reach it and no memory is held.
func (h *hooks) learn(n syntax.Node) {
	if file, ok := n.(*syntax.File); ok && len(file.Stmts) > 0 && !mentions(file, "trap") {
		if last := file.Stmts[len(file.Stmts)-1]; plain(last) {
			h.replace[last.Cmd.Pos()] = true
		}
	}
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
				h.replace[n.Pos()] = true
			}
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
	if action, ok := h.due(); ok {
		return []string{"eval", action + "\n" + quoteAll(args)}, nil
	}
	switch args[0] {
	case "trap":
		return h.trap(hc, args)
	case "umask":
		return outcome(hc, "umask", umask(hc, args[1:]))
	case "ulimit":
		return outcome(hc, "ulimit", ulimit(hc, args[1:]))
	case "kill":
		self, err := os.Executable()
		return append([]string{self}, args...), err
	}
	if h.replace[hc.Pos] && h.runner.Funcs[args[0]] == nil {
		if args[0] == "exec" && len(args) > 1 {
			become(hc, args[1:])
		} else if !interp.IsBuiltin(args[0]) {
			become(hc, args)
		}
	}
	return args, nil
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

// become replaces this process by a command. It returns when it cannot, and the
// interpreter does it its own way, with its messages.
func become(hc interp.HandlerContext, args []string) {
	path, err := interp.LookPathDir(hc.Dir, hc.Env, args[0])
	if err != nil {
		return
	}
	if in, ok := hc.Stdin.(*os.File); !ok || in != os.Stdin {
		return // a here-document is fed by a goroutine
	}
	if os.Chdir(hc.Dir) != nil || !moveTo(hc.Stdout, 1) || !moveTo(hc.Stderr, 2) {
		return
	}
	var env []string
	hc.Env.Each(func(name string, v expand.Variable) bool {
		if v.Exported && v.Kind == expand.String {
			env = append(env, name+"="+v.Str)
		}
		return true
	})
	_ = syscall.Exec(path, args, env) // its error is found again by the interpreter
}

// moveTo makes a stream the file descriptor that the command will write to.
func moveTo(w io.Writer, fd int) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	return int(f.Fd()) == fd || unix.Dup3(int(f.Fd()), fd, 0) == nil
}

// trap adds signals to the library's EXIT and ERR.
func (h *hooks) trap(hc interp.HandlerContext, args []string) ([]string, error) {
	if len(args) < 3 || args[1] != "-" && strings.HasPrefix(args[1], "-") {
		return args, nil
	}
	rest := args[:2:2]
	for _, name := range args[2:] {
		n, ok := Signal(name)
		switch {
		case name == "0":
			rest = append(rest, "EXIT")
		case !ok:
			rest = append(rest, name)
		default:
			h.setTrap(n, args[1])
		}
	}
	if len(rest) == 2 {
		return []string{"true"}, nil
	}
	return rest, nil
}

func (h *hooks) setTrap(n syscall.Signal, action string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch action {
	case "-":
		delete(h.traps, n)
		signal.Reset(n)
	case "":
		h.traps[n] = ""
		signal.Ignore(n)
	default:
		h.traps[n] = action
		signal.Notify(h.caught, n)
	}
}

// due returns the action of a signal that came since the last command.
func (h *hooks) due() (string, bool) {
	select {
	case s := <-h.caught:
		h.mu.Lock()
		defer h.mu.Unlock()
		n, ok := s.(syscall.Signal)
		return h.traps[n], ok && h.traps[n] != ""
	default:
		return "", false
	}
}

// Signal reads TERM, SIGTERM or 15.
func Signal(s string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return syscall.Signal(n), n > 0 && n < 65
	}
	n := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG"))
	return n, n != 0
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
