package ocicli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/term"

	"carob/internal/fault"
	"carob/internal/ocirt"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/session"
	"carob/internal/sys/task"
)

func execOptions() []option {
	return []option{
		{"process", "p", isText, "file with the process as JSON"},
		{"detach", "d", isBool, "do not wait"},
		{"tty", "t", isBool, "give it a terminal"},
		{"console-socket", "", isText, "unix socket that gets the terminal's master"},
		{"pid-file", "", isText, "file for the process's number"},
		{"pidfd-socket", "", isText, "unix socket that gets the process's pidfd"},
		{"user", "u", isText, "UID[:GID]"},
		{"cwd", "", isText, "working directory"},
		{"env", "e", isList, "NAME=VALUE, besides the container's"},
		{"additional-gids", "g", isList, "more groups"},
		{"cap", "c", isList, "capabilities, besides the container's"},
		{"apparmor", "", isText, "AppArmor profile"},
		{"process-label", "", isText, "SELinux label"},
		{"no-new-privs", "", isBool, "set no_new_privs"},
		{"ignore-paused", "", isBool, "also in a paused container"},
		{"preserve-fds", "", isText, "how many descriptors from 3 on are passed on"},
		{"cgroup", "", isList, "[CONTROLLER,…:]PATH, a cgroup below the container's"},
	}
}

// failedExec is the status of an exec that did not come to run anything.
const failedExec = 255

func execute(ctx context.Context, a *app) (int, error) {
	code, err := a.execute(ctx)
	if err != nil {
		return 0, &exitError{failedExec, fmt.Errorf("exec failed: %w", err)}
	}
	return code, nil
}

func (a *app) execute(ctx context.Context) (int, error) {
	c, err := a.load()
	if err != nil {
		return 0, err
	}
	o := ocirt.ExecOptions{
		PidFile: a.args.text("pid-file"), ConsoleSocket: a.args.text("console-socket"), PidfdSocket: a.args.text("pidfd-socket"), Paused: a.args.has("ignore-paused"),
	}
	if o.Groups, err = groups(a.args.list("cgroup")); err != nil {
		return 0, err
	}
	if o.Process, err = a.process(c); err != nil {
		return 0, err
	}
	if o.Preserve, err = a.preserve(); err != nil {
		return 0, err
	}
	detach := a.args.has("detach")
	var console *os.File
	if !detach && o.ConsoleSocket == "" {
		o.Console = &console
	}
	pid, err := c.Exec(ctx, o)
	if err != nil || detach {
		return 0, err
	}
	id, _, err := task.Find(pid)
	if err != nil {
		return 0, err
	}
	return a.follow(id, console)
}

// groups reads --cgroup: one PATH for all hierarchies, or CONTROLLER,…:PATH for one each.
func groups(args []string) (map[string]string, error) {
	out := map[string]string{}
	for _, arg := range args {
		list, at, ok := strings.Cut(arg, ":")
		if !ok {
			list, at = "", arg
		}
		for controller := range strings.SplitSeq(list, ",") {
			_, again := out[controller]
			switch {
			case ok && controller == "":
				return nil, fault.New(fault.Invalid, fmt.Sprintf("invalid --cgroup argument: %.80q (empty <controller> prefix)", arg))
			case !ok && len(args) > 1:
				return nil, fault.New(fault.Invalid, fmt.Sprintf("invalid --cgroup argument: %.80q (missing <controller>: prefix)", arg))
			case again:
				return nil, fault.New(fault.Invalid, fmt.Sprintf("invalid --cgroup argument(s): controller %.40q specified multiple times", controller))
			}
			out[controller] = at
		}
	}
	return out, nil
}

