package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
	"carob/internal/cli/entry"
	"carob/internal/cli/images"
	"carob/internal/cli/procs"
	"carob/internal/cli/show"
	"carob/internal/status"
)

func systemCommands(a *app) []*cobra.Command {
	return []*cobra.Command{images.UsageCommand(words{a}.env()), eventsCommand(a), infoCommand(a), versionCommand(a)}
}

func topCommand(a *app) *cobra.Command {
	var s style
	c := &cobra.Command{
		Use: "top [FLAGS] CONTAINER [PS OPTIONS]", Short: "List the processes of a container",
		Long: `Lists the processes of a container. Options of ps after its name choose columns, as with
docker top; pids and users are the host's. No ps is needed, in the container or here.`,
		Example: "  carob top web\n  carob top web -o pid,user,etime,cmd\n  carob top web aux\n  carob top -o json web",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: first(words{a}.running),
		RunE: func(cmd *cobra.Command, given []string) error {
			ref, options := given[0], given[1:]
			if len(options) == 2 && options[0] == "-o" && slices.Contains(show.Formats(), options[1]) { // carob's own
				s.Output, options = options[1], nil
			}
			table, err := procs.Parse(options)
			if err != nil {
				return err
			}
			list, err := call(cmd.Context(), a, api.Top, api.Ref{Ref: ref})
			if err != nil {
				return err
			}
			if len(options) == 0 {
				return show.Processes().Write(a.Stdout, s.shown(), list)
			}
			host, err := call(cmd.Context(), a, api.Info, api.None{})
			if err != nil {
				return err
			}
			return table.Write(a.Stdout, list, procs.Facts{Now: time.Now(), Memory: host.Memory, User: userName})
		},
	}
	s.bind(c, "")
	c.Flags().SetInterspersed(false) // what follows the container is ps's
	return c
}

// userName is what the host calls a user.
func userName(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return ""
	}
	return u.Username
}

func statsCommand(a *app) *cobra.Command {
	var s style
	var once bool
	c := &cobra.Command{
		Use: "stats [FLAGS] [CONTAINER…]", Short: "Show use of resources",
		Example:           "  carob stats\n  carob stats --no-stream --format '{{.Name}} {{.Memory}}' web",
		ValidArgsFunction: words{a}.running,
		RunE: func(cmd *cobra.Command, refs []string) error {
			return showStats(cmd.Context(), a, refs, &s, once)
		},
	}
	s.bind(c, "")
	c.Flags().BoolVar(&once, "no-stream", false, "show one report and end")
	return c
}

func showStats(ctx context.Context, a *app, refs []string, s *style, once bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	interval := time.Second
	if once {
		interval = 500 * time.Millisecond // two reports are needed for a share of CPU
	}
	screen := !once && s.Format == "" && (s.Output == "" || s.Output == "table" || s.Output == "wide") && term.IsTerminal(int(a.Stdout.Fd()))
	var before []status.Stats
	var failed error
	reports := 0
	_, err := do(ctx, a, api.Stats, client.Exchange[api.StatsParams, []status.Stats]{
		Params: api.StatsParams{Refs: refs, Interval: interval},
		OnEvent: func(now []status.Stats) {
			if reports++; reports > 1 && failed == nil {
				if screen {
					_, _ = io.WriteString(a.Stdout, "\x1b[H\x1b[2J") // clear; a failure shows in the next line
				}
				failed = show.Usages().Write(a.Stdout, s.shown(), show.Between(before, now))
			}
			before = now
			if failed != nil || once && reports > 1 {
				cancel()
			}
		},
	})
	if failed != nil || once && reports > 1 {
		return failed
	}
	return err
}

func eventsCommand(a *app) *cobra.Command {
	var since, until, output, format string
	var filters []string
	c := &cobra.Command{
		Use: "events [FLAGS]", Short: "Show what happens to pods and containers",
		Example: "  carob events --since 10m --filter type=container --filter action=exit\n  carob events -o json",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, err := ask.Events(since, until, filters, time.Now())
			if err != nil {
				return err
			}
			line, err := eventLine(a, output, format)
			if err != nil {
				return err
			}
			return showEvents(cmd.Context(), a, w, line)
		},
	}
	c.Flags().StringVar(&since, "since", "", "begin at `TIME` (10m, 2026-01-02T15:04:05Z, seconds since 1970)")
	c.Flags().StringVar(&until, "until", "", "end at `TIME`; a negative duration lies ahead: -10s")
	c.Flags().VarP((*ask.List)(&filters), "filter", "f", "`KEY=VALUE`: type, action, pod, container")
	c.Flags().StringVarP(&output, "output", "o", "", "output `FORMAT`: table or json, one document per line")
	c.Flags().StringVar(&format, "format", "", "Go `TEMPLATE` for each event, or json")
	return c
}

// eventLine writes one event.
func eventLine(a *app, output, format string) (func(status.Event) error, error) {
	if output == "json" || format == "json" {
		format = "{{json .}}"
	} else if output != "" && output != "table" {
		return nil, entry.Usage(&cobra.Command{Use: "events"}, fmt.Errorf("-o %s: use table or json", output))
	}
	if format == "" {
		return func(e status.Event) error {
			_, err := fmt.Fprintln(a.Stdout, show.Event(e))
			return err
		}, nil
	}
	t, err := show.Template(format)
	if err != nil {
		return nil, err
	}
	return func(e status.Event) error { return show.Execute(a.Stdout, t, e) }, nil
}

