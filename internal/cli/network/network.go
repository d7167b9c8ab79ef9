// Package network has the commands about networks and ports of the host.
package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
	"carob/internal/cli/entry"
	"carob/internal/cli/show"
	"carob/internal/fault"
	"carob/internal/plan/port"
	"carob/internal/spec"
	"carob/internal/status"
)

// Env is what the commands work with.
type Env struct {
	Daemon client.Dialer
	Stdout io.Writer
}

// Group is the group of the commands in the help.
const Group = "networks"

// names completes names of networks.
func (e Env) names(cmd *cobra.Command, words []string, begun string) ([]string, cobra.ShellCompDirective) {
	list := func(ctx context.Context) ([]status.Network, error) {
		return client.CallBy(ctx, e.Daemon, api.Networks, api.None{})
	}
	return entry.Names(list, func(n status.Network) string { return n.Name })(cmd, words, begun)
}

// containers completes names of containers.
func (e Env) containers(cmd *cobra.Command, words []string, begun string) ([]string, cobra.ShellCompDirective) {
	list := func(ctx context.Context) ([]status.Container, error) {
		return client.CallBy(ctx, e.Daemon, api.Containers, status.Filter{})
	}
	return entry.Names(list, show.Title)(cmd, words, begun)
}

// Commands returns the commands.
func Commands(e Env) []*cobra.Command {
	group := &cobra.Command{
		Use: "network COMMAND", Short: "Work with networks",
		Example: "  carob network create back\n  carob run -d --network back --name db toolbox sleep 1000\n  carob network inspect back",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(networkCreateCommand(e), networkListCommand(e), networkInspectCommand(e), networkRemoveCommand(e), connectCommand(e), disconnectCommand(e))
	ports := portCommand(e)
	group.GroupID, ports.GroupID = Group, Group
	return []*cobra.Command{group, ports}
}

func networkCreateCommand(e Env) *cobra.Command {
	var w spec.Network
	var labels []string
	c := &cobra.Command{
		Use: "create [FLAGS] NAME", Short: "Make a network, whose pods reach one another and nobody of other networks",
		Example: "  carob network create back\n  carob network create --subnet 10.9.0.0/24 --subnet fd09::/64 back",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, words []string) error {
			w.Name = words[0]
			var err error
			if w.Labels, err = ask.Labels(labels); err != nil {
				return err
			}
			made, err := client.CallBy(cmd.Context(), e.Daemon, api.NetworkCreate, w)
			if err == nil {
				fmt.Fprintln(e.Stdout, made.Name)
			}
			return err
		},
	}
	c.Flags().Var((*ask.List)(&w.Subnets), "subnet", "`CIDR` of its addresses, one per family; chosen from the daemon's pools when not given")
	c.Flags().VarP((*ask.List)(&labels), "label", "l", "label `KEY=VALUE`")
	return c
}

func networkListCommand(e Env) *cobra.Command {
	var s show.Style
	var filters []string
	c := &cobra.Command{
		Use: "ls", Short: "List networks",
		Example: "  carob network ls -o wide\n  carob network ls -q --filter dangling=true",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := filterOf(filters)
			if err != nil {
				return err
			}
			list, err := client.CallBy(cmd.Context(), e.Daemon, api.Networks, api.None{})
			if err != nil {
				return err
			}
			return show.Networks().Write(e.Stdout, s, slices.DeleteFunc(list, func(n status.Network) bool { return !f.fits(n) }))
		},
	}
	c.Flags().StringVarP(&s.Output, "output", "o", "", "output `FORMAT`: wide, name, json or yaml")
	c.Flags().VarP((*ask.List)(&filters), "filter", "f", "`KEY=VALUE`: name (part of it), label, driver (builtin or cni), dangling (true or false: no pod is in it)")
	c.Flags().StringVar(&s.Format, "format", "", "Go `TEMPLATE` for each network")
	c.Flags().BoolVarP(&s.Quiet, "quiet", "q", false, "print names only")
	return c
}

