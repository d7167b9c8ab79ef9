package sight

import (
	"io"

	"github.com/spf13/cobra"

	"carob/internal/look"
	"carob/internal/look/matrix"
)

func nsCommand(e Env) *cobra.Command {
	var o output
	var all bool
	c := &cobra.Command{
		Use: "ns [POD|CONTAINER|PID…]", Short: "Show who shares which namespaces with whom",
		Long: `Shows a row for each container and a column for each kind of namespace. Equal letters
in a column are the same namespace; "own" is one that nobody else is in; "host" is no
isolation. Sharing is found out by the numbers in /proc/PID/ns over all processes of the
host, whoever started them.`,
		Example:           "  carob look ns\n  carob look ns foo\n  carob look ns web $$\n  carob look ns --all -o json",
		ValidArgsFunction: e.Things(0),
		RunE: func(cmd *cobra.Command, words []string) error {
			h, err := e.read(cmd.Context(), look.Options{Kept: all && len(words) == 0, Lineage: true})
			if err != nil {
				return err
			}
			things, missing := find(h, words)
			if missing != nil && len(things) == 0 {
				return missing
			}
			m := matrix.Build(h, matrix.Options{Things: things, All: all, Maps: h.Maps})
			if len(words) > 0 {
				m.Groups = 0 // what was not asked for is no news
			}
			err = e.write(o, m, func(w io.Writer) error {
				return m.Text(w, matrix.TextOptions{Pen: e.pen(), Wide: o == "wide", All: all})
			})
			if err != nil {
				return err
			}
			e.less(h)
			return missing
		},
	}
	o.bind(c, "table", "wide", "json", "yaml")
	c.Flags().BoolVar(&all, "all", false, "show the host, groups that no engine runs, and namespaces without a process too")
	return c
}
