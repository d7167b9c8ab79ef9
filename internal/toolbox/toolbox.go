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
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carob/internal/toolbox/early"
	"carob/internal/toolbox/files"
	"carob/internal/toolbox/shell"
	"carob/internal/toolbox/text"
	"carob/internal/toolbox/tool"
	"carob/internal/toolbox/web"
)

// tools lists all of them. It is a function, so that a start pays only for the list and
// not for what is in it.
func tools() []tool.Tool {
	return slices.Concat(files.Tools(), text.Tools(), processTools(), signalTools(), hostTools(), terminalTools(), networkTools(), ipcTools(), []tool.Tool{
		{Name: "sh", Usage: "[-eux] [-c COMMAND [NAME [ARG]...]] [SCRIPT [ARG]...]", Does: "run commands, from a person, a script or an argument", Misused: 2, Run: sh},
		{Name: "httpd", Usage: "[-p PORT] [-a ADDRESS] [-u SOCKET] [-q]", Does: "serve httpbin's basic endpoints: " + web.Endpoints, Misused: 2, Run: web.Serve},
		{Name: "curl", Usage: "[-sSfiILkv] [-o FILE] [-w FORMAT] [-X METHOD] [-d DATA] [-H HEADER] [-m SECONDS] [--unix-socket PATH] URL...", Does: "ask an HTTP server", Misused: 2, Run: web.Get},
		{Name: "echo", Usage: "[-n] [TEXT]...", Does: "print a line", Literal: true, Run: builtin},
		{Name: "printf", Usage: "FORMAT [ARGUMENT]...", Does: "print formatted text", Run: builtin},
		{Name: "test", Usage: "EXPRESSION", Does: "check files and compare values", Misused: 2, Literal: true, Run: builtin},
		{Name: "[", Usage: "EXPRESSION ]", Does: "check files and compare values", Misused: 2, Literal: true, Run: builtin},
		{Name: "true", Does: "do nothing, successfully", Literal: true, Run: func(*tool.Call) (int, error) { return 0, nil }},
		{Name: "false", Does: "do nothing, unsuccessfully", Literal: true, Run: func(*tool.Call) (int, error) { return tool.Failed, nil }},
	})
}

func sh(c *tool.Call) (int, error) { return shell.Run(c.Args, streams(c)) }

// builtin runs what the shell has in itself.
func builtin(c *tool.Call) (int, error) { return shell.Builtin(c.Name, c.Args, streams(c)) }

func streams(c *tool.Call) shell.Streams {
	return shell.Streams{In: c.In, Out: c.Out, Err: c.Err, Asked: c.Asked}
}

// Main runs the tool that args, with the program's name first, ask for, and returns
// the exit code. asked are the signals that ask the process to end: early.Asked.
func Main(args []string, asked chan os.Signal) int {
	name, args := choose(args)
	if name == "true" { // before anything is built up
		return 0
	}
	t, ok := lookUp(name)
	if !ok {
		fmt.Fprintf(os.Stderr, "toolbox: no tool '%s'; toolbox --help lists them\n", tool.Printable(name))
		return tool.NotFound
	}
	c := &tool.Call{Name: name, Args: args, In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Asked: asked}
	if len(args) > 0 && args[0] == "--help" && !t.Literal {
		fmt.Fprint(c.Out, t.Help())
		return 0
	}
	heed(name, asked)
	code, err := t.Run(c)
	return t.Finish(c, code, err)
}

// heed sees to it that signals end a tool, or are brought to one that looks after them.
func heed(name string, asked chan os.Signal) {
	switch looks := name == "sh" || name == "httpd"; {
	case looks && !early.First():
		early.Catch(asked)
	case !looks && early.First():
		tool.DieWhenAsked(asked)
	case !looks:
		tool.ByDefault(early.Enders())
	}
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
	return slices.ContainsFunc(tools(), func(t tool.Tool) bool { return t.Name == name })
}

func lookUp(name string) (tool.Tool, bool) {
	switch name {
	case "--help", "-h":
		return tool.Tool{Name: "toolbox", Run: list}, true
	case "--rootfs":
		return tool.Tool{Name: "toolbox --rootfs", Run: writeRootfs}, true
	}
	for _, t := range tools() {
		if t.Name == name {
			return t, true
		}
	}
	return tool.Tool{}, false
}

// list is the toolbox's page: every tool with what it does.
func list(c *tool.Call) (int, error) {
	all := tools()
	slices.SortFunc(all, func(a, b tool.Tool) int { return strings.Compare(a.Name, b.Name) })
	fmt.Fprint(c.Out, "usage: toolbox TOOL [ARGUMENT]..., or a tool by its name; TOOL --help says more\n\n")
	for _, t := range all {
		if _, err := fmt.Fprintf(c.Out, "%-10s %s\n", t.Name, t.Does); err != nil {
			return 0, err
		}
	}
	return 0, nil
}
