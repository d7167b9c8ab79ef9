package images

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/archive/checkpoint"
)

func checkpointCommand(e Env) *cobra.Command {
	var p api.CheckpointParams
	var export string
	c := &cobra.Command{
		Use: "checkpoint [FLAGS] CONTAINER", Short: "Write a running container's processes down, with criu",
		Long: `Writes down all that the processes of a container are: memory, open files, timers. The container
has ended then, and goes on where it was when it is started again, or, from an exported
archive, wherever it is restored. Needs criu, and --userns host for the container.`,
		Example: "  carob checkpoint web && carob restore web\n  carob checkpoint --leave-running --export web.tar web && carob restore --name web2 --userns host web.tar",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: e.Containers,
		RunE: func(cmd *cobra.Command, refs []string) error {
			p.Ref, p.Export = refs[0], export != ""
			write := func(f *os.File) error { return e.checkpoint(cmd.Context(), f, p) }
			if !p.Export {
				return write(nil)
			}
			return whole(export, 0o600, write)
		},
	}
	c.Flags().StringVarP(&export, "export", "e", "", "write an archive to `FILE`, with what the container has written to its root file system")
	c.Flags().BoolVar(&p.LeaveRunning, "leave-running", false, "let the container go on; needs --export")
	return c
}

func (e Env) checkpoint(ctx context.Context, w *os.File, p api.CheckpointParams) error {
	_, err := do(ctx, e, api.Checkpoint, client.Exchange[api.CheckpointParams, api.None]{Params: p, Files: api.Files{Data: w}})
	return err
}

// Checkpointed is the image that a checkpoint archive was made with, by the name it had.
func Checkpointed(path string) (string, error) {
	known, err := checkpoint.Known(path)
	return known.RootfsImageName, err
}
