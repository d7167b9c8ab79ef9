// Package volumes has the commands on volumes. Like all of the command line it speaks only to
// the daemon.
package volumes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
	"carob/internal/cli/entry"
	"carob/internal/cli/show"
	"carob/internal/fault"
	"carob/internal/status"
)

// Env is what the commands work with.
type Env struct {
	Daemon client.Dialer
	Stdin  io.Reader
	Stdout io.Writer
}

// names completes names of volumes.
func (e Env) names(cmd *cobra.Command, words []string, begun string) ([]string, cobra.ShellCompDirective) {
	list := func(ctx context.Context) ([]status.Volume, error) {
		return client.CallBy(ctx, e.Daemon, api.Volumes, api.None{})
	}
	return entry.Names(list, func(v status.Volume) string { return v.Name })(cmd, words, begun)
}

// Command returns the group of commands.
func Command(e Env) *cobra.Command {
	group := &cobra.Command{
		Use: "volume COMMAND", Short: "Work with volumes",
		Long: `A volume is a directory that outlives containers. 'carob run -v NAME:/path' makes one when it is
not there. A volume without a name, as images ask for and '-v /path' does, goes with its container.`,
		Example: "  carob volume create data\n  carob run -d -v data:/data --name db toolbox sleep 1000\n  carob volume ls\n  carob volume rm data",
		GroupID: "containers", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(createCommand(e), listCommand(e), inspectCommand(e), removeCommand(e), pruneCommand(e))
	return group
}

func createCommand(e Env) *cobra.Command {
	return &cobra.Command{
		Use: "create [NAME]", Short: "Make a volume, which stays until it is removed",
		Long:    `Prints the name, which is chosen when none is given. A volume that is there already stays as it is.`,
		Example: "  carob volume create data\n  carob run --rm -v $(carob volume create):/data toolbox ls -la /data",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, words []string) error {
			if len(words) == 1 && words[0] == "" {
				return fault.New(fault.Invalid, "volume create: the name is empty")
			}
			v, err := client.CallBy(cmd.Context(), e.Daemon, api.VolumeCreate, api.Ref{Ref: strings.Join(words, "")})
			if err == nil {
				fmt.Fprintln(e.Stdout, v.Name)
			}
			return err
		},
	}
}

func listCommand(e Env) *cobra.Command {
	var s show.Style
	var filters []string
	c := &cobra.Command{
		Use: "ls [FLAGS]", Aliases: []string{"list"}, Short: "List volumes",
		Example: "  carob volume ls -o wide\n  carob volume ls -q --filter dangling=true --filter name=data\n  carob volume ls --format '{{.Name}} {{.Mountpoint}}'",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := filterOf(filters)
			if err != nil {
				return err
			}
			list, err := client.CallBy(cmd.Context(), e.Daemon, api.Volumes, api.None{})
			if err != nil {
				return err
			}
			if s.Format == "json" {
				s.Format = "{{json .}}"
			}
			return show.Volumes(time.Now()).Write(e.Stdout, s, f.chosen(list))
		},
	}
	fs := c.Flags()
	fs.StringVarP(&s.Output, "output", "o", "", "output `FORMAT`: "+strings.Join(show.Formats(), ", "))
	fs.StringVar(&s.Format, "format", "", "Go `TEMPLATE` for each volume, or json")
	fs.BoolVarP(&s.Quiet, "quiet", "q", false, "print names only")
	fs.VarP((*ask.List)(&filters), "filter", "f", "`KEY=VALUE`: dangling (true or false: no container uses it), driver, name (part of it)")
	return c
}

func inspectCommand(e Env) *cobra.Command {
	var s show.Style
	c := &cobra.Command{
		Use: "inspect [FLAGS] VOLUME…", Short: "Show volumes and the containers that use them",
		Example: "  carob volume inspect data\n  carob volume inspect --format '{{.Mountpoint}}' data",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: e.names,
		RunE: func(cmd *cobra.Command, refs []string) error {
			found := []show.VolumeRow{}
			var errs []error
			for _, ref := range refs {
				v, err := client.CallBy(cmd.Context(), e.Daemon, api.InspectVolume, api.Ref{Ref: ref})
				if err != nil {
					errs = append(errs, err)
					continue
				}
				found = append(found, show.Volume(v))
			}
			return errors.Join(append(errs, e.inspected(s, found))...)
		},
	}
	c.Flags().StringVarP(&s.Output, "output", "o", "json", "output `FORMAT`: json or yaml")
	c.Flags().StringVarP(&s.Format, "format", "f", "", "Go `TEMPLATE`, like '{{.Mountpoint}}'")
	return c
}

