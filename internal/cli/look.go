package cli

import (
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"carob/internal/cli/sight"
	"carob/internal/look"
)

// sight is what the commands need that look at the machine instead of asking the daemon.
func (a *app) sight() sight.Env {
	plain, _ := a.LookupEnv("NO_COLOR") // no-color.org: set to anything but nothing
	kind, _ := a.LookupEnv("TERM")
	return sight.Env{
		Stdout: a.Stdout, Stderr: a.Stderr, RunDirs: a.RunDirs,
		Colour: plain == "" && kind != "dumb" && term.IsTerminal(int(a.Stdout.Fd())),
		Terminal: func() bool {
			return kind != "dumb" && term.IsTerminal(int(a.Stdin.Fd())) && term.IsTerminal(int(a.Stdout.Fd()))
		},
	}
}

// lookCommand is the parent of the commands that look.
func lookCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "look COMMAND", Short: "See what containers and pods really are",
		Long: `Looks at containers, pods and any other process of this machine, whoever started
them: Docker, containerd, CRI-O, podman, systemd, a browser, or carob. It reads /proc and
the cgroup file systems, needs no daemon and changes nothing. As root it sees everything;
without, it shows what it may and says what it could not read.`,
		Example: "  carob look ns\n  carob look draw foo\n  carob look diff web foo",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(append(sight.Commands(a.sight()), drawCommand(a))...)
	return c
}

// observed completes with the names of the pods and containers that are there.
func observed(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	h, err := look.Read(cmd.Context(), look.Options{})
	if err != nil {
		return nil, noFiles
	}
	return sight.Names(h), noFiles
}
