// Package toolbox is the program inside the image carob.local/toolbox: a shell, the
// usual small tools, and a few that show what a container is (ns, caps, shm, mq,
// httpd, curl, hold, spin). It is one static binary; the name it is called by, or
// its first argument, chooses the tool.
//
// It is a program of its own and no part of the runtime: it alone may use
// golang.org/x/sys/unix outside of internal/sys, to reach System V and POSIX IPC.
// Tools do what their manual's first page says and refuse options they do not know;
// they are no replacement for coreutils. As PID 1 they end on SIGTERM, which
// the kernel does not do for a process without a handler (pid_namespaces(7)).
package toolbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"carob/internal/toolbox/shell"
	"carob/internal/toolbox/web"
)

// Exit codes that several tools share.
const (
	codeFailed     = 1
	codeUsage      = 2
	codeCannotExec = 126
	codeNotFound   = 127
)

// call is one tool being run.
type call struct {
	name   string
	args   []string // without the name
	stdin  *os.File
	stdout io.Writer
	stderr io.Writer
}

// tool runs and returns an exit code and an error; the error is printed as
// "name: error", and makes the code 1 when it is 0.
type tool func(c *call) (int, error)

type applet struct {
	name string
	run  tool
}

// applets lists all tools. It is a function, so that a start pays only for the
// list and not for what is in it.
func applets() []applet {
	return slices.Concat(coreTools(), textTools(), fileTools(), processTools(), hostTools(), ipcTools(), []applet{
		{"sh", func(c *call) (int, error) { return shell.Run(c.args, c.streams()) }},
		{"httpd", func(c *call) (int, error) { return web.Serve(c.args, c.stdout, c.stderr) }},
		{"curl", func(c *call) (int, error) { return web.Get(c.args, c.stdout, c.stderr) }},
		{"echo", builtin}, {"printf", builtin}, {"test", builtin}, {"[", builtin},
	})
}

// builtin runs what the shell has in itself.
func builtin(c *call) (int, error) { return shell.Builtin(c.name, c.args, c.streams()) }

func (c *call) streams() shell.Streams {
	return shell.Streams{In: c.stdin, Out: c.stdout, Err: c.stderr}
}

// Main runs the tool that args, with the program's name first, ask for, and returns
// the exit code.
func Main(args []string) int {
	name, args := choose(args)
	if name == "true" { // before anything is built up
		return 0
	}
	c := &call{name: name, args: args, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	run, err := lookUp(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return codeNotFound
	}
	if os.Getpid() == 1 && name != "httpd" && name != "sh" {
		dieAsAsked()
	}
	code, err := run(c)
	if err != nil {
		if !errors.Is(err, syscall.EPIPE) {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		}
		if code == 0 {
			code = codeFailed
		}
	}
	return code
}

// choose takes the tool's name from the program's, or when that is no tool, from
// the first argument. A login shell's name begins with a dash.
func choose(args []string) (string, []string) {
	name := filepath.Base(strings.TrimPrefix(args[0], "-"))
	if name == "true" || isTool(name) {
		return name, args[1:]
	}
	if len(args) == 1 {
		return "--help", nil
	}
	return args[1], args[2:]
}

func isTool(name string) bool {
	return slices.ContainsFunc(applets(), func(a applet) bool { return a.name == name })
}

func lookUp(name string) (tool, error) {
	switch name {
	case "--help", "-h":
		return list, nil
	case "--rootfs":
		return writeRootfs, nil
	}
	for _, a := range applets() {
		if a.name == name {
			return a.run, nil
		}
	}
	return nil, fmt.Errorf("carob-toolbox: no tool %q; carob-toolbox --help lists them", name)
}

func names() []string {
	found := []string{"true"}
	for _, a := range applets() {
		found = append(found, a.name)
	}
	slices.Sort(found)
	return found
}

func list(c *call) (int, error) {
	_, err := fmt.Fprintln(c.stdout, strings.Join(names(), "\n"))
	return 0, err
}

// dieAsAsked ends PID 1 with the code that a signal's death has elsewhere. When it
// returns the handler is in place; what waits for it lasts as long as the process.
func dieAsAsked() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		if s, ok := (<-asked).(syscall.Signal); ok {
			os.Exit(128 + int(s))
		}
	}()
}

// options are a tool's short options.
type options map[byte]string

func (o options) has(b byte) bool { _, ok := o[b]; return ok }

// parse reads short options the way getopt(3) does: spec lists letters, one with a
// colon takes a value. rest is what follows; "--" ends the options.
func (c *call) parse(spec string) (o options, rest []string, err error) {
	o = options{}
	rest = c.args
	for len(rest) > 0 && len(rest[0]) > 1 && rest[0][0] == '-' {
		arg := rest[0][1:]
		rest = rest[1:]
		if arg == "-" {
			break
		}
		if rest, err = o.take(spec, arg, rest); err != nil {
			return nil, nil, err
		}
	}
	return o, rest, nil
}

// take reads the letters of one argument and returns what is left of rest.
func (o options) take(spec, arg string, rest []string) ([]string, error) {
	for arg != "" {
		letter := arg[0]
		arg = arg[1:]
		i := strings.IndexByte(spec, letter)
		if i < 0 || letter == ':' {
			return nil, fmt.Errorf("unknown option -%c", letter)
		}
		if i+1 == len(spec) || spec[i+1] != ':' {
			o[letter] = ""
			continue
		}
		if arg == "" {
			if len(rest) == 0 {
				return nil, fmt.Errorf("option -%c wants a value", letter)
			}
			arg, rest = rest[0], rest[1:]
		}
		o[letter], arg = arg, ""
	}
	return rest, nil
}

// each opens the files one after the other, or standard input when there are none;
// "-" is standard input too. It goes on after a file that cannot be opened.
func (c *call) each(files []string, do func(name string, r io.Reader) error) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	var errs error
	for _, name := range files {
		if name == "-" {
			errs = errors.Join(errs, do(name, c.stdin))
			continue
		}
		f, err := os.Open(name)
		if err == nil {
			err = errors.Join(do(name, f), f.Close())
		}
		errs = errors.Join(errs, err)
	}
	return errs
}
