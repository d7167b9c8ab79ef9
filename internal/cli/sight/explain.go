package sight

import (
	"io"

	"github.com/spf13/cobra"

	"carob/internal/look"
	"carob/internal/look/tell"
)

// Explain is the command explain.
func Explain(e Env) *cobra.Command {
	var o output
	lang := "en"
	c := &cobra.Command{
		Use: "explain POD|CONTAINER|PID", Short: "Explain a container, pod or process in plain sentences",
		Long: `Says in plain sentences what a container or pod really is: its processes, which
namespaces it shares with whom and what follows from that, its files, limits and rights.
Behind each sentence stands the file that says so. It works on any process of the machine.`,
		Example:           "  carob explain foo\n  carob explain web\n  carob explain foo --lang zh",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: e.Things(1),
		RunE: func(cmd *cobra.Command, words []string) error {
			l, err := tell.ParseLanguage(lang)
			if err != nil {
				return err
			}
			h, err := e.read(cmd.Context(), look.Options{})
			if err != nil {
				return err
			}
			t, err := one(h, words[0])
			if err != nil {
				return err
			}
			r, err := e.reader(h)
			if err != nil {
				return err
			}
			s := r.Read(t)
			w := tell.Explain(&s, l)
			return e.write(o, w, func(out io.Writer) error { return w.Text(out, e.pen()) })
		},
	}
	o.bind(c, "text", "json", "yaml")
	c.Flags().StringVar(&lang, "lang", lang, "`LANGUAGE`: en or zh")
	_ = c.RegisterFlagCompletionFunc("lang", fixed("en", "zh")) // the flag exists: it was made above
	return c
}
