package images

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
	"carob/internal/cli/show"
)

// ListCommand lists images; it goes by two names.
func ListCommand(e Env, name string) *cobra.Command {
	var st show.Style
	var filters []string
	var all, digests, noTrunc bool
	c := &cobra.Command{
		Use: name + " [FLAGS] [PATTERN…]", Short: "List images",
		Example: `  carob images
  carob images --filter dangling=true -q
  carob images 'quay.io/*/*' --format '{{.Repository}}:{{.Tag}} {{.Size}}'`,
		ValidArgsFunction: e.Images,
		RunE: func(cmd *cobra.Command, patterns []string) error {
			f, err := Filters(filters, patterns, time.Now())
			if err != nil {
				return err
			}
			list, err := do(cmd.Context(), e, api.Images, client.Exchange[api.None, api.None]{})
			if err != nil {
				return err
			}
			chosen, err := f.Apply(list)
			if err != nil {
				return err
			}
			if st.Format == "json" {
				st.Format = "{{json .}}"
			}
			return listing(noTrunc, digests).Write(e.Stdout, st, chosen)
		},
	}
	f := c.Flags()
	f.StringVarP(&st.Output, "output", "o", "", "output `FORMAT`: "+strings.Join(show.Formats(), ", "))
	f.StringVar(&st.Format, "format", "", "Go `TEMPLATE` for each line, or json")
	f.BoolVarP(&st.Quiet, "quiet", "q", false, "print IDs only")
	f.BoolVar(&noTrunc, "no-trunc", false, "do not shorten IDs")
	f.BoolVar(&digests, "digests", false, "show what registries call them")
	f.BoolVarP(&all, "all", "a", false, "list all images; there are none that are not listed anyway")
	f.VarP((*ask.List)(&filters), "filter", "f", "`KEY=VALUE`: dangling, label, reference, before, since, until")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(show.Formats(), cobra.ShellCompDirectiveNoFileComp)) // it was made above
	return c
}

// listing is the table of images.
func listing(noTrunc, digests bool) show.Sheet[show.Image] {
	sheet := show.Images(time.Now(), noTrunc)
	for i := range sheet.Columns {
		if sheet.Columns[i].Head == "DIGEST" {
			sheet.Columns[i].Wide = !digests
		}
	}
	return sheet
}
