package layout

import (
	"fmt"
	"strconv"
	"strings"

	"carob/internal/look"
	"carob/internal/look/draw/scene"
)

// cell is what stands in a container over the outlines.
type cell struct {
	rows []row
	// wish is the width at which nothing is cut.
	wish int
}

// row is one line of a cell, with something at its right end, or a bar below.
type row struct {
	font  Font
	tone  Tone
	s     string
	right string
	// brief is for where s has no room.
	brief string
	path  bool // is cut in the middle
	bar   float64
	// apart asks for space above.
	apart bool
}

// content decides what is written into containers.
type content struct{ *table }

// cell decides the lines of a container.
func (t content) cell(c *scene.Column) cell {
	var out cell
	if t.scene.Compact {
		out.rows = t.compact(c)
	} else {
		out.rows = t.whole(c)
	}
	for _, r := range out.rows {
		w := t.rowWidth(r)
		if r.path { // can be cut, and makes nothing wide
			w = min(w, t.MaxCol-2*t.ColPad)
		}
		out.wish = max(out.wish, w)
	}
	return out
}

func (t content) rowWidth(r row) int {
	w := t.width(r.font, r.s)
	if r.right != "" {
		w += t.width(Mono, r.right) + t.Gap
	}
	return w
}

// compact lines: a name, the limits, how many processes.
func (t content) compact(c *scene.Column) []row {
	rows := []row{{font: Name, tone: Strong, s: c.Name, bar: -1}}
	if t.card.Alone() {
		rows = append(rows, row{font: Small, tone: Soft, s: t.kind(c), bar: -1})
		if len(t.card.Addresses) > 0 {
			rows = append(rows, row{font: Small, s: strings.Join(t.card.Addresses, " "), bar: -1})
		}
	}
	if limits := brief(c.Meters); limits != "" {
		rows = append(rows, row{font: Small, s: limits, bar: -1})
	} else {
		rows = append(rows, row{font: Small, tone: Soft, s: c.Note, bar: -1})
	}
	if n := len(c.Processes); n > 1 {
		rows = append(rows, row{font: Small, tone: Soft, s: processes(n), bar: -1})
	}
	return rows
}

func processes(n int) string {
	if n == 1 {
		return "1 process"
	}
	return strconv.Itoa(n) + " processes"
}

// kind says what a column is and who runs it.
func (t content) kind(c *scene.Column) string {
	alone := t.card.Alone()
	is := c.Class
	switch {
	case c.Class == look.ClassSandbox && !alone:
		is = "holds the namespaces"
	case c.Class == look.ClassContainer && !alone:
		is = ""
	case c.Class == look.ClassGroup && !t.scene.Compact:
		is = "in namespaces of their own"
	}
	if c.Engine != "" && (c.Engine != t.card.Engine || alone) {
		is = strings.TrimPrefix(is+" · "+c.Engine, " · ")
	}
	return is
}

// whole lines: what there is to know.
func (t content) whole(c *scene.Column) []row {
	rows := []row{{font: Name, tone: Strong, s: c.Name, right: short(c.ID), bar: -1}}
	if kind := t.kind(c); kind != "" {
		rows = append(rows, row{font: Small, tone: Soft, s: kind, bar: -1})
	}
	rows = append(rows, row{font: Mono, tone: Soft, s: "cgroup " + c.Label, brief: c.Label, path: true, bar: -1})
	for i, m := range c.Meters {
		r := row{font: Small, s: m.Name + " " + m.Text, bar: m.Share, apart: i == 0}
		if m.Short != "" {
			r.brief = "max " + m.Short
		} else {
			r.brief = "no limit"
		}
		rows = append(rows, r)
	}
	if len(c.Meters) == 0 && c.Note != "" {
		rows = append(rows, row{font: Small, tone: Soft, s: c.Note, bar: -1, apart: true})
	}
	shown := c.Processes
	if len(shown) > t.Processes {
		shown = shown[:t.Processes-1]
	}
	for i, p := range shown {
		rows = append(rows, row{font: Mono, tone: tone(p), s: command(p), bar: -1, apart: i == 0})
	}
	if more := len(c.Processes) - len(shown); more > 0 {
		rows = append(rows, row{font: Small, tone: Soft, s: fmt.Sprintf("and %d more processes", more), bar: -1})
	}
	return rows
}

