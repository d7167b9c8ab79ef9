package ocicli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"carob/internal/fault"
	"carob/internal/ocirt"
	"carob/internal/sys/session"
)

// commands are all there are, in the order of help.
func commands() []command {
	return append([]command{
		{
			name: "create", usage: "ID", help: "create a container, whose process waits for start",
			options: createOptions(), least: 1, most: 1, starts: true, run: create,
		},
		{name: "start", usage: "ID", help: "let a created container's process run", least: 1, most: 1, starts: true, run: start},
		{name: "state", usage: "ID", help: "print a container's state as JSON", least: 1, most: 1, run: state},
		{
			name: "kill", usage: "ID [SIGNAL]", help: "send a signal, TERM if none is named", least: 1, most: 2, run: kill,
			options: []option{{"all", "a", isBool, "to every process of the container"}},
		},
		{
			name: "delete", usage: "ID", help: "remove a container that has stopped", least: 1, most: 1, run: remove,
			options: []option{{"force", "f", isBool, "also one that runs; one that is not there is no error"}},
		},
		{
			name: "run", usage: "ID", help: "create, start, wait for and delete a container", least: 1, most: 1, starts: true, run: run,
			options: append(createOptions(), option{"detach", "d", isBool, "do not wait"}, option{"keep", "", isBool, "do not delete"},
				option{"no-subreaper", "", isBool, "accepted"}),
		},
		{
			name: "exec", usage: "ID [COMMAND [ARGUMENT...]", help: "run one more process in a container",
			options: execOptions(), least: 1, most: 1, starts: true, run: execute,
		},
		{
			name: "list", usage: "", help: "list containers", run: list,
			options: []option{{"format", "f", isText, "table or json"}, {"quiet", "q", isBool, "ids alone"}},
		},
		{
			name: "ps", usage: "ID [OPTIONS FOR PS...]", help: "list a container's processes", least: 1, most: 1, run: ps,
			options: []option{{"format", "f", isText, "table or json"}},
		},
	}, append(resourceCommands(), checkpointCommands()...)...)
}

func createOptions() []option {
	return []option{
		{"bundle", "b", isText, "directory of the bundle (default: the working directory)"},
		{"console-socket", "", isText, "unix socket that gets the terminal's master"},
		{"pid-file", "", isText, "file for the process's number"},
		{"pidfd-socket", "", isText, "unix socket that gets the process's pidfd"},
		{"no-pivot", "", isBool, "leave the host's root without pivot_root: for a root that is the initial ramfs"},
		{"no-new-keyring", "", isBool, "keep the caller's session keyring"},
		{"preserve-fds", "", isText, "how many descriptors from 3 on are passed on"},
	}
}

func (a *app) createOptions() (o ocirt.CreateOptions, err error) {
	o = ocirt.CreateOptions{
		ID: a.args.rest[0], Bundle: a.args.text("bundle"), PidFile: a.args.text("pid-file"),
		ConsoleSocket: a.args.text("console-socket"), PidfdSocket: a.args.text("pidfd-socket"), NoPivot: a.args.has("no-pivot"), NoNewKeyring: a.args.has("no-new-keyring"),
	}
	if o.Bundle == "" {
		o.Bundle = "."
	}
	o.Listen = a.listening()
	o.Preserve, err = a.preserve()
	return o, err
}

func create(ctx context.Context, a *app) (int, error) {
	o, err := a.createOptions()
	if err != nil {
		return 0, err
	}
	_, err = a.runtime.Create(ctx, o)
	return 0, err
}

func start(ctx context.Context, a *app) (int, error) {
	c, err := a.load()
	if err != nil {
		return 0, err
	}
	return 0, c.Start(ctx)
}

func run(ctx context.Context, a *app) (code int, err error) {
	o, err := a.createOptions()
	if err != nil {
		return 0, err
	}
	detach := a.args.has("detach")
	var console *os.File
	if !detach && o.ConsoleSocket == "" {
		o.Console = &console
	}
	o.Here = true
	c, err := a.runtime.Create(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err == nil && (detach || a.args.has("keep")) {
			return
		}
		err = errors.Join(err, c.Delete(ctx, true))
	}()
	if err := c.Start(ctx); err != nil || detach {
		return 0, err
	}
	return a.follow(c.Init, console)
}

