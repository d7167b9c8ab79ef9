package ocicli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/ocirt"
	"carob/internal/sys/ns"
	"carob/internal/sys/session"
	"carob/internal/sys/systemd"
	"carob/internal/sys/task"
)

// DefaultRoot is where state is kept if --root does not say otherwise.
const DefaultRoot = "/run/carob-oci"

// Program is what main supplies.
type Program struct {
	Version string
	// In, Out and Err are the streams that it was started with.
	In       *os.File
	Out, Err io.Writer
	// Protect is called before anything is started that could reach the program's file.
	Protect func() error
	Resctrl ocirt.Resctrl
}

// app is one call of the program.
type app struct {
	Program
	before  []string // the arguments in front of the command
	global  arguments
	args    arguments
	runtime *ocirt.Runtime
}

// command is one command of the program.
type command struct {
	name, usage, help string
	options           []option
	// least and most are how many operands it takes; with most reached the rest is not
	// looked at for flags.
	least, most int
	// starts says that processes are started: this program must be safe from them.
	starts bool
	run    func(context.Context, *app) (code int, err error)
}

func globalOptions() []option {
	return []option{
		{"root", "", isText, "directory for state (default " + DefaultRoot + ")"},
		{"log", "", isText, "append errors to this file"},
		{"log-format", "", isText, "text or json"},
		{"debug", "", isBool, "log the command line"},
		{"systemd-cgroup", "", isBool, "cgroups by way of systemd"},
		{"rootless", "", isText, "true, false or auto: without root's rights on the host, which is found out"},
		{"criu", "", isText, "the criu to use (the one in PATH)"},
		{"version", "v", isBool, "print the version"},
		{"help", "h", isBool, "print help"},
	}
}

// exitError is an error with an exit status of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// Run reads a command line, without the program's name, carries it out, and returns the
// exit status.
func Run(p Program, args []string) int {
	a := &app{Program: p}
	code, err := a.run(args)
	if err == nil {
		return code
	}
	a.complain(err)
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return 1
}

func (a *app) run(args []string) (code int, err error) {
	if a.global, err = parse(args, globalOptions(), 1); err != nil {
		return 0, err
	}
	rest := a.global.rest
	a.before = slices.DeleteFunc(slices.Clone(args[:len(args)-len(rest)]), func(arg string) bool { return arg == "--" })
	switch {
	case a.global.has("version"):
		fmt.Fprintf(a.Out, "carob-oci version %s\nspec: %s\n", a.Version, specs.Version)
		return 0, nil
	case len(rest) == 0 || rest[0] == "help" || a.global.has("help"):
		a.help()
		return 0, nil
	}
	if err := a.check(); err != nil {
		return 0, err
	}
	for _, c := range commands() {
		if c.name == rest[0] {
			return a.command(c, rest[1:])
		}
	}
	return 0, fault.New(fault.Invalid, "no such command: "+rest[0])
}

// check reads the global flags.
func (a *app) check() error {
	switch f := a.global.text("log-format"); f {
	case "", "text", "json":
	default:
		return fault.New(fault.Invalid, "invalid log-format: "+f)
	}
	word := a.global.text("rootless")
	rootless, err := rootless(word)
	if err != nil {
		return err
	}
	root := a.global.text("root")
	if dir := os.Getenv("XDG_RUNTIME_DIR"); root == "" && rootless && dir != "" {
		root = filepath.Join(dir, "carob-oci")
	}
	if root == "" {
		root = DefaultRoot
	}
	a.runtime = &ocirt.Runtime{
		Root: root, Systemd: a.global.has("systemd-cgroup"), StartScope: systemd.StartUnit, Resctrl: a.Resctrl,
		Warn: func(text string) { a.log("warning", text) }, Rootless: rootless,
		InUsers: word == inUsers,
	}
	return nil
}

// rootless tells, by the flag's word or by itself, whether this process lacks root's rights on the host.
func rootless(word string) (bool, error) {
	switch word {
	case "", "auto":
		return os.Geteuid() != 0 || ns.InUser(), nil
	case inUsers:
		if !ns.InUser() {
			return false, fault.New(fault.Invalid, "--rootless "+inUsers+": is carob-oci's own word")
		}
		return true, nil
	}
	yes, err := strconv.ParseBool(word)
	return yes, fault.Wrap(fault.Invalid, "--rootless", err)
}

