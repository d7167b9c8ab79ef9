package watch

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"carob/internal/look"
	"carob/internal/look/ink"
	"carob/internal/look/sample"
)

// Text writes the table for people as the list of the view has it, in one piece.
func (t Table) Text(w io.Writer, v View, pen ink.Pen) error {
	l := list{table: t, view: v}
	cols := layout(pipeWidth, l.widest(), l.pressure())
	cols = slices.DeleteFunc(cols, func(c column) bool { return c.head == headTrend })
	s := Screen{l.heads(cols)}
	for _, v := range l.visible() {
		s = append(s, l.line(cols, v))
	}
	if len(s) == 1 {
		_, err := fmt.Fprintln(w, "No container runs that could be seen here.")
		return err
	}
	for _, line := range s {
		if _, err := fmt.Fprintln(w, line[1:].written(pen)); err != nil {
			return err
		}
	}
	return nil
}

// pipeWidth has room for every column.
const pipeWidth = 180

// written is a line as a pen writes it.
func (l Line) written(pen ink.Pen) string {
	var b strings.Builder
	for _, s := range l {
		if s.Bold {
			s.Ink = ink.Bold
		}
		b.WriteString(pen.Write(s.Ink, s.Text))
	}
	return strings.TrimRight(b.String(), " ")
}

// heads is the line with the names of columns; an arrow marks the one sorted by.
func (l *list) heads(cols []column) Line {
	out := Line{strong("  ")}
	marked := false
	for i, c := range cols {
		if i > 0 {
			out = append(out, plain(ink.Plain, "  "))
		}
		head := strong(c.head)
		if c.sort == l.view.Order && c.sort != "" && !marked {
			marked = true
			head = Span{Text: c.head + l.arrow(), Ink: ink.Hue, Bold: true}
		}
		out = append(out, c.place(Line{head})...)
	}
	return out
}

// arrow shows whether what is more stands above.
func (l *list) arrow() string {
	if l.reverse != (l.view.Order == ByName) {
		return "▲"
	}
	return "▼"
}

// line is a row of the list.
func (l *list) line(cols []column, v visible) Line {
	out := Line{plain(ink.Plain, "  ")}
	if v.row.Key == l.selected {
		out[0].Text = "› "
	}
	for i, c := range cols {
		if i > 0 {
			out = append(out, plain(ink.Plain, "  "))
		}
		cell := nameCell(v, !slices.ContainsFunc(cols, func(c column) bool { return c.head == headState }))
		if c.cell != nil {
			cell = c.cell(l, v.row, c.width)
		}
		out = append(out, c.place(cell)...)
	}
	return out
}

// nameCell is a name behind the branch of the tree, and what is wrong with the row if
// no other column tells.
func nameCell(v visible, tell bool) Line {
	name := plain(ink.Plain, ink.Safe(v.row.Name))
	switch v.row.Kind {
	case sample.ThingPod:
		name.Bold = true
	case look.ClassSandbox, look.ClassGroup:
		name.Ink = ink.Dim
	}
	out := Line{plain(ink.Dim, v.branch), name}
	if st := stateCell(v.row); tell && v.row.State != sample.Running {
		st.Text = " " + st.Text
		out = append(out, st)
	}
	return out
}
