package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
	"carob/internal/cli/entry"
	"carob/internal/cli/images"
	"carob/internal/cli/show"
	"carob/internal/status"
	"carob/internal/sys/session"
)

func containerCommands(a *app) []*cobra.Command {
	return append([]*cobra.Command{
		runCommand(a), createCommand(a), startCommand(a), attachCommand(a), restoreCommand(a), execCommand(a), psCommand(a),
		inspectCommand(a), logsCommand(a), topCommand(a), statsCommand(a), waitCommand(a), stopCommand(a),
		restartCommand(a), killCommand(a), rmCommand(a), updateCommand(a), copyCommand(a),
		simple(a, "pause", "Freeze the processes of containers", api.Pause),
		simple(a, "unpause", "Let frozen containers go on", api.Unpause),
	}, images.ContainerCommands(words{a}.env())...)
}

// simple is a command that does one thing to each container it names.
func simple(a *app, name, short string, m api.Method[api.Ref, api.None, api.None]) *cobra.Command {
	return &cobra.Command{
		Use: name + " CONTAINER…", Short: short, Example: "  carob " + name + " web",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.containers,
		RunE: func(cmd *cobra.Command, refs []string) error {
			return a.each(refs, func(ref string) error {
				_, err := call(cmd.Context(), a, m, api.Ref{Ref: ref})
				return err
			})
		},
	}
}

func psCommand(a *app) *cobra.Command {
	var s style
	var all, latest bool
	var filters []string
	var last int
	c := &cobra.Command{
		Use: "ps", Short: "List containers", Aliases: []string{"ls"},
		Example: `  carob ps -a
  carob ps --filter label=tier=back --format '{{.ID}} {{.Status}}'
  carob ps -o json`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := ask.Filters(filters)
			if err != nil {
				return err
			}
			if latest {
				last = 1
			}
			list, err := listed(cmd.Context(), a, f, all || last > 0)
			if err != nil {
				return err
			}
			if last > 0 {
				list = list[:min(last, len(list))] // they come newest first
			}
			return write(a.Stdout, &s, show.Containers, list)
		},
	}
	s.bind(c, "print IDs only")
	c.Flags().BoolVarP(&all, "all", "a", false, "also those that do not run")
	c.Flags().VarP((*ask.List)(&filters), "filter", "f", "`KEY=VALUE`: "+ask.PSKeys)
	c.Flags().IntVarP(&last, "last", "n", 0, "the last `N` that were created")
	c.Flags().BoolVarP(&latest, "latest", "l", false, "the last that was created")
	return c
}

// listed are the containers that a filter lets through.
func listed(ctx context.Context, a *app, f ask.Filter, all bool) ([]show.Listed, error) {
	var since, before status.Container
	var err error
	if f.Since != "" {
		since, err = call(ctx, a, api.Container, api.Ref{Ref: f.Since})
	}
	if f.Before != "" && err == nil {
		before, err = call(ctx, a, api.Container, api.Ref{Ref: f.Before})
	}
	if err != nil {
		return nil, err
	}
	list, err := call(ctx, a, api.Containers, status.Filter{PodRef: f.Pod, States: f.States(all)})
	if err != nil {
		return nil, err
	}
	pods, err := call(ctx, a, api.Pods, status.Filter{PodRef: f.Pod})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(show.List(list, pods), func(c show.Listed) bool {
		return !f.Fits(ask.Seen{Container: c.Container, Networks: c.Networks, Ports: c.Ports, Since: since.CreatedAt, Before: before.CreatedAt})
	}), nil
}

func waitCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "wait CONTAINER…", Short: "Wait for containers to end and print their exit codes",
		Example: "  carob wait web",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.containers,
		RunE: func(cmd *cobra.Command, refs []string) error {
			var errs []error
			for _, ref := range refs {
				ended, err := waitFor(cmd.Context(), a, ref)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintln(a.Stdout, ended.Exit.Code)
			}
			return errors.Join(errs...)
		},
	}
}

// waitFor outlives the daemon.
func waitFor(ctx context.Context, a *app, ref string) (api.Ended, error) {
	for {
		ended, err := call(ctx, a, api.Wait, api.WaitParams{Ref: ref})
		if !errors.Is(err, client.ErrLost) || ctx.Err() != nil {
			return ended, err
		}
		a.forget()
	}
}

// seconds is the flag -t of stop and restart; nil when it was not given.
func seconds(cmd *cobra.Command, n int) *time.Duration {
	if !cmd.Flags().Changed("time") && !cmd.Flags().Changed("timeout") {
		return nil
	}
	d := time.Duration(n) * time.Second
	if n < 0 {
		d = 100 * 365 * 24 * time.Hour // Docker: -1 waits for ever
	}
	return &d
}

