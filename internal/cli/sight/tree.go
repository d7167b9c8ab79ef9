package sight

import (
	"io"

	"github.com/spf13/cobra"

	"carob/internal/look"
	"carob/internal/look/forest"
)

func treeCommand(e Env) *cobra.Command {
	var o output
	var all, full bool
	c := &cobra.Command{
		Use: "tree [POD|CONTAINER|PID…]", Short: "Show processes by pod and container",
		Long: `Shows processes as ps auxf does, grouped by pod and container. The runtimes' own
processes are marked with what they are. INSIDE is a process's number in its container.`,
		Example:           "  carob look tree\n  carob look tree foo\n  carob look tree --all --no-trunc",
		ValidArgsFunction: e.Things(0),
		RunE: func(cmd *cobra.Command, words []string) error {
			h, err := e.read(cmd.Context(), look.Options{})
			if err != nil {
				return err
			}
			things, missing := find(h, words)
			if missing != nil && len(things) == 0 {
				return missing
			}
			f := forest.Grow(h, forest.Options{Things: things, All: all})
			err = e.write(o, f, func(w io.Writer) error {
				return f.Text(w, forest.TextOptions{Pen: e.pen(), Full: full})
			})
			if err != nil {
				return err
			}
			e.less(h)
			return missing
		},
	}
	o.bind(c, "table", "json", "yaml")
	c.Flags().BoolVar(&all, "all", false, "show the host's processes and groups that no engine runs too")
	c.Flags().BoolVar(&full, "no-trunc", false, "do not shorten command lines")
	return c
}
