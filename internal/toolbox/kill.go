package toolbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

func signalTools() []tool.Tool {
	return []tool.Tool{
		{Name: "kill", Usage: "[-SIGNAL | -s SIGNAL] PID... | -l", Does: "send a signal to processes", Run: kill},
		{Name: "killall", Usage: "[-SIGNAL] NAME...", Does: "send a signal to processes by their name", Run: killall},
		{Name: "pgrep", Usage: "[-flx] PATTERN", Does: "find processes by their name", Misused: 2, Run: pgrep},
		{Name: "pkill", Usage: "[-SIGNAL] [-fx] PATTERN", Does: "send a signal to processes by a pattern", Misused: 2, Run: pkill},
		{Name: "ps", Usage: "[aux] [-ef]", Does: "show all processes", Run: ps},
	}
}

func kill(c *tool.Call) (int, error) {
	args := c.Args
	if len(args) > 0 && args[0] == "-l" {
		return listSignals(c, args[1:])
	}
	n, args, err := signalFirst(args)
	if err != nil {
		return 0, err
	}
	if len(args) == 0 {
		return 0, tool.Misuse{}
	}
	var errs []error
	for _, a := range args {
		pid, err := strconv.Atoi(a)
		if err != nil {
			errs = append(errs, fmt.Errorf("invalid number '%s'", a))
		} else if err := syscall.Kill(pid, n); err != nil {
			errs = append(errs, fmt.Errorf("can't kill pid %d: %s", pid, tool.Why(err)))
		}
	}
	return 0, errors.Join(errs...)
}

// listSignals prints all, or the name of one: of an exit code too.
func listSignals(c *tool.Call, args []string) (int, error) {
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		name := unix.SignalName(syscall.Signal(n & 127))
		if err != nil || name == "" {
			return 0, tool.Invalid("unknown signal '%s'", args[0])
		}
		_, err = fmt.Fprintln(c.Out, strings.TrimPrefix(name, "SIG"))
		return 0, err
	}
	for i := syscall.Signal(1); i < 32; i++ {
		fmt.Fprintf(c.Out, "%2d) %s\n", int(i), unix.SignalName(i))
	}
	return 0, nil
}

// signalFirst takes "-TERM", "-15", "-s TERM" or "-0" off; without it is SIGTERM.
func signalFirst(args []string) (syscall.Signal, []string, error) {
	if len(args) > 1 && args[0] == "-s" {
		args = append([]string{"-" + args[1]}, args[2:]...)
	}
	if len(args) == 0 || len(args[0]) < 2 || args[0][0] != '-' || args[0] == "--" {
		return syscall.SIGTERM, slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--" }), nil
	}
	n, ok := tool.Signal(args[0][1:])
	if !ok && args[0] != "-0" {
		return 0, nil, tool.Invalid("bad signal name '%s'", args[0][1:])
	}
	return n, slices.DeleteFunc(slices.Clone(args[1:]), func(a string) bool { return a == "--" }), nil
}

// process is one that /proc shows.
type process struct {
	pid     int
	status  map[string]string
	command string // its arguments, or its name in brackets
}

func processes() ([]process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		status, err1 := os.ReadFile(dir + "/status")
		if err != nil || err1 != nil {
			continue // it has ended
		}
		p := process{pid: pid, status: map[string]string{}}
		for line := range strings.Lines(string(status)) {
			k, v, _ := strings.Cut(line, ":")
			p.status[k] = strings.TrimSpace(v)
		}
		p.command = "[" + p.status["Name"] + "]"
		if text, err := os.ReadFile(dir + "/cmdline"); err == nil && len(text) > 0 {
			p.command = string(bytes.ReplaceAll(bytes.TrimRight(text, "\x00"), []byte{0}, []byte{' '}))
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b process) int { return a.pid - b.pid })
	return all, nil
}

// ps shows every process that /proc shows, whatever it is asked for.
func ps(c *tool.Call) (int, error) {
	for _, a := range c.Args {
		if strings.Trim(a, "-aeuxfAlwW") != "" {
			return 0, tool.Misused("unknown argument '%s'", a)
		}
	}
	all, err := processes()
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(c.Out, "%7s %7s %-8s %-4s %8s %s\n", "PID", "PPID", "USER", "STAT", "RSS", "COMMAND")
	for _, p := range all {
		uid, err := strconv.Atoi(first(p.status["Uid"]))
		user := userName(uid)
		if err != nil {
			user = "?"
		}
		fmt.Fprintf(c.Out, "%7d %7s %-8s %-4s %8s %s\n", p.pid, p.status["PPid"], user, first(p.status["State"]), first(p.status["VmRSS"]), tool.Printable(p.command))
	}
	return 0, nil
}

func first(s string) string {
	if f := strings.Fields(s); len(f) > 0 {
		return f[0]
	}
	return ""
}

func pgrep(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(1, 1, "flx")
	if err != nil {
		return 0, err
	}
	found, err := matching(rest[0], o)
	if err != nil {
		return 0, err
	}
	for _, p := range found {
		fmt.Fprint(c.Out, p.pid)
		if o.Has('l') {
			fmt.Fprint(c.Out, " ", tool.Printable(p.status["Name"]))
		}
		fmt.Fprintln(c.Out)
	}
	if len(found) == 0 {
		return tool.Failed, nil
	}
	return 0, nil
}

// matching finds processes by name, or with -f by their arguments; never this one.
func matching(pattern string, o tool.Options) ([]process, error) {
	if o.Has('x') {
		pattern = "^(?:" + pattern + ")$"
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, tool.Invalid("invalid pattern '%s'", pattern)
	}
	all, err := processes()
	return slices.DeleteFunc(all, func(p process) bool {
		text := p.status["Name"]
		if o.Has('f') {
			text = p.command
		}
		return p.pid == os.Getpid() || !re.MatchString(text)
	}), err
}

func pkill(c *tool.Call) (int, error) {
	n, args, err := syscall.SIGTERM, c.Args, error(nil)
	if len(args) > 1 && args[0] != "-f" && args[0] != "-x" {
		n, args, err = signalFirst(args)
	}
	if err != nil {
		return 0, err
	}
	c.Args = args
	o, rest, err := c.Operands(1, 1, "fx")
	if err != nil {
		return 0, err
	}
	found, err := matching(rest[0], o)
	if err != nil {
		return 0, err
	}
	return signalAll(found, n)
}

func killall(c *tool.Call) (int, error) {
	n, names, err := signalFirst(c.Args)
	if err != nil || len(names) == 0 {
		return 0, orMisuse(err)
	}
	var errs []error
	for _, name := range names {
		found, err := matching(regexp.QuoteMeta(name), tool.Options{'x': ""})
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("%s: no process killed", name)
		}
		if err == nil {
			_, err = signalAll(found, n)
		}
		errs = append(errs, err)
	}
	return 0, errors.Join(errs...)
}

func orMisuse(err error) error {
	if err != nil {
		return err
	}
	return tool.Misuse{}
}

func signalAll(found []process, n syscall.Signal) (int, error) {
	var errs []error
	for _, p := range found {
		if err := syscall.Kill(p.pid, n); err != nil {
			errs = append(errs, fmt.Errorf("can't kill pid %d: %s", p.pid, tool.Why(err)))
		}
	}
	if len(found) == 0 {
		return tool.Failed, nil
	}
	return 0, errors.Join(errs...)
}
