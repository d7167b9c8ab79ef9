package cli

import (
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"carob/internal/cli/sight"
)

// sight is what the commands need that look at the machine instead of asking the daemon.
func (a *app) sight() sight.Env {
	kind, _ := a.LookupEnv("TERM")
	return sight.Env{
		Stdout: a.Stdout, Stderr: a.Stderr, RunDirs: a.RunDirs,
		Colour: a.wantsColour() && kind != "dumb" && term.IsTerminal(int(a.Stdout.Fd())),
		Terminal: func() bool {
			return kind != "dumb" && term.IsTerminal(int(a.Stdin.Fd())) && term.IsTerminal(int(a.Stdout.Fd()))
		},
	}
}

// wantsColour reports whether the user has not asked for none (no-color.org: NO_COLOR is
// set to anything but nothing).
func (a *app) wantsColour() bool {
	no, _ := a.LookupEnv("NO_COLOR")
	return no == ""
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

// observed completes with the name of a pod or container that is there.
func observed(a *app) cobra.CompletionFunc {
	return func(cmd *cobra.Command, words []string, begun string) ([]string, cobra.ShellCompDirective) {
		return a.sight().Things(1)(cmd, words, begun)
	}
}