func bindSeconds(c *cobra.Command, n *int) {
	c.Flags().IntVarP(n, "time", "t", 10, "`SECONDS` to wait before killing, -1 for ever")
	c.Flags().IntVar(n, "timeout", 10, "")
	_ = c.Flags().MarkHidden("timeout") // it was made in the line above
}

func stopCommand(a *app) *cobra.Command {
	var n int
	c := &cobra.Command{
		Use: "stop [FLAGS] CONTAINER…", Short: "Stop containers: signal, wait, kill",
		Example: "  carob stop -t 3 web",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.running,
		RunE: func(cmd *cobra.Command, refs []string) error {
			return a.each(refs, func(ref string) error {
				_, err := call(cmd.Context(), a, api.Stop, api.StopParams{Ref: ref, Timeout: seconds(cmd, n)})
				return err
			})
		},
	}
	bindSeconds(c, &n)
	return c
}

func restartCommand(a *app) *cobra.Command {
	var n int
	c := &cobra.Command{
		Use: "restart [FLAGS] CONTAINER…", Short: "Stop and start containers",
		Example: "  carob restart web",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.containers,
		RunE: func(cmd *cobra.Command, refs []string) error {
			return a.each(refs, func(ref string) error {
				if _, err := call(cmd.Context(), a, api.Stop, api.StopParams{Ref: ref, Timeout: seconds(cmd, n)}); err != nil {
					return err
				}
				_, err := call(cmd.Context(), a, api.Start, api.StartParams{Ref: ref})
				return err
			})
		},
	}
	bindSeconds(c, &n)
	return c
}

func killCommand(a *app) *cobra.Command {
	var sig string
	c := &cobra.Command{
		Use: "kill [FLAGS] CONTAINER…", Short: "Send a signal to containers",
		Example: "  carob kill -s HUP web",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.running,
		RunE: func(cmd *cobra.Command, refs []string) error {
			n, err := session.Signal(sig)
			if err != nil {
				return fmt.Errorf("--signal: %w", err)
			}
			return a.each(refs, func(ref string) error {
				_, err := call(cmd.Context(), a, api.Kill, api.SignalParams{Ref: ref, Signal: n})
				return err
			})
		},
	}
	c.Flags().StringVarP(&sig, "signal", "s", "KILL", "`SIGNAL` by name or number")
	_ = c.RegisterFlagCompletionFunc("signal", fixed("KILL", "TERM", "INT", "HUP", "QUIT", "USR1", "USR2")) // it was made in the line above
	return c
}

func rmCommand(a *app) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "rm [FLAGS] CONTAINER…", Short: "Remove containers",
		Example: "  carob rm web\n  carob rm -f $(carob ps -aq)",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.containers,
		RunE: func(cmd *cobra.Command, refs []string) error {
			return a.each(refs, func(ref string) error {
				c, err := call(cmd.Context(), a, api.Container, api.Ref{Ref: ref})
				if err != nil {
					return forgive(force, err)
				}
				_, err = call(cmd.Context(), a, api.Remove, api.RemoveParams{Ref: c.ID, Force: force})
				return err
			})
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "kill what runs")
	c.Flags().BoolP("volumes", "v", true, "Docker's flag: anonymous volumes go with their container, asked for or not")
	return c
}

func updateCommand(a *app) *cobra.Command {
	var l ask.Limits
	var restart string
	c := &cobra.Command{
		Use: "update [FLAGS] CONTAINER…", Short: "Change limits of containers, running ones too",
		Example: "  carob update --memory 1g --cpus 2 web",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.containers,
		RunE: func(cmd *cobra.Command, refs []string) error {
			p := api.UpdateParams{}
			var err error
			if p.Resources, err = l.Resources(a.host()); err != nil {
				return err
			}
			if cmd.Flags().Changed("restart") {
				r, err := ask.Restart(restart)
				if err != nil {
					return err
				}
				p.Restart = &r
			}
			if p.Resources == nil && p.Restart == nil {
				return entry.Usage(cmd, errors.New("nothing to change: give at least one limit"))
			}
			return a.each(refs, func(ref string) error {
				p.Ref = ref
				_, err := call(cmd.Context(), a, api.Update, p)
				return err
			})
		},
	}
	l.Bind(c.Flags())
	c.Flags().StringVar(&restart, "restart", "", "restart `POLICY`: no, on-failure[:N], always, unless-stopped")
	return c
}
