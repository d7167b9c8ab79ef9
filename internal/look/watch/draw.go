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

// Draw draws the screen.
func (m *Model) Draw() Screen {
	switch m.page {
	case detailPage:
		return m.drawPage(m.detailTitle(), m.detailLines())
	case helpPage:
		return m.drawPage(Line{strong("carob look watch"), plain(ink.Plain, ": help")}, m.helpLines())
	}
	return m.drawList()
}

// small is the height from which on the list is more important than the machine.
const small = 16

// listHeight is how many rows find room.
func (m *Model) listHeight() int {
	return max(1, m.height-len(m.head())-2) // the heads of columns, the keys
}

func (m *Model) drawList() Screen {
	s := m.head()
	rows := m.visible()
	cols := layout(m.width, m.widest(), m.pressure())
	s = append(s, m.heads(cols))
	shown := m.listHeight()
	for i := m.top; i < min(len(rows), m.top+shown); i++ {
		line := m.line(cols, rows[i]).fit(m.width, true)
		if rows[i].row.Key == m.selected {
			line = line.reversed()
		}
		s = append(s, line)
	}
	if len(rows) == 0 {
		s = append(s, Line{plain(ink.Dim, "  "+m.nothing())}.fit(m.width, false))
	}
	for len(s) < m.height-1 {
		s = append(s, nil)
	}
	return append(s, m.keys(len(rows), shown))[:max(m.height, 0)]
}

// nothing says why the list is empty.
func (m *Model) nothing() string {
	switch {
	case m.last == nil:
		return "reading…"
	case m.view.Filter != "":
		return "nothing matches; escape clears the filter"
	case m.view.All:
		return "nothing runs in namespaces of its own that could be seen here"
	}
	return "no container runs that could be seen here; a shows other groups of processes with namespaces of their own"
}

// head are the lines over the list.
func (m *Model) head() Screen {
	if m.height < small {
		return Screen{m.title()}
	}
	s := Screen{m.title(), m.machine()}
	if p := m.machinePressure(); p != nil {
		s = append(s, p)
	}
	return append(s, nil)
}

func (m *Model) title() Line {
	t := &m.table
	left := Line{strong("carob look watch")}
	if t.Machine.Name != "" {
		left = append(left, plain(ink.Dim, "  "+ink.Safe(t.Machine.Name)))
	}
	if m.paused {
		left = append(left, Span{Text: "  PAUSED", Ink: ink.Yellow, Bold: true})
	}
	pods, containers := 0, 0
	for i := range t.Rows {
		if t.Rows[i].Kind == sample.ThingPod {
			pods++
		}
		containers += t.Rows[i].containers()
	}
	right := fmt.Sprintf("%s · %s · every %s · %s", ink.Count(pods, "pod", "pods"),
		ink.Count(containers, "container", "containers"), m.interval, t.At.Format("15:04:05"))
	if m.last == nil {
		right = ""
	}
	return sides(left, Line{plain(ink.Dim, right)}, m.width)
}

// containers is how many a row is or has.
func (r *Row) containers() int {
	n := 0
	if r.Kind == look.ClassContainer {
		n++
	}
	for i := range r.Rows {
		n += r.Rows[i].containers()
	}
	return n
}

// machine is what all together use.
func (m *Model) machine() Line {
	t := &m.table.Machine
	size := min(max((m.width-60)/4, 6), 24)
	l := Line{plain(ink.Dim, "cpu ")}
	if t.CPU == nil {
		l = append(append(l, bar(0, size)...), plain(ink.Plain, " "+unknown))
	} else {
		l = append(append(l, bar(*t.CPU/100/float64(max(t.CPUs, 1)), size)...),
			plain(ink.Plain, fmt.Sprintf(" %5s%% ", percent(*t.CPU))), plain(ink.Dim, "of "+ink.Count(t.CPUs, "CPU", "CPUs")))
	}
	l = append(l, plain(ink.Dim, "  memory "))
	l = append(l, bar(float64(t.Used)/float64(max(t.Memory, 1)), size)...)
	l = append(l, plain(ink.Plain, " "+short(float64(t.Used))), plain(ink.Dim, " of "+short(float64(t.Memory))))
	for _, s := range []Line{
		{plain(ink.Dim, "  net ↓ "), rate(t.Received), plain(ink.Dim, " ↑ "), rate(t.Sent)},
		{plain(ink.Dim, "  load "), plain(ink.Plain, ink.Safe(t.Load))},
		{plain(ink.Dim, fmt.Sprintf("  %d processes", t.Processes))},
	} {
		if l.width()+s.width() <= m.width {
			l = append(l, s...)
		}
	}
	return l.fit(m.width, false)
}

