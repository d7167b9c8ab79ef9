package toolbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"carob/internal/toolbox/tool"
)

// codeOwn is the exit code of a tool that runs a command, for its own failures: the
// command's codes are from 0 to 127.
const codeOwn = 125

func processTools() []tool.Tool {
	return []tool.Tool{
		{Name: "caps", Usage: "[PID]", Does: "show capabilities, no_new_privs and seccomp", Run: caps},
		{Name: "env", Usage: "[-i] [-u NAME] [NAME=VALUE]... [COMMAND [ARG]...]", Does: "print the environment, or run a command in a changed one", Misused: codeOwn, Run: env},
		{Name: "hold", Usage: "MIB", Does: "take memory, touch it and keep it", Run: hold},
		{Name: "nohup", Usage: "COMMAND [ARG]...", Does: "run a command that SIGHUP does not end", Misused: codeOwn, Run: nohup},
		{Name: "ns", Usage: "[PID]", Does: "show a process's namespaces", Run: namespaces},
		{Name: "sleep", Usage: "NUMBER[smhd]... | infinity", Does: "wait", Run: sleep},
		{Name: "spin", Usage: "[THREADS]", Does: "keep CPUs busy", Run: spin},
		{Name: "timeout", Usage: "[-s SIGNAL] [-k TIME] TIME COMMAND [ARG]...", Does: "run a command for at most a time", Misused: codeOwn, Run: timeout},
		{Name: "xargs", Usage: "[-0rt] [-n COUNT] [-I TEXT] [COMMAND [ARG]...]", Does: "run a command with arguments from standard input", Run: xargs},
	}
}

func sleep(c *tool.Call) (int, error) {
	_, times, err := c.Operands(1, -1, "")
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, a := range times {
		d, err := tool.ParseDuration(a)
		if err != nil {
			return 0, err
		}
		total = max(total+d, total) // an overflow is for ever too
	}
	time.Sleep(total)
	return 0, nil
}

func env(c *tool.Call) (int, error) {
	vars, args := os.Environ(), c.Args
	unset := func(name string) {
		vars = slices.DeleteFunc(vars, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	}
	for len(args) > 0 {
		name, _, assigns := strings.Cut(args[0], "=")
		switch {
		case args[0] == "--":
			return runOr(args[1:], vars, c)
		case args[0] == "-i" || args[0] == "-":
			vars = nil
		case args[0] == "-u" && len(args) > 1:
			unset(args[1])
			args = args[1:]
		case args[0][:min(1, len(args[0]))] == "-":
			return 0, tool.Misused("invalid option '%s'", args[0])
		case assigns:
			unset(name)
			vars = append(vars, args[0])
		default:
			return runOr(args, vars, c)
		}
		args = args[1:]
	}
	return runOr(nil, vars, c)
}

// runOr becomes a command, or without one prints the environment.
func runOr(args, vars []string, c *tool.Call) (int, error) {
	if len(args) > 0 {
		return replaceBy(args, vars)
	}
	for _, v := range vars {
		fmt.Fprintln(c.Out, v)
	}
	return 0, nil
}

// replaceBy makes this process another program; it returns only if it cannot.
func replaceBy(args, env []string) (int, error) {
	path, err := exec.LookPath(args[0])
	if err == nil {
		err = syscall.Exec(path, args, env)
	}
	return startFailure(args[0], err)
}

// startFailure is what it means that a command did not start.
func startFailure(name string, err error) (int, error) {
	if errors.Is(err, exec.ErrNotFound) {
		err = syscall.ENOENT
	}
	code := tool.NotFound
	if errors.Is(err, syscall.EISDIR) {
		err = syscall.EACCES
	}
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
		code = tool.CannotExec
	}
	return code, fmt.Errorf("%s: %s", name, tool.Why(err))
}

func nohup(c *tool.Call) (int, error) {
	_, args, err := c.Operands(1, -1, "+")
	if err != nil {
		return 0, err
	}
	signal.Ignore(syscall.SIGHUP)
	return replaceBy(args, os.Environ())
}

