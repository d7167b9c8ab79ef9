// Command carobd is the daemon. People start it as `carob serve`, which becomes it
// and keeps its own name in the command line.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func main() {
	said := settings{root: os.Getenv("CAROB_ROOT"), run: os.Getenv("CAROB_RUN"), socket: os.Getenv("CAROB_SOCKET")}
	carob := &cobra.Command{Use: "carob", SilenceErrors: true, SilenceUsage: true}
	carob.AddCommand(serveCommand(said), configCommand(said))
	if err := carob.ExecuteContext(context.Background()); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(os.Stderr, "carob: "+line)
		}
		os.Exit(1)
	}
}