// machinePressure is nil where the kernel does not tell and there is nothing else to say.
func (m *Model) machinePressure() Line {
	t := &m.table
	var l Line
	r := Row{Pressure: &t.Machine.Pressure}
	if p := t.Machine.Pressure; p.CPU != nil || p.Memory != nil || p.IO != nil {
		some := r.stalls()
		l = append(l, plain(ink.Dim, "waiting, last 10 s: for cpu "), stalled(some[0]), plain(ink.Dim, "  memory "), stalled(some[1]),
			plain(ink.Dim, "  disk "), stalled(some[2]))
	}
	note := ""
	switch {
	case t.Inner:
		note = "inside of a container: only what is in here is seen"
	case t.Unread > 0:
		note = "as root more can be seen"
	}
	if l == nil && note == "" {
		return nil
	}
	return sides(l, Line{plain(ink.Dim, note)}, m.width)
}

func stalled(v float64) Span {
	st := ink.Plain
	switch {
	case v < 0.05:
		st = ink.Dim
	case v >= 10:
		st = heat(0.7 + v/250)
	}
	return plain(st, percent(v)+"%")
}

// pressure reports whether any row tells of it.
func (m *Model) pressure() bool {
	for i := range m.table.Rows {
		if m.table.Rows[i].Pressure != nil {
			return true
		}
	}
	return false
}

