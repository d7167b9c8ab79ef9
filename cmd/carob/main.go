// Command carob is the command line. `carob serve` becomes the daemon, carobd, a
// binary of its own: what only the daemon links (gRPC, protobuf, Kubernetes' types)
// costs each start of a program 1.5 ms of initialisation. See docs/adr/0014. Nor does it look for the CPU limit of its own
// cgroup, which takes Go longer than the limit would matter.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

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

// defaultRun is where the daemon is found when nothing else is said.
const defaultRun = "/run/carob"

func main() {
	run := setting("CAROB_RUN", defaultRun)
	socket := setting("CAROB_SOCKET", filepath.Join(run, launch.SocketName))
	start := launch.Starter{Socket: socket, RunDir: run, Note: os.Stderr, Env: environment(os.LookupEnv)}
	if exe, err := os.Executable(); err == nil {
		// Not the root, which the configuration file may name: the daemon knows CAROB_ROOT.
		start.Command = []string{exe, "serve", "--run=" + run, "--socket=" + socket}
	}
	os.Exit(cli.Main(context.Background(), cli.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv,
		Dial: start.Dial, About: launch.About(version), RunDirs: []string{run},
		Extra: append(network.Commands(network.Env{Daemon: start.Dial, Stdout: os.Stdout}),
			volumes.Command(volumes.Env{Daemon: start.Dial, Stdin: os.Stdin, Stdout: os.Stdout}),
			forward.Command(forward.Env{Stdout: os.Stdout, Stderr: os.Stderr, Dial: start.Dial}),
			daemonCommand("serve [FLAGS]", "Run the daemon in the foreground"),
			daemonCommand("config COMMAND", "The daemon's configuration file"),
		),
	}))
}

// daemonCommand turns this process into the daemon, which keeps the pid, the words of
// the command line and the environment.
func daemonCommand(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		DisableFlagParsing: true, // the daemon's words
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := launch.Beside("carobd")
			if err != nil {
				return fmt.Errorf("%s: %w", cmd.Name(), err)
			}
			return fmt.Errorf("%s: %w", cmd.Name(), session.Become(path, os.Args))
		},
	}
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
				v = absolute(v)
			}
			env = append(env, name+"="+v)
		}
	}
	return env
}

// absolute is a path from here: the daemon that is started works from the root.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path // there is no working directory; the daemon says so
}

func setting(name, otherwise string) string {
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	return absolute(v)
}
