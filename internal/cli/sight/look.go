package sight

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Screen is an Env on standard streams. What the user wants of terminals is in the environment.
func Screen(stdin, stdout, stderr *os.File, getenv func(string) string) Env {
	dumb := getenv("TERM") == "dumb"
	return Env{
		Stdout: stdout, Stderr: stderr,
		Colour:   Coloured(getenv) && !dumb && term.IsTerminal(int(stdout.Fd())),
		Terminal: func() bool { return !dumb && term.IsTerminal(int(stdin.Fd())) && term.IsTerminal(int(stdout.Fd())) },
	}
}

// Coloured reports whether the user has not asked for no colours (no-color.org: NO_COLOR is
// set to anything but nothing).
func Coloured(getenv func(string) string) bool { return getenv("NO_COLOR") == "" }

// Look is the parent of the commands that look; more are further ones.
func Look(e Env, more ...*cobra.Command) *cobra.Command {
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
	c.AddCommand(nsCommand(e), treeCommand(e), cgroupCommand(e), diffCommand(e), securityCommand(e), watchCommand(e))
	c.AddCommand(more...)
	return c
}
