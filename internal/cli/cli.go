// Package cli is the command line: cobra commands that translate words (package ask),
// call the daemon (package api) and show what it says (package show). It decides nothing
// about containers and touches nothing of them itself, except for the
// caller's ends of their standard streams.
//
// Exit codes: run, exec, start -a and attach end with the container's; 125 is carob's own
// refusal to run, 126 a command that is not executable, 127 one that is missing, 124 an
// exec at its deadline. Everything else ends with 0 or 1.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
	"carob/internal/cli/entry"
	"carob/internal/cli/show"
	"carob/internal/fault"
	"carob/internal/status"
	"carob/internal/sys/fd"
)

// Env is what the command line works with; main fills it.
type Env struct {
	Args                  []string
	Stdin, Stdout, Stderr *os.File
	LookupEnv             func(string) (string, bool)
	// Dial connects to the daemon, starting one when none runs.
	Dial func(ctx context.Context) (*client.Client, error)
	// About is this binary; Extra are further commands.
	About api.About
	Extra []*cobra.Command
}

// app is one run of the command line.
type app struct {
	Env
	// mu guards client: signals are passed on beside the main call.
	mu     sync.Mutex
	client *client.Client
}

// Main runs one command line and returns the exit code of the process.
func Main(ctx context.Context, env Env) int {
	a := &app{Env: env}
	code := entry.Line{Args: env.Args, Stdin: env.Stdin, Stdout: env.Stdout, Stderr: env.Stderr}.Run(ctx, a.root())
	if a.client != nil {
		_ = a.client.Close() // at most a connection that was not needed
	}
	return code
}

// daemon returns the client, connecting at its first use: a command that needs no
// daemon starts none.
func (a *app) daemon(ctx context.Context) (*client.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client != nil {
		return a.client, nil
	}
	c, err := a.Dial(ctx)
	if err != nil {
		return nil, err
	}
	a.client = c
	return c, nil
}

// forget makes the next call connect anew, and start a daemon when there is none.
func (a *app) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.client = nil
}

// call is client.Call on the daemon. One that goes away while it is only looked at, is asked
// for again once: by then another may have been started, or is.
func call[P, E, R any](ctx context.Context, a *app, m api.Method[P, E, R], p P) (R, error) {
	r, err := do(ctx, a, m, client.Exchange[P, E]{Params: p})
	if errors.Is(err, client.ErrLost) && m.Looks() && ctx.Err() == nil {
		a.forget()
		r, err = do(ctx, a, m, client.Exchange[P, E]{Params: p})
	}
	return r, err
}

// do is client.Do on the daemon.
func do[P, E, R any](ctx context.Context, a *app, m api.Method[P, E, R], x client.Exchange[P, E]) (R, error) {
	c, err := a.daemon(ctx)
	if err != nil {
		var none R
		return none, err
	}
	return client.Do(ctx, c, m, x)
}

// forgiven is told and fails nothing: what -f finds missing.
type forgiven struct{ error }

// forgive makes a thing that is missing no failure of a forced removal.
func forgive(force bool, err error) error {
	if force && fault.Is(err, fault.NotFound) {
		return forgiven{err}
	}
	return err
}

// each calls do for every word and goes on after a failure; what succeeded is printed.
func (a *app) each(words []string, do func(word string) error) error {
	var errs []error
	for _, w := range words {
		err := do(w)
		var missing forgiven
		switch {
		case errors.As(err, &missing):
			fmt.Fprintln(a.Stderr, "carob: note:", missing)
		case err != nil:
			errs = append(errs, err)
		default:
			fmt.Fprintln(a.Stdout, w)
		}
	}
	return errors.Join(errs...)
}

func (a *app) host() ask.Host {
	return ask.Host{LookupEnv: a.LookupEnv, ReadFile: os.ReadFile, Abs: absolute, Device: fd.Device}
}

// Groups of commands in the help.
const (
	groupContainers = "containers"
	groupPods       = "pods"
	groupImages     = "images"
	groupNetworks   = "networks"
	groupLook       = "look"
	groupSystem     = "system"
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "carob COMMAND",
		Short: "Run pods and containers",
		Long: `carob runs pods and containers on this machine. The daemon is started when it is
needed and not running; containers go on when it stops.`,
		Example: `  carob run --rm toolbox echo hello
  carob apply -f pod.yaml
  carob ps`,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
		Args:              cobra.NoArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, g := range []cobra.Group{
		{ID: groupContainers, Title: "Containers:"}, {ID: groupPods, Title: "Pods:"},
		{ID: groupImages, Title: "Images:"}, {ID: groupNetworks, Title: "Networks:"}, {ID: groupLook, Title: "Look:"},
		{ID: groupSystem, Title: "System:"},
	} {
		root.AddGroup(&g)
	}
	all := []grouped{
		{groupContainers, containerCommands(a)}, {groupPods, podCommands(a)},
		{groupImages, imageCommands(a)},
		{groupSystem, append(systemCommands(a), a.Extra...)},
	}
	for _, g := range all {
		for _, c := range g.commands {
			c.GroupID = cmp.Or(c.GroupID, g.id)
			root.AddCommand(c)
		}
	}
	return root
}

type grouped struct {
	id       string
	commands []*cobra.Command
}

// refusal gives an error of run or exec its exit code.
func refusal(err error, otherwise int) error {
	var start *status.StartError
	var late *status.DeadlineError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &start):
		return &entry.Exit{Code: start.Code, Err: err}
	case errors.As(err, &late):
		return &entry.Exit{Code: 124, Err: err}
	}
	var x *entry.Exit
	if errors.As(err, &x) {
		return err
	}
	return &entry.Exit{Code: otherwise, Err: err}
}

// style holds -o, --format and -q of a command that lists.
type style struct {
	show.Style
	noTrunc bool
}

func (s *style) bind(c *cobra.Command, quiet string) {
	c.Flags().StringVarP(&s.Output, "output", "o", "", "output `FORMAT`: "+strings.Join(show.Formats(), ", "))
	c.Flags().StringVar(&s.Format, "format", "", "Go `TEMPLATE` for each line, or json")
	if quiet != "" {
		c.Flags().BoolVarP(&s.Quiet, "quiet", "q", false, quiet)
		c.Flags().BoolVar(&s.noTrunc, "no-trunc", false, "do not shorten IDs and commands")
	}
	_ = c.RegisterFlagCompletionFunc("output", fixed(show.Formats()...)) // the flag exists: it was made above
}

func (s *style) shown() show.Style {
	if s.Format == "json" {
		return show.Style{Format: "{{json .}}"}
	}
	return s.Style
}

func write[T any](w io.Writer, s *style, sheet func(time.Time, bool) show.Sheet[T], items []T) error {
	return sheet(time.Now(), s.noTrunc).Write(w, s.shown(), items)
}