func showEvents(ctx context.Context, a *app, w ask.EventWindow, line func(status.Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	p := api.EventsParams{Until: w.Until}
	if !w.Since.IsZero() {
		p.From = 1
	}
	_, err := do(ctx, a, api.Events, client.Exchange[api.EventsParams, status.Event]{
		Params: p,
		OnEvent: func(e status.Event) {
			if failed == nil && w.Fits(e) {
				if failed = line(e); failed != nil {
					cancel()
				}
			}
		},
	})
	return cmp.Or(failed, err)
}

func logsCommand(a *app) *cobra.Command {
	var follow, stamps bool
	var tail, since, until string
	c := &cobra.Command{
		Use: "logs [FLAGS] CONTAINER", Short: "Show the output of a container",
		Example: "  carob logs -f --tail 10 web\n  carob logs --since 5m -t web",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: first(words{a}.containers),
		RunE: func(cmd *cobra.Command, refs []string) error {
			l, err := ask.Logs(tail, since, until, time.Now())
			if err != nil {
				return err
			}
			return showLogs(cmd.Context(), a, api.LogsParams{
				Ref: refs[0], Follow: follow, Tail: l.Tail, Since: l.Since, Until: l.Until, Timestamps: stamps,
			})
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on while the container writes")
	c.Flags().StringVarP(&tail, "tail", "n", "all", "the last `N` lines only")
	c.Flags().StringVar(&since, "since", "", "begin at `TIME` (10m, 2026-01-02T15:04:05Z, seconds since 1970)")
	c.Flags().StringVar(&until, "until", "", "end at `TIME`")
	c.Flags().BoolVarP(&stamps, "timestamps", "t", false, "put the time before each line")
	return c
}

func showLogs(ctx context.Context, a *app, p api.LogsParams) error {
	var files api.Files
	var readers [2]*os.File
	for i, f := range []**os.File{&files.Stdout, &files.Stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }() // read to its end below
		readers[i], *f = r, w
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var copies sync.WaitGroup
	for i, to := range []*os.File{a.Stdout, a.Stderr} {
		copies.Go(func() {
			if _, err := io.Copy(to, readers[i]); err != nil {
				cancel() // nobody reads any more
			}
		})
	}
	// Our writing ends are closed by the call itself having passed them: there is no
	// event, so they are closed when it ends.
	_, err := do(ctx, a, api.Logs, client.Exchange[api.LogsParams, api.None]{Params: p, Files: files})
	_ = files.Stdout.Close() // the readers see the end
	_ = files.Stderr.Close()
	copies.Wait()
	return err
}

func versionCommand(a *app) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "version", Short: "Show the versions of this command and the daemon",
		Example: "  carob version --format '{{.Server.Version}}'",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			both := struct{ Client, Server api.About }{Client: a.About}
			var err error
			both.Server, err = call(cmd.Context(), a, api.Version, api.None{})
			if format != "" {
				if err != nil {
					return err
				}
				return show.Value(a.Stdout, format, both)
			}
			about := func(name string, v api.About) {
				fmt.Fprintf(a.Stdout, "%s: carob %s (%s)\n", name, v.Version, strings.TrimSpace(v.Go+" "+v.OS+"/"+v.Arch+" "+v.Commit))
			}
			about("client", both.Client)
			if err == nil {
				about("daemon", both.Server)
			}
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "", "Go `TEMPLATE`, or json")
	return c
}

func infoCommand(a *app) *cobra.Command {
	var output, format string
	c := &cobra.Command{
		Use: "info", Short: "Show what the daemon and the machine are",
		Example: "  carob info -o json",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := call(cmd.Context(), a, api.Info, api.None{})
			if err != nil {
				return err
			}
			if format != "" {
				return show.Value(a.Stdout, format, h)
			}
			if output == "" {
				showInfo(a, h)
				return nil
			}
			return show.Document(a.Stdout, output, h)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "output `FORMAT`: json or yaml")
	c.Flags().StringVar(&format, "format", "", "Go `TEMPLATE`, or json")
	return c
}

func showInfo(a *app, h api.Host) {
	line := func(k string, v any) { fmt.Fprintf(a.Stdout, "%-12s %v\n", k+":", v) }
	var states []string
	for _, k := range slices.Sorted(maps.Keys(h.Containers)) {
		states = append(states, fmt.Sprintf("%d %s", h.Containers[k], k))
	}
	line("Version", h.Version)
	line("Daemon", fmt.Sprintf("pid %d, state in %s, images in %s", h.Pid, h.Run, h.Root))
	line("Containers", strings.Join(states, ", "))
	line("Pods", h.Pods)
	line("Images", h.Images)
	line("Handlers", handlers(h.Handlers))
	line("Kernel", h.Kernel)
	line("Cgroup", fmt.Sprintf("%s, driver %s", h.Cgroup, h.CgroupDriver))
	line("CPUs", h.CPUs)
	line("Memory", fmt.Sprintf("%d MiB", h.Memory>>20))
	for _, k := range slices.Sorted(maps.Keys(h.Features)) {
		line(k, h.Features[k])
	}
}

// handlers names each handler, with the version of its runtime or what is wrong with it.
func handlers(all []api.Handler) string {
	var out []string
	for _, h := range all {
		switch {
		case h.Problem != "":
			out = append(out, h.Name+" (unusable: "+h.Problem+")")
		case h.Runtime != "":
			out = append(out, h.Name+" ("+strings.TrimSpace(h.Runtime+" "+h.Version)+")")
		default:
			out = append(out, h.Name)
		}
	}
	return strings.Join(out, ", ")
}
