package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
	"carob/internal/cli/images"
	"carob/internal/status"
)

func restoreCommand(a *app) *cobra.Command {
	var r ask.Run
	c := &cobra.Command{
		Use:   "restore [FLAGS] CONTAINER | FILE [IMAGE]",
		Short: "Let a container go on from its checkpoint, or a new one from an archive",
		Long: `A container that carob checkpoint has written down is started again where it was. From an
archive, which has a slash in its name or is a file, a new container is made as run -d would
make it: what it may, and what is mounted in it, the flags say and not the archive. IMAGE is
the one that the archive names unless another is given; the files that the container had
written come with the archive.`,
		Example: "  carob restore web\n  carob restore --name web2 --userns host -p 8081:80 ./web.tar",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, words []string) error {
			if !isFile(words[0]) {
				_, err := do(cmd.Context(), a, api.Start, client.Exchange[api.StartParams, status.Container]{Params: api.StartParams{Ref: words[0]}})
				return refusal(err, 125)
			}
			r.Checkpoint, r.Detach = words[0], true
			if words = words[1:]; len(words) == 0 {
				name, err := images.Checkpointed(r.Checkpoint)
				if err != nil {
					return refusal(err, 125)
				}
				words = []string{name}
			}
			return refusal(a.run(cmd.Context(), &r, words), 125)
		},
	}
	r.Bind(c.Flags())
	completeRun(a, c)
	return c
}

// isFile tells an archive from a container: no container's name has a slash or a dot's
// suffix that a tar has.
func isFile(word string) bool { return strings.Contains(word, "/") || strings.HasSuffix(word, ".tar") }
