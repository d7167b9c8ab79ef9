package watch

import (
	"fmt"

	"carob/internal/look/ink"
)

// Draw draws the screen.
func (m *Model) Draw() Screen {
	if m.page != listPage {
		return m.over().draw(m.scroll)
	}
	return m.drawList()
}

// small is the height from which on the list is more important than the machine.
const small = 16

func (m *Model) drawList() Screen {
	s := m.head()
	rows := m.visible()
	cols := layout(m.width, m.widest(), m.pressure())
	s = append(s, m.heads(cols).fit(m.width, false))
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

// keys is the last line: what the keys do, or the filter while it is typed.
func (m *Model) keys(rows, shown int) Line {
	if m.typing {
		return Line{strong("/" + ink.Safe(m.view.Filter)), {Text: " ", Reverse: true}, plain(ink.Dim, "  enter keeps the filter, escape clears it")}.fit(m.width, false)
	}
	var l Line
	if m.view.Filter != "" {
		l = append(l, Span{Text: "filter " + ink.Safe(m.view.Filter) + "  ", Ink: ink.Yellow})
	}
	var where Line
	if rows > shown {
		where = Line{plain(ink.Dim, fmt.Sprintf("%d–%d of %d", m.top+1, min(rows, m.top+shown), rows))}
	}
	last := hints([2]string{"?", "help"}, [2]string{"q", "quit"})
	for _, k := range [][2]string{
		{"↑↓", "select"}, {"enter", "details"}, {"/", "filter"}, {"s", "sort: " + string(m.view.Order)}, {"f", "fold"}, {"p", "pause"},
		{"a", m.allWord()}, {"+-", "interval"},
	} {
		if h := hints(k); l.width()+h.width()+last.width()+where.width()+2 <= m.width {
			l = append(l, h...)
		}
	}
	return sides(append(l, last...), where, m.width)
}

// hints say what keys do.
func hints(keys ...[2]string) Line {
	var l Line
	for _, k := range keys {
		l = append(l, strong(k[0]), plain(ink.Dim, " "+k[1]+"  "))
	}
	return l
}

// allWord is what the key for all does.
func (l *list) allWord() string {
	if l.view.All {
		return "fewer"
	}
	return "all"
}
