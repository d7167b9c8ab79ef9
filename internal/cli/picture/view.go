// Package picture is the commands that draw containers and pods: `look draw` into the terminal
// or a file, `view` as a page for a browser. They need no daemon and change nothing.
package picture

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/look/draw"
	"carob/internal/sys/session"
	"carob/internal/view"
)

// Env is what the commands work with.
type Env struct {
	Stdout *os.File
	// NoColour is true for a user who has asked for none.
	NoColour bool
	// RunDirs are carob's run directories, Names completes the names of pods and containers.
	RunDirs []string
	Names   cobra.CompletionFunc
}

// View is `carob view`.
func View(e Env) *cobra.Command {
	var port int
	c := &cobra.Command{
		Use: "view [FLAGS] [POD|CONTAINER|PID]", Short: "Show the drawing as a live page for a browser",
		Long: `Serves the drawing of look draw as a page that follows what happens, until it is
interrupted. Only this machine can open it, and only who knows the address that is
printed. No daemon is needed.`,
		Example: "  carob view\n  carob view foo --port 8001",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: e.Names,
		RunE: func(cmd *cobra.Command, words []string) error {
			return e.serve(cmd.Context(), strings.Join(words, ""), port)
		},
	}
	c.Flags().IntVar(&port, "port", 0, "`PORT` of 127.0.0.1; any free one without")
	return c
}

// serve prints the page's address and serves it until somebody interrupts.
func (e Env) serve(ctx context.Context, thing string, port int) error {
	ctx, stop := signal.NotifyContext(ctx, session.Quit()...)
	defer stop()
	o := draw.Options{Thing: thing, RunDirs: e.RunDirs}
	if _, err := draw.Read(ctx, o); err != nil { // said here rather than on the page
		return err
	}
	l, err := view.Listen(port)
	if err != nil {
		return err
	}
	s := view.New(view.Options{Look: o})
	fmt.Fprintln(e.Stdout, s.URL(l))
	return s.Serve(ctx, l)
}