func (a *app) command(c command, args []string) (int, error) {
	options := append(c.options, option{"help", "h", isBool, ""})
	var err error
	operands := math.MaxInt
	if c.takesCommand() { // whose flags are its own
		operands = c.most
	}
	if a.args, err = parse(args, options, operands); err != nil {
		return 0, fmt.Errorf("%s: %w", c.name, err)
	}
	if a.args.has("help") {
		helpFor(a.Out, c)
		return 0, nil
	}
	if n := len(a.args.rest); n < c.least || n > c.most && !c.takesCommand() {
		return 0, fault.New(fault.Invalid, fmt.Sprintf("%s: %q takes %s", c.name, "carob-oci "+c.name, c.usage))
	}
	if needsRoot(c) {
		return rooted(a, c, args)
	}
	if c.starts {
		if err := a.Protect(); err != nil {
			return 0, err
		}
	}
	if a.global.has("debug") {
		a.log("debug", "carob-oci "+c.name+" "+strings.Join(args, " "))
	}
	if !c.starts {
		ctx, stop := signal.NotifyContext(context.Background(), session.Quit()...)
		defer stop()
		return c.run(ctx, a)
	}
	return c.run(context.Background(), a)
}

func (c command) takesCommand() bool { return strings.HasSuffix(c.usage, "...]") }

// preserve closes what a container's process must not inherit, and returns how many
// descriptors from 3 on it does. What is named by one (/dev/fd/63) has been read.
func (a *app) preserve() (int, error) {
	asked, err := a.args.number("preserve-fds")
	if err != nil || asked < 0 || asked > 1<<16 {
		return 0, errors.Join(err, rangeError(asked))
	}
	n := int(asked) + a.listening()
	for fd := 3; fd < 3+n; fd++ { // else a descriptor of this program's could have the number
		if !task.Inherited(fd) {
			return 0, fault.New(fault.Invalid, fmt.Sprintf("--preserve-fds: descriptor %d is not open", fd))
		}
	}
	return n, task.CloseInherited(3 + n)
}

// listening is how many descriptors of socket activation (sd_listen_fds(3)) are for this
// process: those that an engine above it was started with are not.
func (a *app) listening() int {
	own := os.Getpid()
	if a.runtime.InUsers { // executed anew, as a child of the process that they were for
		own = os.Getppid()
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1<<16 || os.Getenv("LISTEN_PID") != strconv.Itoa(own) {
		return 0
	}
	return n
}

func rangeError(n int64) error {
	if n < 0 || n > 1<<16 {
		return fault.New(fault.Invalid, fmt.Sprintf("--preserve-fds: %d is out of range", n))
	}
	return nil
}

// complain puts an error where it is looked for: on standard error, and in the log that
// an engine has named, in logrus' formats, from which containerd and podman take the
// last line.
func (a *app) complain(err error) {
	fmt.Fprintln(a.Err, "carob-oci: "+err.Error())
	a.log("error", err.Error())
}

// log appends a line to the log. Without one a warning goes to standard error.
func (a *app) log(level, text string) {
	name := a.global.text("log")
	now := time.Now().Format(time.RFC3339)
	line := fmt.Sprintf("time=%q level=%s msg=%q\n", now, level, text)
	if name == "" {
		if level != "error" { // that is there already
			fmt.Fprint(a.Err, line)
		}
		return
	}
	f, open := os.OpenFile(name, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if open != nil {
		fmt.Fprintln(a.Err, "carob-oci: "+open.Error())
		return
	}
	defer f.Close()
	if a.global.text("log-format") == "json" {
		object, _ := json.Marshal(map[string]string{"level": level, "msg": text, "time": now}) // strings always can be
		line = string(object) + "\n"
	}
	fmt.Fprint(f, line)
}

func (a *app) help() {
	fmt.Fprint(a.Out, "carob-oci runs containers from OCI bundles, with runc's command line.\n\n"+
		"usage: carob-oci [global flags] command [flags] [arguments]\n\ncommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(a.Out, "  %-11s %s\n", c.name, c.help)
	}
	fmt.Fprint(a.Out, "\nglobal flags:\n")
	flagsHelp(a.Out, globalOptions())
}

func helpFor(w io.Writer, c command) {
	fmt.Fprintf(w, "%s\n\nusage: carob-oci %s [flags] %s\n\nflags:\n", c.help, c.name, c.usage)
	flagsHelp(w, c.options)
}

func flagsHelp(w io.Writer, options []option) {
	for _, o := range options {
		name := "--" + o.name
		if o.short != "" {
			name = "-" + o.short + ", " + name
		}
		fmt.Fprintf(w, "  %-24s %s\n", name, o.help)
	}
}

func (a *app) load() (*ocirt.Container, error) { return a.runtime.Load(a.args.rest[0]) }

// printLine prints JSON in one line, as runc does where tools read lines.
func (a *app) printLine(v any) error { return json.NewEncoder(a.Out).Encode(v) }

func (a *app) print(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = fmt.Fprintln(a.Out, string(text))
	}
	return err
}
