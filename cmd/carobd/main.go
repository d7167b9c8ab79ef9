// Command carobd is the daemon. People start it as `carob serve`, which becomes it
// and keeps its own name in the command line.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/api/launch"
)

// version is set by the linker.
var version = "dev"

// Where things live when nothing else is said.
const (
	defaultRoot = "/var/lib/carob"
	defaultRun  = "/run/carob"
	// defaultRegistries is where containerd's hosts.toml files are looked for.
	defaultRegistries = "/etc/carob/certs.d"
	// defaultPolicy says which images may be pulled; all when there is no such file.
	defaultPolicy = "/etc/carob/policy.json"
)

func main() {
	run, root := setting("CAROB_RUN", defaultRun), setting("CAROB_ROOT", defaultRoot)
	c := config{root: root, run: run, socket: setting("CAROB_SOCKET", filepath.Join(run, launch.SocketName)), registries: defaultRegistries, policy: defaultPolicy}
	carob := &cobra.Command{Use: "carob", SilenceErrors: true, SilenceUsage: true}
	carob.AddCommand(serveCommand(c))
	if err := carob.ExecuteContext(context.Background()); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(os.Stderr, "carob: "+line)
		}
		os.Exit(1)
	}
}

func setting(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
