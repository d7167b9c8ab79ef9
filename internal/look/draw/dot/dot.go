// Package dot writes a scene in the language of Graphviz, for who wants to lay it out
// otherwise: cgroups are clusters, containers boxes, and each namespace that is not one
// container's alone is a node with an edge to every container in it. All texts are
// quoted; nothing that a process chose is read as the language or as HTML.
package dot

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"carob/internal/look"
	"carob/internal/look/draw/scene"
	"carob/internal/look/draw/theme"
)

// writer counts what it has named.
type writer struct {
	*bufio.Writer
	theme    *theme.Theme
	clusters int
	nodes    int
	// spaces are the nodes of namespaces: one that is in several cards has one.
	spaces map[look.Namespace]string
	edges  []string
}

// Write writes a scene.
func Write(out io.Writer, s *scene.Scene) error {
	w := &writer{Writer: bufio.NewWriter(out), theme: theme.Light(), spaces: map[look.Namespace]string{}}
	fmt.Fprintf(w, "graph carob {\n")
	fmt.Fprintf(w, "  graph [label=%s, labelloc=t, labeljust=l, fontname=\"Helvetica\", fontsize=11];\n", quote(s.Title+"\n"+strings.Join(s.Facts, " · ")))
	fmt.Fprintf(w, "  node [fontname=\"Helvetica\", fontsize=10];\n  edge [penwidth=1.5];\n")
	w.frame(s.Root, "  ")
	for _, e := range w.edges {
		w.WriteString(e)
	}
	w.WriteString("}\n")
	return w.Flush()
}

// quote makes a string of the language. A line end becomes \n; a backslash is doubled,
// so that no other escape (\G, \N, \l) is read.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < ' ':
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// open begins a cluster.
func (w *writer) open(in, label string, attributes string) {
	w.clusters++
	fmt.Fprintf(w, "%ssubgraph cluster_%d {\n%s  label=%s; %s\n", in, w.clusters, in, quote(label), attributes)
}

func (w *writer) frame(f *scene.Frame, in string) {
	w.open(in, "cgroup "+f.Label+meters(f.Meters), `style=filled; color="#d0d5dd"; fillcolor="#f6f7f9";`)
	for _, c := range f.Cards {
		w.card(c, in+"  ")
	}
	for _, sub := range f.Frames {
		w.frame(sub, in+"  ")
	}
	fmt.Fprintf(w, "%s}\n", in)
}

func meters(all []scene.Meter) string {
	var b strings.Builder
	for _, m := range all {
		b.WriteString("\n" + m.Name + " " + m.Text)
	}
	return b.String()
}

// card writes a pod or what else stands together.
func (w *writer) card(c *scene.Card, in string) {
	if c.Alone() {
		w.members(c, in)
		return
	}
	label := strings.Join(append([]string{c.Is + " " + c.Name}, c.Addresses...), "\n")
	w.open(in, label, `style="rounded,filled"; color="#98a2b3"; fillcolor=white;`)
	w.members(c, in+"  ")
	fmt.Fprintf(w, "%s}\n", in)
}

// members writes the containers of a card, those outside of its cgroup first, then the
// namespaces that they share.
func (w *writer) members(c *scene.Card, in string) {
	nodes := make([]string, len(c.Columns))
	for i := range c.Columns {
		if i == c.Outside && c.Group != nil {
			w.open(in, "cgroup "+c.Group.Label+meters(c.Group.Meters), `style=filled; color="#d0d5dd"; fillcolor="#f6f7f9";`)
		}
		w.nodes++
		nodes[i] = fmt.Sprintf("c%d", w.nodes)
		w.column(c, i, nodes[i], in+"  ")
	}
	if c.Group != nil {
		fmt.Fprintf(w, "%s}\n", in)
	}
	for _, l := range c.Lanes {
		for _, o := range l.Outlines {
			if len(o.Members) > 1 || o.Elsewhere > 0 {
				w.outline(o, nodes, in)
			}
		}
	}
}

// column writes a container.
func (w *writer) column(c *scene.Card, i int, node, in string) {
	col := &c.Columns[i]
	lines := []string{col.Name}
	if col.Engine != "" {
		lines = append(lines, col.Class+" · "+col.Engine)
	}
	lines = append(lines, "cgroup "+col.Label+meters(col.Meters))
	for n, p := range col.Processes {
		if n == 5 && len(col.Processes) > 6 {
			lines = append(lines, fmt.Sprintf("and %d more processes", len(col.Processes)-n))
			break
		}
		lines = append(lines, fmt.Sprintf("%d %s", p.PID, cut(p.Command)))
	}
	width := 1
	if col.Focus {
		width = 3
	}
	lines = append(lines, alone(c, i)...)
	fmt.Fprintf(w, "%s%s [shape=box, style=\"rounded,filled\", fillcolor=white, penwidth=%d, label=%s];\n", in, node, width, quote(strings.Join(lines, "\n")))
}

// alone are the namespaces in which a container is the only one of its card.
func alone(c *scene.Card, i int) []string {
	var lines []string
	for _, l := range c.Lanes {
		for _, o := range l.Outlines {
			only := len(o.Members) == 1 && o.Members[0] == i
			switch {
			case only && o.Host:
				lines = append(lines, "the host's: "+kinds(o))
			case only && o.Elsewhere == 0:
				lines = append(lines, "own: "+kinds(o))
			}
		}
	}
	return lines
}

// cut keeps commands from making boxes as wide as a page.
func cut(s string) string {
	if r := []rune(s); len(r) > 48 {
		return string(r[:47]) + "…"
	}
	return s
}

func kinds(o scene.Outline) string {
	var out []string
	for _, n := range o.Namespaces {
		out = append(out, n.String())
	}
	return strings.Join(out, " ")
}

// outline writes a namespace and notes its edges.
func (w *writer) outline(o scene.Outline, nodes []string, in string) {
	first := o.Namespaces[0]
	hue := w.theme.Kinds[first.Kind]
	color := fmt.Sprintf("\"#%02x%02x%02x\"", hue.R, hue.G, hue.B)
	style := "solid"
	if o.Host {
		style = "dashed"
	}
	node, known := w.spaces[first]
	if !known || o.Host { // edges to one node for the host would bind all pods together
		node = fmt.Sprintf("n%d_%d", len(w.spaces), len(w.edges))
		w.spaces[first] = node
		label := kinds(o)
		if o.Host {
			label += "\nthe host's"
		}
		if o.Detail != "" {
			label += "\n" + o.Detail
		}
		fmt.Fprintf(w, "%s%s [shape=ellipse, style=%s, color=%s, fontcolor=%s, label=%s];\n", in, node, style, color, color, quote(label))
	}
	for _, m := range o.Members {
		w.edges = append(w.edges, fmt.Sprintf("  %s -- %s [color=%s, style=%s];\n", node, nodes[m], color, style))
	}
}
