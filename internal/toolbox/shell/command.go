package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"

	"carob/internal/toolbox/tool"
)

// waitCall is how wait comes back to execute, where a builtin can be run beside
// something else. No command can have this name.
const waitCall = "\x00wait"

// execute runs an external command with the messages and codes of a POSIX shell.
func (h *hooks) execute(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	if args[0] == waitCall {
		return h.wait(ctx, hc, args[1:])
	}
	if args[0] == printfCall {
		if code := printf(hc.Stdout, hc.Stderr, args[1:]); code != 0 {
			return interp.ExitStatus(code)
		}
		return nil
	}
	path, err := interp.LookPathDir(hc.Dir, hc.Env, args[0])
	if err != nil {
		return refuse(hc, args[0])
	}
	cmd := exec.Command(path)
	cmd.Args, cmd.Dir, cmd.Env = args, hc.Dir, environ(hc.Env)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = hc.Stdin, hc.Stdout, hc.Stderr
	b := h.jobs.of(hc, ownVariable)
	if b != nil {
		h.detach(cmd)
	}
	if b != nil {
		return h.run(ctx, hc, cmd, func() {
			h.jobs.began(b, cmd.Process.Pid)
			defer h.jobs.ended(b, cmd.Process.Pid)
			_ = cmd.Wait() // its result is in the command
		})
	}
	leave := h.signals.enter()
	err = h.run(ctx, hc, cmd, func() {
		if h.signals.wasInterrupted() { // before there was a process that the terminal could tell
			_ = cmd.Process.Signal(syscall.SIGINT)
		}
		_ = cmd.Wait()
	})
	leave(errors.Is(err, interp.ExitStatus(128+syscall.SIGINT)))
	return err
}

// run starts a command and has wait wait for it.
func (h *hooks) run(ctx context.Context, hc interp.HandlerContext, cmd *exec.Cmd, wait func()) error {
	if err := ctx.Err(); err != nil {
		return err // interrupted just before
	}
	err := cmd.Start()
	if errors.Is(err, syscall.ENOEXEC) || errors.Is(err, syscall.ETXTBSY) {
		return interp.DefaultExecHandler(2*time.Second)(ctx, cmd.Args) // a script without #!, or one just written
	}
	if err != nil {
		fmt.Fprintf(hc.Stderr, "sh: %s: %s\n", tool.Printable(cmd.Args[0]), tool.Why(err))
		return interp.ExitStatus(codeCannotExec)
	}
	wait()
	return h.ended(hc, cmd.ProcessState)
}

// detach keeps a background command from the terminal, as POSIX wants of a shell
// without job control: neither its keys' signals nor its input are for the command.
func (h *hooks) detach(cmd *exec.Cmd) {
	if in, ok := cmd.Stdin.(*os.File); ok && in == os.Stdin {
		cmd.Stdin = nil // /dev/null
	}
	if h.signals.interactive {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
}

// ended turns a command's end into the shell's status. At a terminal it names the
// signal: a command that the OOM killer ended says nothing itself.
func (h *hooks) ended(hc interp.HandlerContext, state *os.ProcessState) error {
	ws, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case state.Success():
		return nil
	case !ok || !ws.Signaled():
		return interp.ExitStatus(state.ExitCode())
	}
	n := ws.Signal()
	if h.signals.interactive && n != syscall.SIGINT && n != syscall.SIGPIPE {
		text := n.String()
		fmt.Fprintln(hc.Stderr, strings.ToUpper(text[:1])+text[1:])
	}
	return interp.ExitStatus(128 + n)
}

// open opens a redirection's file. The library prints such errors, of this type only.
func open(ctx context.Context, path string, flag int, perm os.FileMode) (io.ReadWriteCloser, error) {
	f, err := interp.DefaultOpenHandler()(ctx, path, flag, perm)
	if err == nil {
		return f, nil
	}
	what := "sh: cannot open"
	if flag&os.O_CREATE != 0 {
		what = "sh: cannot create"
	}
	return nil, &os.PathError{Op: what, Path: tool.Printable(path), Err: errors.New(tool.Why(err))}
}

// refuse says why there is no command of that name.
func refuse(hc interp.HandlerContext, name string) error {
	path := name
	if !strings.HasPrefix(path, "/") {
		path = hc.Dir + "/" + path
	}
	if fi, err := os.Stat(path); err == nil && strings.Contains(name, "/") {
		why := "Permission denied"
		if fi.IsDir() {
			why = "Is a directory"
		}
		fmt.Fprintf(hc.Stderr, "sh: %s: %s\n", tool.Printable(name), why)
		return interp.ExitStatus(codeCannotExec)
	}
	fmt.Fprintf(hc.Stderr, "sh: %s: not found\n", tool.Printable(name))
	return interp.ExitStatus(codeNotFound)
}

// wait is the builtin, which a trapped signal ends: "sleep 1000 & wait" with a trap is
// how scripts wait for a container's stop.
func (h *hooks) wait(ctx context.Context, hc interp.HandlerContext, args []string) error {
	done := make(chan error, 1)
	go func() { done <- hc.Builtin(ctx, append([]string{"wait"}, args...)) }() // lasts until what it waits for does
	select {
	case err := <-done:
		return err
	case <-h.signals.came:
		return interp.ExitStatus(128 + h.signals.firstPending())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// environ are the exported variables. A variable comes again where an inner scope
// changes it; the last one counts.
func environ(env expand.Environ) []string {
	at := map[string]int{}
	var list []string
	env.Each(func(name string, v expand.Variable) bool {
		i, known := at[name]
		entry := ""
		if v.IsSet() && v.Exported && v.Kind == expand.String {
			entry = name + "=" + v.String()
		}
		if known {
			list[i] = entry
		} else {
			at[name] = len(list)
			list = append(list, entry)
		}
		return true
	})
	kept := list[:0]
	for _, entry := range list {
		if entry != "" {
			kept = append(kept, entry)
		}
	}
	return kept
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
	_ = syscall.Exec(path, args, environ(hc.Env)) // its error is found again by the interpreter
}

// moveTo makes a stream the file descriptor that the command will write to.
func moveTo(w io.Writer, fd int) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	return int(f.Fd()) == fd || unix.Dup3(int(f.Fd()), fd, 0) == nil
}
