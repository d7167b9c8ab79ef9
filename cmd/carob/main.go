// Command carob is the command line. `carob serve` becomes the daemon, carobd, and `carob look`
// becomes carob-look: what only they link (gRPC, Kubernetes' types; fonts, HTTP) costs each start
// of a program milliseconds of initialisation. See docs/adr/0014 and 0025. Nor does it look for
// the CPU limit of its own cgroup, which takes Go longer than the limit would matter.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"carob/internal/api/launch"
	"carob/internal/cli"
	"carob/internal/cli/forward"
	"carob/internal/cli/network"
	"carob/internal/cli/volumes"
	"carob/internal/sys/session"
)

// version is set by the linker.
var version = "dev"

func main() {
	run, socket := launch.RunDir(os.Getenv), launch.Socket(os.Getenv)
	start := launch.Starter{Socket: socket, RunDir: run, Note: os.Stderr, Env: environment(os.LookupEnv)}
	if exe, err := os.Executable(); err == nil {
		// Not the root, which the configuration file may name: the daemon knows CAROB_ROOT.
		start.Command = []string{exe, "serve", "--run=" + run, "--socket=" + socket}
	}
	os.Exit(cli.Main(context.Background(), cli.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv,
		Dial: start.Dial, About: launch.About(version),
		Extra: append(network.Commands(network.Env{Daemon: start.Dial, Stdout: os.Stdout}),
			volumes.Command(volumes.Env{Daemon: start.Dial, Stdin: os.Stdin, Stdout: os.Stdout}),
			forward.Command(forward.Env{Stdout: os.Stdout, Stderr: os.Stderr, Dial: start.Dial}),
			become("carobd", "system", "serve [FLAGS]", "Run the daemon in the foreground"),
			become("carobd", "system", "config COMMAND", "The daemon's configuration file"),
			become("carob-look", "look", "look COMMAND", "See what containers and pods really are"),
			become("carob-look", "look", "explain POD|CONTAINER|PID", "Explain a container, pod or process in plain sentences"),
			become("carob-look", "look", "view [FLAGS] [POD|CONTAINER|PID]", "Show the drawing as a live page for a browser"),
		),
	}))
}

// become is a command of another binary of carob. This process turns into that, which has the
// pid, the words of the command line and the environment, for its help and its completion too.
func become(binary, group, use, short string) *cobra.Command {
	turn := func(cmd *cobra.Command) error {
		path, err := launch.Beside(binary)
		if err == nil {
			err = session.Become(path, os.Args)
		}
		return fmt.Errorf("%s: %w", cmd.Name(), err)
	}
	c := &cobra.Command{
		Use: use, Short: short, GroupID: group,
		DisableFlagParsing: true, // the other binary's words
		RunE:               func(cmd *cobra.Command, _ []string) error { return turn(cmd) },
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			_ = turn(cmd) // without its binary it has no words
			return nil, cobra.ShellCompDirectiveError
		},
	}
	c.SetHelpFunc(func(cmd *cobra.Command, _ []string) { cmd.PrintErrln("carob:", turn(cmd)) })
	return c
}

// environment is all that a daemon started from here learns of it: where its images
// and programs are, and which proxy leads to registries.
func environment(lookup func(string) (string, bool)) []string {
	var env []string
	for _, name := range []string{
		"CAROB_ROOT", "PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
	} {
		if v, ok := lookup(name); ok {
			if name == "CAROB_ROOT" && v != "" {
				v = launch.Absolute(v)
			}
			env = append(env, name+"="+v)
		}
	}
	return env
}
