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
)

// version is set by the linker.
var version = "dev"

// Where things live when nothing else is said.
const (
	defaultRoot = "/var/lib/carob"
	defaultRun  = "/run/carob"
	// defaultRegistries is where containerd's hosts.toml files are looked for.
	defaultRegistries = "/etc/carob/certs.d"
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
		Dial: start.Dial, About: about(), RunDirs: []string{run},
		Extra: []*cobra.Command{serveCommand(config{root: root, run: run, socket: socket, registries: defaultRegistries})},
	}))
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