// timeout ends a command by a signal and says so with 124, as coreutils' does.
func timeout(c *tool.Call) (int, error) {
	o, args, err := c.Operands(2, -1, "+s:k:", "signal=s", "kill-after=k")
	if err != nil {
		return 0, err
	}
	limit, err := tool.ParseDuration(args[0])
	if err != nil {
		return 0, err
	}
	n, ok := tool.Signal(cmp.Or(o['s'], "TERM"))
	if !ok {
		return 0, tool.Invalid("invalid signal '%s'", o['s'])
	}
	if limit == 0 {
		limit = tool.Forever // as coreutils has it
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[1], args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.In, c.Out, c.Err
	cmd.Cancel = func() error { return cmd.Process.Signal(n) }
	if o.Has('k') {
		if cmd.WaitDelay, err = tool.ParseDuration(o['k']); err != nil {
			return 0, err
		}
	}
	err = cmd.Run()
	if ctx.Err() == nil {
		return outcome(err)
	}
	if n == syscall.SIGKILL {
		return 128 + int(n), nil // as if this process had been killed, says the manual
	}
	return 124, nil
}

// outcome is a command's exit code, or why there is none.
func outcome(err error) (int, error) {
	var exit *exec.ExitError
	var lookUp *exec.Error
	var path *os.PathError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	case errors.As(err, &lookUp):
		return startFailure(lookUp.Name, lookUp.Err)
	case errors.As(err, &path):
		return startFailure(path.Path, path.Err)
	}
	return tool.Failed, err
}

// hold takes that many MiB of memory, touches every page, and keeps them.
func hold(c *tool.Call) (int, error) {
	_, args, err := c.Operands(1, 1, "")
	if err != nil {
		return 0, err
	}
	mib, err := strconv.ParseUint(args[0], 10, 24)
	if err != nil {
		return 0, tool.Invalid("invalid number of MiB '%s'", args[0])
	}
	held, err := syscall.Mmap(-1, 0, max(1, int(mib)<<20), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		return 0, err
	}
	for i := 0; i < len(held); i += os.Getpagesize() {
		held[i] = 1
	}
	fmt.Fprintf(c.Out, "holding %d MiB\n", mib)
	time.Sleep(tool.Forever)
	runtime.KeepAlive(held)
	return 0, nil
}

// spin keeps that many CPUs busy, one unless told.
func spin(c *tool.Call) (int, error) {
	_, args, err := c.Operands(0, 1, "")
	if err != nil {
		return 0, err
	}
	n := 1
	if len(args) > 0 {
		if n, err = strconv.Atoi(args[0]); err != nil || n < 1 || n > 4096 {
			return 0, tool.Invalid("invalid number of threads '%s'", args[0])
		}
	}
	runtime.GOMAXPROCS(n + 1) // one more for the signal handler
	for range n - 1 {
		go busy()
	}
	busy()
	return 0, nil
}

func busy() {
	//lint:ignore SA5002 burning CPU is what it is for
	for {
	}
}

// procDir is the directory of the process that a tool's operand names, its own without.
func procDir(c *tool.Call) (string, error) {
	_, args, err := c.Operands(0, 1, "")
	if err != nil {
		return "", err
	}
	if len(args) == 0 {
		return "/proc/self", nil
	}
	if _, err := strconv.ParseUint(args[0], 10, 31); err != nil {
		return "", tool.Invalid("invalid process id '%s'", args[0])
	}
	if _, err := os.Stat("/proc/" + args[0]); err != nil {
		return "", fmt.Errorf("%s: No such process", args[0])
	}
	return "/proc/" + args[0], nil
}

// namespaces prints what /proc/PID/ns leads to.
func namespaces(c *tool.Call) (int, error) {
	dir, err := procDir(c)
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(dir + "/ns")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		to, err := os.Readlink(dir + "/ns/" + e.Name())
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(c.Out, "%-18s %s\n", e.Name(), to)
	}
	return 0, nil
}

// caps prints the capability sets and what limits them.
func caps(c *tool.Call) (int, error) {
	dir, err := procDir(c)
	if err != nil {
		return 0, err
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "Cap") || strings.HasPrefix(line, "NoNewPrivs") || strings.HasPrefix(line, "Seccomp:") {
			fmt.Fprint(c.Out, line)
		}
	}
	return 0, nil
}
