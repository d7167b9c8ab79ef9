// Command carob is the command line. `carob serve` becomes the daemon, carobd, a
// binary of its own: what only the daemon links (gRPC, protobuf, Kubernetes' types)
// costs each start of a program 1.5 ms of initialisation. See docs/adr/0014.
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
	"carob/internal/sys/session"
)

// version is set by the linker.
var version = "dev"

// Where things live when nothing else is said.
const (
	defaultRoot = "/var/lib/carob"
	defaultRun  = "/run/carob"
)

func main() {
	run, root := setting("CAROB_RUN", defaultRun), setting("CAROB_ROOT", defaultRoot)
	socket := setting("CAROB_SOCKET", filepath.Join(run, launch.SocketName))
	start := launch.Starter{Socket: socket, RunDir: run, Note: os.Stderr, Env: environment(os.LookupEnv)}
	if exe, err := os.Executable(); err == nil {
		start.Command = []string{exe, "serve", "--root=" + root, "--run=" + run, "--socket=" + socket}
	}
	os.Exit(cli.Main(context.Background(), cli.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv,
		Dial: start.Dial, About: launch.About(version), RunDirs: []string{run},
		Extra: cli.Extra{
			Pods:   []*cobra.Command{forward.Command(forward.Env{Stdout: os.Stdout, Stderr: os.Stderr, Dial: start.Dial})},
			System: []*cobra.Command{serveCommand()},
		},
	}))
}

// serveCommand turns this process into the daemon, which keeps the pid, the words of
// the command line and the environment.
func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve [FLAGS]", Short: "Run the daemon in the foreground",
		DisableFlagParsing: true, // the daemon's words
		RunE: func(*cobra.Command, []string) error {
			path, err := launch.Beside("carobd")
			if err != nil {
				return fmt.Errorf("serve: %w", err)
			}
			return fmt.Errorf("serve: %w", session.Become(path, os.Args))
		},
	}
}

// environment is all that a daemon started from here learns of it: where programs are,
// and which proxy leads to registries.
func environment(lookup func(string) (string, bool)) []string {
	var env []string
	for _, name := range []string{
		"PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
	} {
		if v, ok := lookup(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func setting(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
