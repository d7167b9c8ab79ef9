package sight

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/facts"
	"carob/internal/look/risk"
)

func securityCommand(e Env) *cobra.Command {
	var o output
	var calls bool
	c := &cobra.Command{
		Use: "security [POD|CONTAINER|PID…]", Short: "Say what an escape would need, and how to close it",
		Long: `Judges containers by what an escape would need: capabilities, seccomp, user mapping,
namespaces that are the host's, dangerous mounts, devices, missing limits; in order of
severity, each with how to close it and the file it was read from. Without a name every
container has one line. That nothing is found does not prove that there is nothing.

With --calls it says which system calls the seccomp filters refuse. No file shows them:
the first process of the container is stopped for a moment and asked (root only).`,
		Example:           "  carob look security\n  carob look security web\n  carob look security web --calls\n  carob look security foo -o json",
		ValidArgsFunction: e.Things(0),
		RunE: func(cmd *cobra.Command, words []string) error {
			h, err := e.read(cmd.Context(), look.Options{})
			if err != nil {
				return err
			}
			r, err := e.reader(h)
			if err != nil {
				return err
			}
			r.Calls = calls
			things, missing := find(h, words)
			if missing != nil && len(things) == 0 {
				return missing
			}
			if slices.ContainsFunc(things, func(t look.Thing) bool { return t.Is == look.ThingHost }) {
				return fault.New(fault.Invalid, "host: is where an escape leads; name a pod, a container or a process")
			}
			all := reports(r, things, len(words) == 0)
			if err := e.write(o, all, func(w io.Writer) error { return e.judged(w, all, len(words) == 0) }); err != nil {
				return err
			}
			return missing
		},
	}
	o.bind(c, "table", "json", "yaml")
	c.Flags().BoolVar(&calls, "calls", false, "stop each first process for a moment and read which system calls are refused")
	return c
}

// reports judges things, or all containers; of a pod its containers.
func reports(r *facts.Reader, things []look.Thing, all bool) []risk.Report {
	out := []risk.Report{}
	if all {
		for i := range r.Host.Containers {
			if r.Host.Containers[i].Class == look.ClassContainer {
				s := r.Read(r.Host.ContainerThing(i))
				out = append(out, risk.Judge(&s))
			}
		}
		slices.SortStableFunc(out, func(a, b risk.Report) int { return cmp.Compare(worst(b), worst(a)) })
		return out
	}
	for _, t := range things {
		s := r.Read(t)
		if len(s.Members) == 0 {
			out = append(out, risk.Judge(&s))
		}
		for i := range s.Members {
			out = append(out, risk.Judge(&s.Members[i]))
		}
	}
	return out
}

func worst(r risk.Report) risk.Severity {
	if len(r.Findings) == 0 {
		return risk.Low - 1
	}
	return r.Findings[0].Severity
}

func (e Env) judged(w io.Writer, all []risk.Report, table bool) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "No container runs that could be seen here.")
		return err
	}
	if table {
		if err := risk.Table(w, all, e.pen()); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w, "\nMore about one: carob look security NAME")
		return err
	}
	for i, r := range all {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := r.Text(w, e.pen()); err != nil {
			return err
		}
	}
	return nil
}