func tone(p scene.Process) Tone {
	if p.Focus {
		return Strong
	}
	return Normal
}

// command is a process in one line; in front stands in which namespaces it is not where
// the container is.
func command(p scene.Process) string {
	s := strconv.Itoa(p.PID) + " "
	for _, k := range p.Odd {
		s += "≠" + k.String() + " "
	}
	return s + p.Command
}

// sections are the heights of the parts of a cell, which rows that want to be apart
// begin.
func (t *table) sections(c cell) []int {
	all := []int{0}
	for _, r := range c.rows {
		if r.apart {
			all = append(all, 0)
		}
		all[len(all)-1] += t.rowHeight(r)
	}
	return all
}

// align makes room for the highest of each section, so that they begin side by side.
func (t *table) align() {
	for _, c := range t.cells {
		for i, h := range t.sections(c) {
			if i == len(t.parts) {
				t.parts = append(t.parts, 0)
			}
			t.parts[i] = max(t.parts[i], h)
		}
	}
	for i, h := range t.parts {
		t.head += h
		if i > 0 {
			t.head += t.Space
		}
	}
}

func (t *table) rowHeight(r row) int {
	h := t.Line[r.font]
	if r.bar >= 0 && t.Bar > 0 {
		h += t.Bar + t.Space/2
	}
	return h
}

// columns draws the containers and the outlines across them.
func (t *table) columns(p *painter, at Rect, parents []int, card int) {
	boxes := make([]int, len(t.card.Columns))
	for i := range t.card.Columns {
		c := &t.card.Columns[i]
		r := Rect{at.X + t.x(i), at.Y, t.cols[i], at.H}
		if t.card.Alone() {
			r.W = at.W
		}
		boxes[i] = p.box(Box{Rect: r, Role: role(c), Parent: parents[i], Key: c.Key, Words: about(c), Focus: c.Focus})
		t.rows(p, t.cells[i], r, boxes[i])
	}
	if t.card.Alone() {
		card = boxes[0]
	}
	lanes{t}.outlines(p, rail{card: card, boxes: boxes, y: at.Y + t.ColHead + t.head + t.Space})
}

func role(c *scene.Column) Role {
	switch c.Class {
	case look.ClassContainer:
		return Container
	case look.ClassSandbox:
		return Sandbox
	}
	return Loose
}

// about is a container in words.
func about(c *scene.Column) string {
	s := c.Class + " " + c.Name
	if c.Engine != "" {
		s += ", run by " + c.Engine
	}
	if c.ID != "" {
		s += ", id " + c.ID
	}
	s += ". cgroup " + c.Path
	for _, m := range c.Meters {
		s += ", " + m.Name + " " + m.Text
	}
	s += ". " + processes(len(c.Processes))
	for i, q := range c.Processes {
		if i == 5 {
			return s + ", …"
		}
		s += ", " + command(q)
	}
	return s
}

// rows writes the lines of a container.
func (t *table) rows(p *painter, c cell, r Rect, box int) {
	l := line{x: r.X + p.ColPad, y: r.Y + p.ColHead, room: r.W - 2*p.ColPad, box: box}
	top, part := l.y, 0
	for _, row := range c.rows {
		l.font, l.tone = row.font, row.tone
		if row.apart {
			top += t.parts[part] + p.Space
			l.y, part = top, part+1
		}
		t.row(p, row, l)
		l.y += p.Line[row.font]
		if row.bar >= 0 && p.Bar > 0 {
			p.pic.Bars = append(p.pic.Bars, Bar{Rect{l.x, l.y, l.room, p.Bar}, int(row.bar * 1000), box})
			l.y += p.Bar + p.Space/2
		}
	}
}

func (t *table) row(p *painter, r row, l line) {
	if r.right != "" {
		right := l
		right.font, right.tone = Mono, Soft
		right.y += p.Ascent[l.font] - p.Ascent[Mono]
		if spare := l.room - p.width(l.font, r.s) - p.Gap; spare >= p.width(Mono, r.right) {
			l.room -= p.right(right, r.right) + p.Gap
		}
	}
	if r.brief != "" && p.width(l.font, r.s) > l.room {
		r.s = r.brief
	}
	if r.path {
		r.s = p.middle(l.font, r.s, l.room)
	}
	p.text(l, r.s)
}
