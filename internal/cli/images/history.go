package images

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/show"
)

func historyCommand(e Env) *cobra.Command {
	var st show.Style
	var noTrunc, human bool
	c := &cobra.Command{
		Use: "history [FLAGS] IMAGE", Short: "Show the steps an image was made by",
		Example: "  carob history toolbox\n  carob history --no-trunc --format '{{.CreatedBy}}' my/app:1",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: e.Images,
		RunE: func(cmd *cobra.Command, refs []string) error {
			m, err := do(cmd.Context(), e, api.InspectImage, client.Exchange[api.Ref, api.None]{Params: api.Ref{Ref: refs[0]}})
			if err != nil {
				return err
			}
			steps, err := show.Steps(m)
			if err != nil {
				return err
			}
			if st.Format == "json" {
				st.Format = "{{json .}}"
			}
			return show.History(time.Now(), noTrunc, !human).Write(e.Stdout, st, steps)
		},
	}
	f := c.Flags()
	f.StringVarP(&st.Output, "output", "o", "", "output `FORMAT`: "+strings.Join(show.Formats(), ", "))
	f.StringVar(&st.Format, "format", "", "Go `TEMPLATE` for each line, or json")
	f.BoolVarP(&st.Quiet, "quiet", "q", false, "print IDs only")
	f.BoolVar(&noTrunc, "no-trunc", false, "do not shorten IDs and instructions")
	f.BoolVarP(&human, "human", "H", true, "sizes and dates for people")
	return c
}
