package sight

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/group"
	"carob/internal/look/ink"
)

// grouped is what look cgroup has to say.
type grouped struct {
	Mode        group.Mode        `json:"mode"`
	Hierarchies []group.Hierarchy `json:"hierarchies"`
	// Limits are what holds for the thing that was asked for.
	Limits []group.Bound `json:"limits,omitempty"`
	Tree   *group.Group  `json:"tree"`
	Unread []string      `json:"unread,omitempty"`
}

func cgroupCommand(e Env) *cobra.Command {
	var o output
	var t group.TextOptions
	c := &cobra.Command{
		Use: "cgroup [POD|CONTAINER|PID|PATH]", Short: "Show control groups, their use, and the limits that really hold",
		Long: `Shows the tree of control groups with processes, limits and use, and notes what deserves
a look: throttling, OOM kills, pressure, refused forks. For one thing it says first which
limit holds, the tightest on the way up to the root, and which group sets it. A path, as
/docker, is a group itself.`,
		Example:           "  carob look cgroup\n  carob look cgroup foo/app\n  carob look cgroup /carob --all -o json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: e.Things(1),
		RunE: func(cmd *cobra.Command, words []string) error {
			g, err := e.groups(cmd, strings.Join(words, ""))
			if err != nil {
				return err
			}
			return e.write(o, g, func(w io.Writer) error {
				t.Pen = e.pen()
				return g.text(w, t)
			})
		},
	}
	o.bind(c, "table", "json", "yaml")
	c.Flags().BoolVar(&t.All, "all", false, "show groups without processes and the kernel's threads too")
	c.Flags().BoolVar(&t.Full, "no-trunc", false, "do not shorten IDs and command lines")
	return c
}

func (e Env) groups(cmd *cobra.Command, word string) (grouped, error) {
	h, err := e.read(cmd.Context(), look.Options{})
	if err != nil {
		return grouped{}, err
	}
	cg, err := group.Open(e.Root)
	if err != nil {
		return grouped{}, err
	}
	g := grouped{Mode: cg.Mode, Hierarchies: cg.Hierarchies}
	path := "/"
	if word != "" {
		thing, err := place(h, cg, word)
		if err != nil {
			return grouped{}, err
		}
		g.Limits, path = cg.Limits(thing), thing.Deepest()
	}
	if g.Tree, err = cg.Tree(cmd.Context(), path); err != nil {
		return grouped{}, err
	}
	names := map[string]string{}
	for i := range h.Containers {
		names[h.Containers[i].ID] = "container " + h.ContainerThing(i).Name
	}
	for i := range h.Pods {
		names[h.Pods[i].ID] = "pod " + h.Pods[i].Called()
	}
	g.Tree.Call(names)
	g.Unread = cg.Unread
	return g, nil
}

// place finds the groups that a word means.
func place(h *look.Host, cg *group.Host, word string) (group.Thing, error) {
	if strings.HasPrefix(word, "/") {
		return cg.Group(word)
	}
	t, err := one(h, word)
	if err != nil {
		return group.Thing{}, err
	}
	return cg.Of(h, t)
}

// text writes the limits and the tree.
func (g grouped) text(w io.Writer, o group.TextOptions) error {
	var err error
	line := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format+"\n", args...)
		}
	}
	for _, b := range g.Limits {
		line("%s", ink.Safe(b.Short(o.Full)))
	}
	if len(g.Limits) > 0 {
		line("")
	}
	if err != nil {
		return err
	}
	if err := g.Tree.Text(w, o); err != nil {
		return err
	}
	if len(g.Unread) > 0 {
		line("Could not read %s: %s", ink.Count(len(g.Unread), "file", "files"), fault.Denied)
	}
	return err
}
