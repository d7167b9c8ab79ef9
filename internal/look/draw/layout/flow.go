package layout

import (
	"slices"
	"strings"

	"carob/internal/look/draw/scene"
)

// flow puts nodes side by side in rows at most room wide. Nodes of one row become
// equally high; gap is between rows.
func (c *composer) flow(all []node, room, gap int) node {
	type row struct {
		nodes []node
		w, h  int
	}
	var rows []row
	for _, n := range all {
		last := len(rows) - 1
		if last < 0 || rows[last].w+c.Gap+n.w > room {
			rows = append(rows, row{[]node{n}, n.w, n.h})
			continue
		}
		r := &rows[last]
		r.nodes, r.w, r.h = append(r.nodes, n), r.w+c.Gap+n.w, max(r.h, n.h)
	}
	w, h := 0, 0
	for i, r := range rows {
		w, h = max(w, r.w), h+r.h
		if i > 0 {
			h += gap
		}
	}
	return node{w: w, h: h, put: func(p *painter, at Rect, parent int) {
		y := at.Y
		for _, r := range rows {
			x := at.X
			for _, n := range r.nodes {
				wide := n.w
				if n.frame && len(r.nodes) == 1 && r.w*3 > at.W*2 {
					wide = at.W // nearly as wide as the rest: then so
				}
				n.put(p, Rect{x, y, wide, r.h}, parent)
				x += n.w + c.Gap
			}
			y += r.h + gap
		}
	}}
}

// frame makes a cgroup with everything inside.
func (c *composer) frame(f *scene.Frame, room int) node {
	inner := room - 2*c.Pad
	var all []node
	for _, card := range f.Cards {
		all = append(all, c.card(card, inner))
	}
	for _, sub := range f.Frames {
		all = append(all, c.frame(sub, inner))
	}
	// Large ones first: what is left fits beside each other below.
	slices.SortStableFunc(all, func(a, b node) int { return c.large(b, inner) - c.large(a, inner) })
	body := c.flow(all, inner, c.Gap)
	head := c.Head + c.Line[Mono] + c.Space
	label, about := "cgroup "+f.Label, inline(f.Meters)
	wish := c.width(Mono, label) + 2*c.Pad
	if about != "" {
		wish += c.width(Small, about) + 2*c.Gap
	}
	w := max(body.w+2*c.Pad, min(wish, room))
	return node{w: w, h: head + body.h + c.Foot, frame: true, put: func(p *painter, r Rect, parent int) {
		b := p.box(Box{Rect: r, Role: Frame, Parent: parent, Key: "cgroup-" + f.Path, Words: "cgroup " + f.Path + ". " + about})
		p.caption(line{x: r.X + p.Pad, y: r.Y + p.Head, room: r.W - 2*p.Pad, font: Mono, tone: Soft, box: b}, label, about)
		body.put(p, Rect{r.X + p.Pad, r.Y + head, r.W - 2*p.Pad, r.H - head - p.Foot}, b)
	}}
}

// large is 1 for a cgroup that leaves no room beside it.
func (c *composer) large(n node, room int) int {
	if n.frame && n.w*10 > room*6 {
		return 1
	}
	return 0
}

// caption is a path at the left and what there is to say of it at the right. The path
// gives way.
func (p *painter) caption(l line, path, about string) {
	used := 0
	if about != "" {
		right := l
		right.font = Small
		right.room = l.room * 2 / 3
		right.x += l.room - right.room
		right.y += p.Ascent[l.font] - p.Ascent[Small]
		used = p.right(right, about) + p.Gap
	}
	l.room -= used
	p.text(l, p.middle(l.font, path, l.room))
}

// inline are meters in one line.
func inline(all []scene.Meter) string {
	var out []string
	for _, m := range all {
		out = append(out, m.Name+" "+m.Text)
	}
	return strings.Join(out, "  ·  ")
}

// page is everything: title, the root cgroup, the legend.
func (c *composer) page(room int) node {
	inner := room - 2*c.Margin
	body := c.frame(c.scene.Root, inner)
	w := max(body.w, min(inner, c.width(Title, c.scene.Title)+c.Pad))
	w = max(w, c.legend(w).w)
	facts := c.wrap(Small, strings.Join(c.scene.Facts, "  ·  "), w)
	head := c.Margin + c.Line[Title] + len(facts)*c.Line[Small] + c.Space
	legend := c.legend(w)
	h := head + body.h + c.Gap + legend.h + c.Margin
	return node{w: w + 2*c.Margin, h: h, put: func(p *painter, r Rect, parent int) {
		b := p.box(Box{Rect: r, Role: Paper, Parent: parent})
		l := line{x: p.Margin, y: p.Margin, room: w, font: Title, tone: Strong, box: b}
		p.text(l, c.scene.Title)
		l.y, l.font, l.tone = l.y+p.Line[Title], Small, Soft
		for _, s := range facts {
			p.text(l, s)
			l.y += p.Line[Small]
		}
		body.put(p, Rect{p.Margin, head, w, body.h}, b)
		legend.put(p, Rect{p.Margin, head + body.h + p.Gap, w, legend.h}, b)
	}}
}
