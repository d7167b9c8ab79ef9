package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/api/launch"
	"carob/internal/config"
)

func configCommand(s settings) *cobra.Command {
	c := &cobra.Command{
		Use: "config COMMAND", Short: "The daemon's configuration file",
		Long: "The daemon reads " + config.Path + `, or the file that ` + "`carob serve --config FILE`" + ` names. Without a file
everything has its default; flags of carob serve go before what the file says.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use: "default", Short: "Print a file that says what is so without one", Args: cobra.NoArgs,
		Example: "  carob config default > " + config.Path,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), config.Default())
			return err
		},
	}, &cobra.Command{
		Use: "check [FILE]", Short: "Say what is wrong with a file, with line numbers", Args: cobra.MaximumNArgs(1),
		Example: "  carob config check ./config.toml",
		RunE: func(_ *cobra.Command, args []string) error {
			path := config.Path
			if len(args) > 0 {
				path = args[0]
			}
			_, err := readConfig(path)
			return err
		},
	}, &cobra.Command{
		Use: "reload", Short: "Have the daemon read its configuration file again", Args: cobra.NoArgs,
		Long: `Has the daemon read its configuration file again, as SIGHUP does. What can change while it runs
changes at once: log-level, registry-config, policy and handlers. Of the rest it is said what
has changed and waits for the daemon to be started again; containers go on meanwhile. A file
that is wrong changes nothing.`,
		Example: "  carob config check && carob config reload",
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := askReload(cmd.Context(), s)
			if err != nil {
				return err
			}
			return tellReloaded(cmd.OutOrStdout(), done)
		},
	})
	return c
}

// askReload asks the daemon that the other commands speak with; it starts none, which
// would have read the file just now.
func askReload(ctx context.Context, s settings) (done api.Reloaded, err error) {
	c, err := client.Dial(cmp.Or(s.socket, filepath.Join(cmp.Or(s.run, defaultRun), launch.SocketName)))
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return client.Call(ctx, c, api.Reload, api.None{})
}

func tellReloaded(w io.Writer, done api.Reloaded) error {
	var lines []string
	if len(done.Changed) > 0 {
		lines = append(lines, "changed: "+strings.Join(done.Changed, ", "))
	}
	if len(done.Restart) > 0 {
		lines = append(lines, "waiting for the daemon to be started again: "+strings.Join(done.Restart, ", "))
	}
	if len(lines) == 0 {
		lines = append(lines, "nothing has changed")
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}