// listed is a container as list and state print it.
type listed struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Status      string            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
}

func describe(c *ocirt.Container) (listed, error) {
	status, err := c.Status()
	if err != nil {
		return listed{}, err
	}
	s := c.State(status)
	return listed{s.Version, s.ID, s.Pid, string(status), s.Bundle, c.Rootfs, time.Unix(0, c.Created).UTC(), s.Annotations, ""}, nil
}

func state(_ context.Context, a *app) (int, error) {
	c, err := a.load()
	if err != nil {
		return 0, err
	}
	l, err := describe(c)
	if err != nil {
		return 0, err
	}
	return 0, a.print(l)
}

func kill(ctx context.Context, a *app) (int, error) {
	c, err := a.load()
	if err != nil {
		return 0, err
	}
	name := "TERM"
	if len(a.args.rest) > 1 {
		name = a.args.rest[1]
	}
	signal := 0 // which only asks whether the process is there
	if name != "0" {
		if signal, err = session.Signal(name); err != nil {
			return 0, err
		}
	}
	return 0, c.Signal(ctx, signal, a.args.has("all"))
}

func remove(ctx context.Context, a *app) (int, error) {
	force := a.args.has("force")
	c, err := a.load()
	if force && fault.Is(err, fault.NotFound) {
		return 0, a.runtime.Discard(a.args.rest[0])
	}
	if err != nil {
		return 0, err
	}
	if err = c.Delete(ctx, force); force && fault.Is(err, fault.NotFound) { // somebody else was faster
		err = nil
	}
	return 0, err
}

func list(_ context.Context, a *app) (int, error) {
	containers, err := a.runtime.List()
	if err != nil {
		return 0, err
	}
	all := []listed{}
	id := strconv.Itoa(os.Geteuid())
	owner, err := user.LookupId(id)
	if err != nil {
		owner = &user.User{Username: id}
	}
	for _, c := range containers {
		if l, err := describe(c); err == nil { // else it has just been deleted
			l.Owner = owner.Username
			all = append(all, l)
		}
	}
	switch f := a.args.text("format"); {
	case a.args.has("quiet"):
		for _, l := range all {
			fmt.Fprintln(a.Out, l.ID)
		}
		return 0, nil
	case f == "json":
		return 0, a.printLine(all)
	case f != "" && f != "table":
		return 0, fault.New(fault.Invalid, "invalid format option")
	}
	w := tabwriter.NewWriter(a.Out, 12, 1, 3, ' ', 0)
	fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	for _, l := range all {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", l.ID, l.Pid, l.Status, l.Bundle, l.Created.Format(time.RFC3339Nano), l.Owner)
	}
	return 0, w.Flush()
}

func ps(ctx context.Context, a *app) (int, error) {
	c, err := a.load()
	if err != nil {
		return 0, err
	}
	pids, err := c.Processes()
	if err != nil {
		return 0, err
	}
	switch f := a.args.text("format"); f {
	case "json":
		return 0, a.printLine(pids)
	case "", "table":
	default:
		return 0, fault.New(fault.Invalid, "invalid format option")
	}
	args := a.args.rest[1:]
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	out, err := exec.CommandContext(ctx, "ps", args...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("ps: %w: %s", err, out)
	}
	return 0, a.pick(string(out), pids)
}

// pick prints of a table of ps the lines of these processes.
func (a *app) pick(table string, pids []int) error {
	lines := strings.Split(strings.TrimRight(table, "\n"), "\n")
	column := slices.Index(strings.Fields(lines[0]), "PID")
	if column < 0 {
		return fault.New(fault.Invalid, "couldn't find PID field in ps output")
	}
	fmt.Fprintln(a.Out, lines[0])
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if column >= len(f) {
			continue
		}
		if pid, err := strconv.Atoi(f[column]); err == nil && slices.Contains(pids, pid) {
			fmt.Fprintln(a.Out, line)
		}
	}
	return nil
}
