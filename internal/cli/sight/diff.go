package sight

import (
	"io"

	"github.com/spf13/cobra"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/compare"
	"carob/internal/look/facts"
	"carob/internal/look/group"
)

func diffCommand(e Env) *cobra.Command {
	var o output
	var all bool
	c := &cobra.Command{
		Use: "diff A B", Short: "Say what differs between two containers, pods or processes",
		Long: `Says in words what two things share and where they differ: namespaces, users,
capabilities, seccomp, limits, mounts, devices. A and B are pods, containers, PIDs, or
the word "host".`,
		Example:           "  carob look diff web foo\n  carob look diff foo/app foo/sidecar\n  carob look diff web host --all",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: e.Things(2),
		RunE: func(cmd *cobra.Command, words []string) error {
			h, err := e.read(cmd.Context(), look.Options{})
			if err != nil {
				return err
			}
			things, err := find(h, words)
			if err != nil {
				return err
			}
			r, err := e.reader(h)
			if err != nil {
				return err
			}
			a, b := r.Read(things[0]), r.Read(things[1])
			d := compare.Build(&a, &b)
			return e.write(o, d, func(w io.Writer) error {
				return d.Text(w, compare.TextOptions{Pen: e.pen(), Full: all})
			})
		},
	}
	o.bind(c, "table", "json", "yaml")
	c.Flags().BoolVar(&all, "all", false, "list everything, what is the same too")
	return c
}

// reader reads facts of a host, without limits where no cgroups are mounted.
func (e Env) reader(h *look.Host) (*facts.Reader, error) {
	g, err := group.Open(e.Root)
	if err != nil && !fault.Is(err, fault.Unsupported) {
		return nil, err
	}
	return facts.NewReader(h, g), nil
}
