// Package images has the commands on images and on what containers made of them that
// go beyond a list: archives, history, pruning, commit. Like all of the command line it
// speaks only to the daemon; what it writes on this machine are the archives it was
// asked for.
package images

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/api"
)

// Env is what the commands work with.
type Env struct {
	Stdin, Stdout, Stderr *os.File
	// Daemon connects to the daemon, starting one when none runs.
	Daemon func(context.Context) (*api.Client, error)
	// Images and Containers complete names.
	Images, Containers cobra.CompletionFunc
}

// Commands returns the commands that work on images.
func Commands(e Env) []*cobra.Command {
	return []*cobra.Command{saveCommand(e), historyCommand(e)}
}

// Removed prints what removing took away, as Docker does.
func Removed(w io.Writer, removed []string) {
	for _, r := range removed {
		word := "Untagged: "
		if strings.HasPrefix(r, "sha256:") {
			word = "Deleted: "
		}
		fmt.Fprintln(w, word+r)
	}
}

// do makes a call on the daemon.
func do[P, E, R any](ctx context.Context, e Env, m api.Method[P, E, R], x api.Exchange[P, E]) (R, error) {
	c, err := e.Daemon(ctx)
	if err != nil {
		var none R
		return none, err
	}
	return api.Do(ctx, c, m, x)
}