func networkInspectCommand(e Env) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "inspect NETWORK…", Short: "Show networks and who is in them",
		Example: "  carob network inspect default",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			var all []status.Network
			for _, n := range names {
				one, err := client.CallBy(cmd.Context(), e.Daemon, api.InspectNetwork, api.Ref{Ref: n})
				if err != nil {
					return err
				}
				all = append(all, one)
			}
			return show.Document(e.Stdout, output, all)
		},
		ValidArgsFunction: e.names,
	}
	c.Flags().StringVarP(&output, "output", "o", "json", "output `FORMAT`: json or yaml")
	return c
}

func networkRemoveCommand(e Env) *cobra.Command {
	return &cobra.Command{
		Use: "rm NETWORK…", Short: "Remove networks without members",
		Example: "  carob network rm back",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			var errs []error
			for _, n := range names {
				_, err := client.CallBy(cmd.Context(), e.Daemon, api.NetworkRemove, api.Ref{Ref: n})
				errs = append(errs, err)
				if err == nil {
					fmt.Fprintln(e.Stdout, n)
				}
			}
			return errors.Join(errs...)
		},
		ValidArgsFunction: e.names,
	}
}

func connectCommand(e Env) *cobra.Command {
	var j spec.Join
	c := &cobra.Command{
		Use: "connect [FLAGS] NETWORK POD|CONTAINER", Short: "Bring a pod into one more network",
		Example: "  carob network connect --alias db back web",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, words []string) error {
			j.Network = words[0]
			_, err := client.CallBy(cmd.Context(), e.Daemon, api.Connect, api.ConnectParams{Ref: words[1], Join: j})
			return err
		},
		ValidArgsFunction: e.names,
	}
	c.Flags().Var((*ask.List)(&j.IPs), "ip", "`ADDRESS` in the network, IPv4 or IPv6")
	c.Flags().Var((*ask.List)(&j.Aliases), "alias", "further name in the network")
	c.Flags().StringVar(&j.MAC, "mac-address", "", "hardware `ADDRESS` in the network")
	return c
}

func disconnectCommand(e Env) *cobra.Command {
	return &cobra.Command{
		Use: "disconnect NETWORK POD|CONTAINER", Short: "Take a pod out of a network",
		Example: "  carob network disconnect back web",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, words []string) error {
			_, err := client.CallBy(cmd.Context(), e.Daemon, api.Disconnect, api.ConnectParams{Ref: words[1], Join: spec.Join{Network: words[0]}})
			return err
		},
		ValidArgsFunction: e.names,
	}
}

func portCommand(e Env) *cobra.Command {
	return &cobra.Command{
		Use: "port POD|CONTAINER [PORT[/PROTOCOL]]", Short: "Show which ports of the host lead to a pod",
		Example: "  carob port web\n  carob port web 80/tcp",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, words []string) error {
			all, err := connections(cmd.Context(), e, words[0])
			if err != nil {
				return err
			}
			published := show.Published(all)
			if len(words) == 1 {
				for _, p := range published {
					fmt.Fprintln(e.Stdout, port.Line(p))
				}
				return nil
			}
			return e.portOf(words[0], words[1], published)
		},
		ValidArgsFunction: e.containers,
	}
}

// portOf prints the ports of the host that lead to one of a pod's.
func (e Env) portOf(ref, wanted string, published []spec.Port) error {
	word := wanted
	if !strings.Contains(word, "/") {
		word += "/tcp"
	}
	found := false
	for _, p := range published {
		if at, ok := strings.CutPrefix(port.Line(p), word+" -> "); ok {
			fmt.Fprintln(e.Stdout, at)
			found = true
		}
	}
	if !found {
		return fault.New(fault.NotFound, fmt.Sprintf("port %.40s of %s: no port of the host leads to it", wanted, ref))
	}
	return nil
}

// connections are those of a pod, or of a container's.
func connections(ctx context.Context, e Env, ref string) ([]status.Connection, error) {
	found, err := client.CallBy(ctx, e.Daemon, api.Pods, status.Filter{PodRef: ref})
	if err == nil && len(found) == 0 {
		var c status.Container
		if c, err = client.CallBy(ctx, e.Daemon, api.Container, api.Ref{Ref: ref}); err == nil {
			found, err = client.CallBy(ctx, e.Daemon, api.Pods, status.Filter{PodRef: c.PodID})
		}
	}
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0].Connections, nil
}
