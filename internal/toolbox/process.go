package toolbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"carob/internal/toolbox/shell"
)

func processTools() []applet {
	return []applet{
		{"caps", caps}, {"env", env}, {"false", func(*call) (int, error) { return codeFailed, nil }}, {"hold", hold}, {"kill", kill},
		{"nohup", nohup}, {"ns", namespaces}, {"ps", ps}, {"sleep", sleep}, {"spin", spin}, {"timeout", timeout},
	}
}

func sleep(c *call) (int, error) {
	if len(c.args) == 0 {
		return codeUsage, errors.New("usage: sleep NUMBER[smhd]… | infinity")
	}
	var total time.Duration
	for _, a := range c.args {
		d, err := parseDuration(a)
		if err != nil {
			return codeUsage, err
		}
		total = max(total+d, total) // an overflow is for ever too
	}
	time.Sleep(total)
	return 0, nil
}

const forever = time.Duration(1<<63 - 1)

// parseDuration reads what sleep(1) does: a decimal number with s, m, h or d.
func parseDuration(s string) (time.Duration, error) {
	if s == "infinity" || s == "inf" {
		return forever, nil
	}
	unit := time.Second
	text := s
	if s != "" {
		switch s[len(s)-1] {
		case 's':
			text = s[:len(s)-1]
		case 'm':
			unit, text = time.Minute, s[:len(s)-1]
		case 'h':
			unit, text = time.Hour, s[:len(s)-1]
		case 'd':
			unit, text = 24*time.Hour, s[:len(s)-1]
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n != n {
		return 0, fmt.Errorf("%q is no time", s)
	}
	if n*float64(unit) >= float64(forever) {
		return forever, nil
	}
	return time.Duration(n * float64(unit)), nil
}

func kill(c *call) (int, error) {
	args := c.args
	if len(args) > 0 && args[0] == "-l" {
		for i := syscall.Signal(1); i < 32; i++ {
			fmt.Fprintf(c.stdout, "%d %v\n", int(i), i)
		}
		return 0, nil
	}
	n, args, err := signalFirst(args)
	if err != nil {
		return codeUsage, err
	}
	if len(args) == 0 {
		return codeUsage, errors.New("usage: kill [-SIGNAL] PID…")
	}
	var errs error
	for _, a := range args {
		pid, err := strconv.Atoi(a)
		if err == nil {
			err = syscall.Kill(pid, n)
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", a, err))
		}
	}
	return 0, errs
}

// signalFirst takes "-TERM", "-15", "-s TERM" or "-0" off; without it is SIGTERM.
func signalFirst(args []string) (syscall.Signal, []string, error) {
	if len(args) > 1 && args[0] == "-s" {
		args = append([]string{"-" + args[1]}, args[2:]...)
	}
	if len(args) == 0 || len(args[0]) < 2 || args[0][0] != '-' {
		return syscall.SIGTERM, args, nil
	}
	n, ok := shell.Signal(args[0][1:])
	if !ok && args[0] != "-0" {
		return 0, nil, fmt.Errorf("%q is no signal", args[0][1:])
	}
	return n, args[1:], nil
}

// ps shows every process that /proc shows.
func ps(c *call) (int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	slices.SortFunc(dirs, func(a, b string) int {
		x, _ := strconv.Atoi(a[6:]) // digits, by the pattern
		y, _ := strconv.Atoi(b[6:])
		return x - y
	})
	fmt.Fprintf(c.stdout, "%7s %7s %6s %-4s %8s %s\n", "PID", "PPID", "UID", "STAT", "RSS", "COMMAND")
	for _, dir := range dirs {
		status, err := os.ReadFile(dir + "/status")
		if err != nil {
			continue // it has ended
		}
		f := map[string]string{}
		for line := range strings.Lines(string(status)) {
			k, v, _ := strings.Cut(line, ":")
			f[k] = first(v)
		}
		command := "[" + f["Name"] + "]"
		if text, err := os.ReadFile(dir + "/cmdline"); err == nil && len(text) > 0 {
			command = strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
		}
		fmt.Fprintf(c.stdout, "%7s %7s %6s %-4s %8s %s\n", dir[6:], f["PPid"], f["Uid"], f["State"], f["VmRSS"], command)
	}
	return 0, nil
}

func first(s string) string {
	if f := strings.Fields(s); len(f) > 0 {
		return f[0]
	}
	return ""
}

func env(c *call) (int, error) {
	vars, args := os.Environ(), c.args
	for len(args) > 0 {
		switch {
		case args[0] == "-i" || args[0] == "-":
			vars = nil
		case args[0] == "-u" && len(args) > 1:
			name := args[1] + "="
			vars = slices.DeleteFunc(vars, func(v string) bool { return strings.HasPrefix(v, name) })
			args = args[1:]
		case strings.Contains(args[0], "="):
			name, _, _ := strings.Cut(args[0], "=")
			vars = slices.DeleteFunc(vars, func(v string) bool { return strings.HasPrefix(v, name+"=") })
			vars = append(vars, args[0])
		default:
			return replaceBy(args, vars)
		}
		args = args[1:]
	}
	for _, v := range vars {
		fmt.Fprintln(c.stdout, v)
	}
	return 0, nil
}

// replaceBy makes this process another program; it returns only if it cannot.
func replaceBy(args, env []string) (int, error) {
	path, err := exec.LookPath(args[0])
	if err == nil {
		err = syscall.Exec(path, args, env)
	}
	if errors.Is(err, os.ErrPermission) {
		return codeCannotExec, err
	}
	return codeNotFound, err
}

func nohup(c *call) (int, error) {
	if len(c.args) == 0 {
		return codeUsage, errors.New("usage: nohup COMMAND…")
	}
	signal.Ignore(syscall.SIGHUP)
	return replaceBy(c.args, os.Environ())
}

// timeout ends a command by a signal and says so with 124, as coreutils' does.
func timeout(c *call) (int, error) {
	o, args, err := c.parse("s:k:")
	if err != nil || len(args) < 2 {
		return 125, errors.Join(err, errors.New("usage: timeout [-s SIGNAL] [-k TIME] TIME COMMAND…"))
	}
	limit, err := parseDuration(args[0])
	if err != nil {
		return 125, err
	}
	n := syscall.SIGTERM
	if s, ok := shell.Signal(o['s']); ok {
		n = s
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[1], args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.stdin, c.stdout, c.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(n) }
	if o.has('k') {
		if cmd.WaitDelay, err = parseDuration(o['k']); err != nil {
			return 125, err
		}
	}
	err = cmd.Run()
	if ctx.Err() != nil {
		return 124, nil
	}
	return outcome(err)
}

// outcome is a command's exit code, or why there is none.
func outcome(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	case errors.Is(err, os.ErrPermission):
		return codeCannotExec, err
	case err != nil:
		return codeNotFound, err
	}
	return 0, nil
}

// hold takes that many MiB of memory, touches every page, and keeps them.
func hold(c *call) (int, error) {
	if len(c.args) != 1 {
		return codeUsage, errors.New("usage: hold MIB")
	}
	mib, err := strconv.ParseUint(c.args[0], 10, 24)
	if err != nil {
		return codeUsage, fmt.Errorf("%q is no number of MiB", c.args[0])
	}
	held, err := syscall.Mmap(-1, 0, max(1, int(mib)<<20), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		return 0, err
	}
	for i := 0; i < len(held); i += os.Getpagesize() {
		held[i] = 1
	}
	fmt.Fprintf(c.stdout, "holding %d MiB\n", mib)
	time.Sleep(forever)
	runtime.KeepAlive(held)
	return 0, nil
}

// spin keeps that many CPUs busy, one unless told.
func spin(c *call) (int, error) {
	n := 1
	if len(c.args) > 0 {
		var err error
		if n, err = strconv.Atoi(c.args[0]); err != nil || n < 1 || n > 4096 {
			return codeUsage, fmt.Errorf("%q is no number of threads", c.args[0])
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

// namespaces prints what /proc/PID/ns leads to, of itself unless told.
func namespaces(c *call) (int, error) {
	pid := "self"
	if len(c.args) > 0 {
		pid = c.args[0]
	}
	entries, err := os.ReadDir("/proc/" + pid + "/ns")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		to, err := os.Readlink("/proc/" + pid + "/ns/" + e.Name())
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(c.stdout, "%-18s %s\n", e.Name(), to)
	}
	return 0, nil
}

// caps prints the capability sets and what limits them.
func caps(c *call) (int, error) {
	pid := "self"
	if len(c.args) > 0 {
		pid = c.args[0]
	}
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "Cap") || strings.HasPrefix(line, "NoNewPrivs") || strings.HasPrefix(line, "Seccomp:") {
			fmt.Fprint(c.stdout, line)
		}
	}
	return 0, nil
}
