// Command carob is the command line and, as `carob serve`, the daemon.
package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/launch"
	"carob/internal/cli"
	"carob/internal/cli/forward"
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
	start := launch.Starter{Socket: socket, RunDir: run, Note: os.Stderr, Env: []string{"PATH=" + os.Getenv("PATH")}}
	if exe, err := os.Executable(); err == nil {
		start.Command = []string{exe, "serve", "--root=" + root, "--run=" + run, "--socket=" + socket}
	}
	os.Exit(cli.Main(context.Background(), cli.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv,
		Dial: start.Dial, About: about(), RunDirs: []string{run},
		Extra: cli.Extra{
			Pods:   []*cobra.Command{forward.Command(forward.Env{Stdout: os.Stdout, Stderr: os.Stderr, Dial: start.Dial})},
			System: []*cobra.Command{serveCommand(config{root: root, run: run, socket: socket})},
		},
	}))
}

func setting(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func about() api.About {
	a := api.About{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				a.Commit = s.Value
			}
		}
	}
	return a
}
