// Command carob-init is the first process of a container with --init under an OCI runtime:
// it is mounted into the container and executes the command that its arguments are.
package main

import (
	"os"

	"carob/internal/sys/reaper"
)

func main() {
	code, err := reaper.Run(os.Args[1:])
	if err != nil {
		_, _ = os.Stderr.WriteString("carob-init: " + err.Error() + "\n") // there is nobody else to tell
	}
	os.Exit(code)
}
