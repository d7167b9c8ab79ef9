package images

import (
	"fmt"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
	"carob/internal/cli/show"
	"carob/internal/fault"
)

// PruneCommand removes images that nothing uses.
func PruneCommand(e Env) *cobra.Command {
	var p api.PruneParams
	var filters []string
	var force bool
	c := &cobra.Command{
		Use: "prune [FLAGS]", Short: "Remove images that no container uses",
		Long: `Removes the images that have no name, with -a also those that have. Images that a
container is made of, running or not, and pinned ones stay.`,
		Example: "  carob image prune\n  carob image prune -af --filter until=240h --filter label!=keep",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := pruning(&p, filters, time.Now()); err != nil {
				return err
			}
			if !force && !show.Sure(e.Stdin, e.Stdout, warning(p.All)) {
				return fault.New(fault.Invalid, "image prune: cancelled; -f does not ask")
			}
			done, err := client.DoBy(cmd.Context(), e.Daemon, api.ImagePrune, client.Exchange[api.PruneParams, api.None]{Params: p})
			if err != nil {
				return err
			}
			Removed(e.Stdout, done.Removed)
			fmt.Fprintln(e.Stdout, "Total reclaimed space:", units.HumanSize(float64(done.Freed)))
			return nil
		},
	}
	f := c.Flags()
	f.BoolVarP(&p.All, "all", "a", false, "remove images with names too")
	f.BoolVarP(&force, "force", "f", false, "do not ask")
	f.Var((*ask.List)(&filters), "filter", "`KEY=VALUE`: until (made before), label, label!")
	return c
}

// pruning reads the filters.
func pruning(p *api.PruneParams, words []string, now time.Time) error {
	return ask.EachFilter(words, func(k, v string) (wrong string) {
		switch k {
		case "label":
			p.Labels = append(p.Labels, v)
		case "label!":
			p.NotLabels = append(p.NotLabels, v)
		case "until":
			p.Until, wrong = moment(v, now)
		default:
			return "unknown key (until, label, label!)"
		}
		return wrong
	})
}

// warning is what to ask about.
func warning(all bool) string {
	what := "all images without a name"
	if all {
		what = "all images"
	}
	return "This removes " + what + " that no container uses."
}
