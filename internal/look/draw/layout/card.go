package layout

import (
	"strings"

	"carob/internal/look/draw/scene"
)

// table is a card being measured: its columns side by side and the rows they have in
// common.
type table struct {
	*composer
	card *scene.Card
	// cols are the widths of the columns; head the height of what stands in a column
	// over the outlines, lanes that of all outlines, gutter that of the ways around below.
	cols                []int
	head, lanes, gutter int
	cells               []cell
	// parts are the heights of the sections of a column's head.
	parts []int
}

// card makes a pod or what else stands together.
func (c *composer) card(card *scene.Card, room int) node {
	t := &table{composer: c, card: card}
	t.measure(room)
	if card.Alone() {
		return node{w: t.cols[0], h: t.height(), put: func(p *painter, r Rect, parent int) {
			t.columns(p, r, []int{parent}, parent)
		}}
	}
	inner := t.across()
	words := t.words(inner)
	titles := header{t}.titles()
	top := c.Head + titles + c.Space
	frame, tail := 0, 0
	if card.Group != nil {
		frame, tail = c.Head+c.Line[Mono]+c.Space, c.Foot
	}
	h := top + frame + t.height() + t.gutter + tail + c.Foot
	if len(words) > 0 {
		h += c.Space + len(words)*c.Line[Small]
	}
	return node{w: inner + 2*c.Pad, h: h, put: func(p *painter, r Rect, parent int) {
		b := p.box(Box{Rect: r, Role: Card, Parent: parent, Key: card.Key, Words: card.Is + " " + card.Name + ". " + card.Words})
		header{t}.title(p, Rect{r.X + p.Pad, r.Y + p.Head, r.W - 2*p.Pad, titles}, b)
		at := Rect{r.X + p.Pad, r.Y + top + frame, inner, t.height()}
		parents := t.group(p, Rect{at.X, r.Y + top, at.W, frame + at.H + t.gutter + tail}, b)
		t.columns(p, at, parents, b)
		l := line{x: r.X + p.Pad, y: at.Bottom() + t.gutter + tail + p.Space, room: inner, font: Small, tone: Soft, box: b}
		for _, s := range words {
			p.text(l, s)
			l.y += p.Line[Small]
		}
	}}
}

// measure finds the sizes of columns and rows.
func (t *table) measure(room int) {
	n := len(t.card.Columns)
	spare := (n - 1) * t.ColGap
	if !t.card.Alone() {
		spare += 2 * t.Pad
	}
	if t.card.Group != nil {
		spare += 2 * t.Pad
	}
	wish := 0
	for i := range t.card.Columns {
		t.cells = append(t.cells, content{t}.cell(&t.card.Columns[i]))
		t.cols = append(t.cols, max(t.cells[i].wish, lanes{t}.wish(i))+2*t.ColPad)
		wish = max(wish, t.cols[i])
	}
	for i := range t.cols {
		if !t.scene.Compact { // where there is room, all are alike
			t.cols[i] = wish
		}
		t.cols[i] = max(t.MinCol, min(t.cols[i], max(t.MaxCol, t.MaxRow/n)))
		if t.Width > 0 { // a terminal is as wide as it is
			t.cols[i] = max(t.MinCol, min(t.cols[i], (room-spare)/n))
		}
	}
	t.align()
	if lanes := len(t.card.Lanes); lanes > 0 {
		t.lanes = lanes*t.Lane + (lanes-1)*t.LaneGap
	}
	for _, l := range t.card.Lanes {
		for _, o := range l.Outlines {
			if gaps(o.Members) > 0 && !o.Host {
				t.gutter += t.Link + t.LaneGap
			}
		}
	}
}

// height is that of the columns.
func (t *table) height() int {
	return t.ColHead + t.head + t.Space + t.lanes + t.ColFoot
}

// across is the width of all columns and the group around some of them.
func (t *table) across() int {
	last := len(t.cols) - 1
	w := t.x(last) + t.cols[last]
	if t.card.Group != nil {
		w += t.Pad
	}
	return w
}

// x is where a column begins.
func (t *table) x(i int) int {
	x := i * t.ColGap
	for _, w := range t.cols[:i] {
		x += w
	}
	if t.card.Group != nil && i >= t.card.Outside {
		x += t.Pad
	}
	return x
}

func (t *table) words(room int) []string {
	if t.scene.Compact {
		return nil
	}
	return t.wrap(Small, t.card.Words, room)
}

// header is what stands over the columns of a card.
type header struct{ *table }

// badge says what a card is.
func (t header) badge() string {
	is := t.card.Is
	if is == "shared" {
		is = "share namespaces without being one pod"
	}
	if t.card.Engine == "" {
		return is
	}
	return is + " · " + t.card.Engine
}

// about is what stands below a card's name.
func (t header) about() string {
	parts := t.card.Addresses
	if id := t.card.ID; id != "" && !t.scene.Compact {
		parts = append(append([]string{}, parts...), "id "+short(id))
	}
	return strings.Join(parts, "  ·  ")
}

// short is an ID as people write it; a UID of Kubernetes has no short form.
func short(id string) string {
	if len(id) == 64 {
		return id[:12]
	}
	return id
}

func (t header) titles() int {
	h := t.Line[Heading]
	if t.about() != "" && !t.scene.Compact {
		h += t.Line[Small]
	}
	return h
}

// title writes name, badge and what is known of a card.
func (t header) title(p *painter, r Rect, box int) {
	l := line{x: r.X, y: r.Y, room: r.W, font: Heading, tone: Strong, box: box}
	badge := l
	badge.font, badge.tone = Small, Soft
	badge.y += p.Ascent[Heading] - p.Ascent[Small]
	badge.room = r.W / 2
	badge.x += r.W - badge.room
	about := t.badge()
	if t.scene.Compact {
		about = t.about()
	}
	l.room -= p.right(badge, about) + p.Gap
	p.text(l, t.card.Name)
	if t.scene.Compact {
		return
	}
	l.y, l.room, l.font, l.tone = l.y+p.Line[Heading], r.W, Small, Normal
	p.text(l, t.about())
}

// group draws the cgroup of the columns that are in it and returns the parent box of
// each column.
func (t *table) group(p *painter, r Rect, card int) []int {
	parents := make([]int, len(t.card.Columns))
	for i := range parents {
		parents[i] = card
	}
	g := t.card.Group
	if g == nil {
		return parents
	}
	left := r.X + t.x(t.card.Outside) - p.Pad
	r.X, r.W = left, r.Right()-left
	b := p.box(Box{Rect: r, Role: Group, Parent: card, Key: "cgroup-" + g.Path, Words: "cgroup " + g.Path + ". " + inline(g.Meters)})
	l := line{x: r.X + p.Pad, y: r.Y + p.Head, room: r.W - 2*p.Pad, font: Mono, tone: Soft, box: b}
	if t.scene.Compact {
		p.caption(l, t.card.Engine, brief(g.Meters))
	} else {
		p.caption(l, "cgroup "+g.Label, inline(g.Meters))
	}
	for i := t.card.Outside; i < len(parents); i++ {
		parents[i] = b
	}
	return parents
}

// brief are the limits alone.
func brief(all []scene.Meter) string {
	var out []string
	for _, m := range all {
		if m.Short == "" {
			continue
		}
		s := m.Short
		if m.Name == "pids" {
			s += " tasks"
		}
		out = append(out, s)
	}
	return strings.Join(out, " · ")
}
