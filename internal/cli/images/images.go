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
	"golang.org/x/term"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/remote"
)

// Env is what the commands work with.
type Env struct {
	Stdin, Stdout, Stderr *os.File
	// Daemon connects to the daemon, starting one when none runs.
	Daemon func(context.Context) (*client.Client, error)
	// Images and Containers complete names.
	Images, Containers cobra.CompletionFunc
	LookupEnv          func(string) (string, bool)
}

// Commands returns the commands that work on images.
func Commands(e Env) []*cobra.Command {
	return append(remote.ImageCommands(e.remote()), saveCommand(e), historyCommand(e))
}

// LoginCommands returns those that keep credentials for registries.
func LoginCommands(e Env) []*cobra.Command { return remote.LoginCommands(e.remote()) }

// Pull gets an image from a registry and shows on standard error how far that is.
func (e Env) Pull(ctx context.Context, name string) error {
	_, err := e.remote().Pull(ctx, name, remote.Options{})
	return err
}

func (e Env) remote() remote.Env {
	kind, _ := e.LookupEnv("TERM")
	return remote.Env{
		Stdin: e.Stdin, Stdout: e.Stdout, Stderr: e.Stderr, LookupEnv: e.LookupEnv, Daemon: e.Daemon, Images: e.Images,
		Size: func() (width, height int, ok bool) {
			width, height, err := term.GetSize(int(e.Stderr.Fd()))
			if width == 0 || height == 0 {
				width, height = 80, 24 // a terminal that does not know
			}
			return width, height, err == nil && kind != "dumb"
		},
	}
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
func do[P, E, R any](ctx context.Context, e Env, m api.Method[P, E, R], x client.Exchange[P, E]) (R, error) {
	c, err := e.Daemon(ctx)
	if err != nil {
		var none R
		return none, err
	}
	return client.Do(ctx, c, m, x)
}
