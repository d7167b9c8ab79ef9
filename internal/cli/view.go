package cli

import (
	"context"
	"fmt"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/look/draw"
	"carob/internal/sys/session"
	"carob/internal/view"
)

func viewCommand(a *app) *cobra.Command {
	var port int
	c := &cobra.Command{
		Use: "view [FLAGS] [POD|CONTAINER|PID]", Short: "Show the drawing as a live page for a browser",
		Long: `Serves the drawing of look draw as a page that follows what happens, until it is
interrupted. Only this machine can open it, and only who knows the address that is
printed. No daemon is needed.`,
		Example: "  carob view\n  carob view foo --port 8001",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: observed(a),
		RunE: func(cmd *cobra.Command, words []string) error {
			return serveView(cmd.Context(), a, strings.Join(words, ""), port)
		},
	}
	c.Flags().IntVar(&port, "port", 0, "`PORT` of 127.0.0.1; any free one without")
	return c
}

// serveView prints the page's address and serves it until somebody interrupts.
func serveView(ctx context.Context, a *app, thing string, port int) error {
	ctx, stop := signal.NotifyContext(ctx, session.Quit()...)
	defer stop()
	o := draw.Options{Thing: thing, RunDirs: a.RunDirs}
	if _, err := draw.Read(ctx, o); err != nil { // said here rather than on the page
		return err
	}
	l, err := view.Listen(port)
	if err != nil {
		return err
	}
	s := view.New(view.Options{Look: o})
	fmt.Fprintln(a.Stdout, s.URL(l))
	return s.Serve(ctx, l)
}