// process makes the process from a file, or from the container's with what the flags say.
func (a *app) process(c *ocirt.Container) (*specs.Process, error) {
	if name := a.args.text("process"); name != "" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		p := &specs.Process{}
		if err := ocispec.Read(f, p); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return p, nil
	}
	if len(a.args.rest) < 2 {
		return nil, fault.New(fault.Invalid, "process args cannot be empty")
	}
	spec, err := c.Config()
	if err != nil {
		return nil, err
	}
	p := spec.Process
	p.Args, p.Terminal, p.ConsoleSize = a.args.rest[1:], a.args.has("tty"), nil
	p.Env = append(p.Env, a.args.list("env")...)
	for flag, to := range map[string]*string{"cwd": &p.Cwd, "apparmor": &p.ApparmorProfile, "process-label": &p.SelinuxLabel} {
		if v := a.args.text(flag); v != "" {
			*to = v
		}
	}
	if a.args.has("no-new-privs") {
		p.NoNewPrivileges = true
	}
	addCapabilities(p, a.args.list("cap"))
	return p, a.user(p)
}

func addCapabilities(p *specs.Process, more []string) {
	if len(more) == 0 {
		return
	}
	if p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	k := p.Capabilities
	for _, name := range more {
		for _, set := range []*[]string{&k.Bounding, &k.Effective, &k.Permitted} {
			if !slices.Contains(*set, name) {
				*set = append(*set, name)
			}
		}
		if slices.Contains(k.Inheritable, name) && !slices.Contains(k.Ambient, name) { // as runc does
			k.Ambient = append(k.Ambient, name)
		}
	}
}

func (a *app) user(p *specs.Process) error {
	number := func(s string) (uint32, error) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return 0, fault.New(fault.Invalid, fmt.Sprintf("user or group %q is no number", s))
		}
		return uint32(n), nil
	}
	var errs [3]error
	if u := a.args.text("user"); u != "" {
		uid, gid, both := strings.Cut(u, ":")
		p.User.UID, errs[0] = number(uid)
		if both {
			p.User.GID, errs[1] = number(gid)
		}
	}
	for _, g := range a.args.list("additional-gids") {
		gid, err := number(g)
		p.User.AdditionalGids, errs[2] = append(p.User.AdditionalGids, gid), errors.Join(errs[2], err)
	}
	return errors.Join(errs[:]...)
}

// follow waits for a child, passes on signals and, if it has a terminal, everything
// between that and this program's. It returns the child's status. Signals that come later
// are lost: what is left to do should be done, and 0.2 ms to have each of them back are as
// much as that takes.
func (a Program) follow(id task.ID, console *os.File) (int, error) {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, append(session.Forwarded(), session.Resize())...)
	done := func() {}
	if console != nil {
		defer console.Close()
		var err error
		if done, err = a.connect(console); err != nil {
			return 0, err
		}
	}
	ended := make(chan struct{})
	go func() { // ends with the child
		for {
			select {
			case s := <-signals:
				if s == session.Resize() {
					a.resize(console)
					continue
				}
				_ = id.Signal(session.Number(s)) // it may be gone, which Wait tells
			case <-ended:
				return
			}
		}
	}()
	code, err := task.Wait(id.Pid)
	close(ended)
	done()
	return code, err
}

func (a Program) resize(console *os.File) {
	if console == nil {
		return
	}
	if rows, columns, err := task.Size(a.In); err == nil {
		_ = task.SetSize(console, rows, columns) // a terminal without a size is only less pretty
	}
}

// connect joins a process's terminal to this program's streams. What it returns is called
// when the process has ended: it waits for the last output and gives the terminal back.
func (a Program) connect(console *os.File) (done func(), err error) {
	restore := func() {}
	if term.IsTerminal(int(a.In.Fd())) {
		old, err := term.MakeRaw(int(a.In.Fd()))
		if err != nil {
			return nil, err
		}
		restore = func() { _ = term.Restore(int(a.In.Fd()), old) } // else the shell does it
		a.resize(console)
	}
	go func() { _, _ = io.Copy(console, a.In) }() // ends with the program at the latest
	out := make(chan struct{})
	go func() {
		_, _ = io.Copy(a.Out, console) // EIO says that nobody has the other end any more
		close(out)
	}()
	return func() { <-out; restore() }, nil
}