func (e Env) inspected(s show.Style, found []show.VolumeRow) error {
	if s.Format == "" {
		return show.Document(e.Stdout, s.Output, found)
	}
	var errs []error
	for _, v := range found {
		errs = append(errs, show.Value(e.Stdout, s.Format, v))
	}
	return errors.Join(errs...)
}

func removeCommand(e Env) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "rm [-f] VOLUME…", Aliases: []string{"remove"}, Short: "Remove volumes that no container uses",
		Long: `Removes volumes with what is in them. One that a container uses, running or not, stays, and
the error names the container.`,
		Example: "  carob volume rm data\n  carob volume rm -f $(carob volume ls -q --filter dangling=true)",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: e.names,
		RunE: func(cmd *cobra.Command, names []string) error {
			var errs []error
			for _, n := range names {
				_, err := client.CallBy(cmd.Context(), e.Daemon, api.VolumeRemove, api.Ref{Ref: n})
				switch {
				case err == nil:
					fmt.Fprintln(e.Stdout, n)
				case !force || !fault.Is(err, fault.NotFound):
					errs = append(errs, err)
				}
			}
			return errors.Join(errs...)
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "no complaint about what is not there")
	return c
}

func pruneCommand(e Env) *cobra.Command {
	var p api.VolumePruneParams
	var force bool
	c := &cobra.Command{
		Use: "prune [FLAGS]", Short: "Remove the volumes that no container uses",
		Long: `Removes anonymous volumes that no container uses, with -a named ones too. Anonymous volumes go
with their container, so those are few: what a removal has left.`,
		Example: "  carob volume prune -af",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !force && !show.Sure(e.Stdin, e.Stdout, warning(p.All)) {
				return fault.New(fault.Invalid, "volume prune: cancelled; -f does not ask")
			}
			return e.prune(cmd.Context(), p)
		},
	}
	c.Flags().BoolVarP(&p.All, "all", "a", false, "remove named volumes too")
	c.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	return c
}

func (e Env) prune(ctx context.Context, p api.VolumePruneParams) error {
	c, err := e.Daemon(ctx)
	if err != nil {
		return err
	}
	freed := int64(0)
	_, err = client.Do(ctx, c, api.VolumePrune, client.Exchange[api.VolumePruneParams, api.VolumeUsage]{
		Params:  p,
		OnEvent: func(v api.VolumeUsage) { freed += v.Size; fmt.Fprintln(e.Stdout, v.Name) },
	})
	fmt.Fprintln(e.Stdout, "Total reclaimed space:", units.HumanSize(float64(freed)))
	return err
}

// warning is what to ask about.
func warning(all bool) string {
	what := "all anonymous volumes"
	if all {
		what = "all volumes"
	}
	return "This removes " + what + " that no container uses, with what is in them."
}

// filter is what --filter asks for: all keys must fit, and one of the names.
type filter struct {
	dangling string // "", "true" or "false"
	names    []string
}

func filterOf(words []string) (f filter, err error) {
	err = ask.EachFilter(words, f.add)
	return f, err
}

func (f *filter) add(k, v string) (wrong string) {
	switch {
	case k == "name":
		f.names = append(f.names, v)
	case k == "driver" && v == "local": // there is no other
	case k == "driver":
		return "the only driver is local"
	case k != "dangling":
		return "unknown key (dangling, driver, name); volumes have no labels"
	case v != "true" && v != "false":
		return "true or false"
	default:
		f.dangling = v
	}
	return ""
}

func (f filter) chosen(all []status.Volume) (chosen []status.Volume) {
	for _, v := range all {
		fits := f.dangling == "" || f.dangling == fmt.Sprint(len(v.Containers) == 0)
		if fits && ask.AnyOf(f.names, func(n string) bool { return strings.Contains(v.Name, n) }) {
			chosen = append(chosen, v)
		}
	}
	return chosen
}
