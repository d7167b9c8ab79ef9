package sight

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"carob/internal/cli/live"
)

// onScreen reports whether a person sits before both ends.
func (e Env) onScreen() bool { return e.Terminal != nil && e.Terminal() }

func watchCommand(e Env) *cobra.Command {
	var o output
	var once bool
	l := live.Options{Root: e.Root, RunDirs: e.RunDirs, Colour: e.Colour}
	c := &cobra.Command{
		Use: "watch [WORD…]", Short: "Watch what pods and containers use, live",
		Long: `Shows pods and containers of every engine as they run, in the whole terminal: CPU and how
often its quota ran out, memory against its limit, disk and network traffic, tasks, pressure,
and which namespaces are shared or the host's. Words filter the rows. Keys: arrows select,
enter shows details, f folds a pod, / filters, s sorts, p pauses, ? explains, q quits.

With --once it takes two samples, an interval apart, and prints the rates between them.`,
		Example:           "  carob look watch\n  carob look watch foo --sort cpu\n  carob look watch --once -o json",
		ValidArgsFunction: e.Things(0),
		RunE: func(cmd *cobra.Command, words []string) error {
			l.Filter = strings.Join(words, " ")
			if err := l.Check(); err != nil {
				return err
			}
			if once || o.document() {
				return e.once(cmd, l, o)
			}
			if !e.onScreen() {
				return errors.New("look watch: needs a terminal; without one use: carob look tree, or: carob look watch --once -o json")
			}
			return live.Run(cmd.Context(), l)
		},
	}
	o.bind(c, "table", "json", "yaml")
	c.Flags().BoolVar(&once, "once", false, "print one sample and end; -o json and yaml imply it")
	c.Flags().BoolVar(&l.All, "all", false, "show sandboxes, and groups that no engine runs too")
	c.Flags().DurationVarP(&l.Interval, "interval", "n", time.Second, "`TIME` between samples")
	c.Flags().StringVar(&l.Sort, "sort", live.Orders()[0], "sort by `COLUMN`: "+strings.Join(live.Orders(), ", "))
	_ = c.RegisterFlagCompletionFunc("sort", fixed(live.Orders()...)) // the flag exists: it was made above
	return c
}

// once prints one sample. A document has everything; the table what the view would show.
func (e Env) once(cmd *cobra.Command, l live.Options, o output) error {
	t, err := live.Once(cmd.Context(), l)
	if err != nil {
		return err
	}
	return e.write(o, t, func(w io.Writer) error { return t.Text(w, l.View(), e.pen()) })
}