// Text writes the table for people as the list of the view has it, in one piece.
func (t Table) Text(w io.Writer, v View, pen ink.Pen) error {
	m := NewModel(Fastest, v)
	m.table, m.width = t, pipeWidth
	cols := layout(m.width, m.widest(), m.pressure())
	cols = slices.DeleteFunc(cols, func(c column) bool { return c.head == headTrend })
	s := Screen{m.heads(cols)}
	for _, v := range m.visible() {
		s = append(s, m.line(cols, v))
	}
	if len(s) == 1 {
		s = Screen{{plain(ink.Plain, "No container runs that could be seen here.")}}
	}
	for _, l := range s {
		var b strings.Builder
		for _, span := range l {
			if span.Bold {
				span.Ink = ink.Bold
			}
			b.WriteString(pen.Write(span.Ink, span.Text))
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// pipeWidth has room for every column.
const pipeWidth = 180

// widest is the room that names need.
func (m *Model) widest() int {
	n := 0
	for i := range m.table.Rows {
		r := &m.table.Rows[i]
		if !m.shown(r) {
			continue
		}
		n = max(n, ink.Width(ink.Safe(r.Name))+2)
		for j := range r.Rows {
			n = max(n, ink.Width(ink.Safe(r.Rows[j].Name))+4)
		}
	}
	return n
}

// heads is the line with the names of columns; an arrow marks the one sorted by.
func (m *Model) heads(cols []column) Line {
	l := Line{strong("  ")}
	marked := false
	for i, c := range cols {
		if i > 0 {
			l = append(l, plain(ink.Plain, "  "))
		}
		head := strong(c.head)
		if c.sort == m.view.Order && c.sort != "" && !marked {
			marked = true
			head = Span{Text: m.arrow() + c.head, Ink: ink.Hue, Bold: true}
		}
		l = append(l, c.place(Line{head})...)
	}
	return l.fit(m.width, false)
}

// arrow shows whether what is more stands above.
func (m *Model) arrow() string {
	if m.reverse != (m.view.Order == ByName) {
		return "▲"
	}
	return "▼"
}

// line is a row of the list.
func (m *Model) line(cols []column, v visible) Line {
	l := Line{plain(ink.Plain, "  ")}
	if v.row.Key == m.selected {
		l[0].Text = "› "
	}
	for i, c := range cols {
		if i > 0 {
			l = append(l, plain(ink.Plain, "  "))
		}
		if c.cell == nil {
			l = append(l, c.place(nameCell(v))...)
			continue
		}
		l = append(l, c.place(c.cell(m, v.row, c.width))...)
	}
	return l
}

// nameCell is a name behind the branch of the tree.
func nameCell(v visible) Line {
	name := plain(ink.Plain, ink.Safe(v.row.Name))
	switch v.row.Kind {
	case sample.ThingPod:
		name.Bold = true
	case look.ClassSandbox, look.ClassGroup:
		name.Ink = ink.Dim
	}
	return Line{plain(ink.Dim, v.branch), name}
}

// keys is the last line: what the keys do, or the filter while it is typed.
func (m *Model) keys(rows, shown int) Line {
	if m.typing {
		return Line{strong("/" + ink.Safe(m.view.Filter)), {Text: " ", Reverse: true}, plain(ink.Dim, "  enter keeps the filter, escape clears it")}.fit(m.width, false)
	}
	var l Line
	if m.view.Filter != "" {
		l = append(l, Span{Text: "filter " + ink.Safe(m.view.Filter) + "  ", Ink: ink.Yellow})
	}
	for _, k := range [][2]string{
		{"↑↓", "select"}, {"enter", "details"}, {"f", "fold"}, {"/", "filter"}, {"s", "sort: " + string(m.view.Order)}, {"p", "pause"},
		{"+-", "interval"}, {"a", m.allWord()}, {"?", "help"}, {"q", "quit"},
	} {
		l = append(l, strong(k[0]), plain(ink.Dim, " "+k[1]+"  "))
	}
	where := Line{}
	if rows > shown {
		where = Line{plain(ink.Dim, fmt.Sprintf("%d–%d of %d", m.top+1, min(rows, m.top+shown), rows))}
	}
	return sides(l, where, m.width)
}

func (m *Model) allWord() string {
	if m.view.All {
		return "fewer"
	}
	return "all"
}

// drawPage draws lines over the list that can be moved up and down.
func (m *Model) drawPage(title Line, lines Screen) Screen {
	shown := max(1, m.height-2)
	m.scroll = max(0, min(m.scroll, len(lines)-shown))
	s := Screen{title.fit(m.width, false)}
	for _, l := range lines[m.scroll:min(len(lines), m.scroll+shown)] {
		s = append(s, l.fit(m.width, false))
	}
	for len(s) < m.height-1 {
		s = append(s, nil)
	}
	where := Line{}
	if len(lines) > shown {
		where = Line{plain(ink.Dim, fmt.Sprintf("%d–%d of %d", m.scroll+1, min(len(lines), m.scroll+shown), len(lines)))}
	}
	hint := Line{strong("escape"), plain(ink.Dim, " back  "), strong("↑↓"), plain(ink.Dim, " move  "), strong("q"), plain(ink.Dim, " quit")}
	return append(s, sides(hint, where, m.width))[:max(m.height, 0)]
}

// text breaks a text into lines behind a margin.
func (m *Model) text(st ink.Style, margin, s string) Screen {
	var out Screen
	blank := strings.Repeat(" ", ink.Width(margin))
	for i, line := range ink.Wrap(ink.Safe(s), max(20, m.width-ink.Width(margin))) {
		if i == 0 {
			out = append(out, Line{plain(ink.Plain, margin), plain(st, line)})
			continue
		}
		out = append(out, Line{plain(ink.Plain, blank), plain(st, line)})
	}
	return out
}
