package layout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carob/internal/look"
	"carob/internal/look/draw/scene"
)

// gaps counts the places where members of an outline do not stand side by side.
func gaps(members []int) int {
	n := 0
	for i := 1; i < len(members); i++ {
		if members[i] != members[i-1]+1 {
			n++
		}
	}
	return n
}

// label is what is written on an outline.
type label struct {
	kinds  string
	detail string
	inode  string
}

func (t *table) label(o scene.Outline) label {
	var l label
	var kinds, inodes []string
	for _, n := range o.Namespaces {
		kinds = append(kinds, n.Kind.String())
		inodes = append(inodes, strconv.FormatUint(n.Inode, 10))
	}
	l.kinds = strings.Join(kinds, " ")
	switch {
	case o.Host && t.scene.Compact:
		l.detail = "host"
		return l
	case o.Host:
		l.detail = "the host's"
		return l
	case !t.scene.Compact:
		l.detail, l.inode = o.Detail, strings.Join(inodes, " ")
	}
	if o.Elsewhere > 0 {
		l.detail = strings.TrimSpace(l.detail + fmt.Sprintf(" +%d elsewhere", o.Elsewhere))
	}
	return l
}

// laneWish is the width at which the outlines that begin in a column can be written out.
func (t *table) laneWish(column int) int {
	most := 0
	for _, l := range t.card.Lanes {
		for i, o := range l.Outlines {
			if o.Members[0] != column || t.mute(i) {
				continue
			}
			label := t.label(o)
			w := t.width(Label, label.kinds) + 2*t.LanePad + 2*t.Inset - 2*t.ColPad
			if label.inode != "" && len(o.Members) == 1 {
				w += t.width(Mono, label.inode) + t.Gap
			}
			if label.detail != "" && (o.Host || len(o.Members) == 1) {
				w += t.width(Small, label.detail) + t.Gap
			}
			most = max(most, w)
		}
	}
	return most
}

// mute reports whether an outline of a lane goes without a text: where there are many,
// the first in the lane tells what all of them are.
func (t *table) mute(i int) bool { return t.scene.Compact && i > 0 }

// outlines draws the lanes from y on.
func (t *table) outlines(p *painter, y int, boxes []int, card int) {
	way := 0
	for _, l := range t.card.Lanes {
		for i, o := range l.Outlines {
			t.outline(p, o, y, &way, boxes, card)
			if !t.mute(i) {
				t.write(p, t.label(o))
			}
		}
		y += p.Lane + p.LaneGap
	}
}

// outline draws one. Way counts the ways around of this card so far.
func (t *table) outline(p *painter, o scene.Outline, y int, way *int, boxes []int, card int) {
	out := Outline{Host: o.Host, Card: card, Words: t.sentence(o)}
	for _, n := range o.Namespaces {
		out.Kinds = append(out.Kinds, n.Kind)
	}
	over := p.Overhang
	if gaps(o.Members) > 0 {
		over -= (*way % 2) * (p.Link + 2) // the ways of two outlines stay apart
	}
	first := -1
	for i, m := range o.Members {
		out.Members = append(out.Members, boxes[m])
		if first < 0 {
			first = m
		}
		if i+1 < len(o.Members) && o.Members[i+1] == m+1 {
			continue
		}
		out.Pieces = append(out.Pieces, piece(p, boxes[first], boxes[m], y, over))
		first = -1
	}
	if len(out.Pieces) > 1 {
		for i := range out.Pieces {
			r := &out.Pieces[i]
			if r.W < p.pic.Boxes[boxes[0]].W { // one that is linked reaches out, too
				r.X, r.W = r.X-p.Inset-over, r.W+2*(p.Inset+over)
			}
		}
		bottom := p.pic.Boxes[boxes[0]].Bottom() + p.LaneGap + *way*(p.Link+p.LaneGap)
		for i := 1; i < len(out.Pieces); i++ {
			out.Links = append(out.Links, Link{out.Pieces[i-1].Right(), out.Pieces[i].X, out.Pieces[i].Y, bottom})
		}
		*way++
	}
	out.Path = trace(out.Pieces, out.Links, p.Link)
	p.pic.Outlines = append(p.pic.Outlines, out)
}

// piece is the part of an outline from one box to another.
func piece(p *painter, from, to, y, over int) Rect {
	a, b := p.pic.Boxes[from].Rect, p.pic.Boxes[to].Rect
	if from == to {
		return Rect{a.X + p.Inset, y, a.W - 2*p.Inset, p.Lane}
	}
	return Rect{a.X - over, y, b.Right() - a.X + 2*over, p.Lane}
}

// trace is the line around pieces and the ways between them: along the tops to the
// right, and back along the bottoms.
func trace(pieces []Rect, links []Link, wide int) []Point {
	var there, back []Point
	for i, r := range pieces {
		there = append(there, Point{r.X, r.Y}, Point{r.Right(), r.Y})
		low := []Point{{r.X, r.Bottom()}, {r.Right(), r.Bottom()}}
		if i > 0 {
			l := links[i-1]
			low[0] = Point{l.X2 + wide, r.Bottom()}
			low = append([]Point{{l.X2 + wide, l.Y + wide}}, low...)
		}
		if i < len(links) {
			l := links[i]
			there = append(there, Point{r.Right(), l.Y}, Point{l.X2, l.Y})
			low[len(low)-1] = Point{l.X1 - wide, r.Bottom()}
			low = append(low, Point{l.X1 - wide, l.Y + wide})
		}
		back = append(back, low...)
	}
	slices.Reverse(back)
	return append(there, back...)
}

// write puts a label on the pieces of the last outline: the kind on each, the rest on
// the first.
func (t *table) write(p *painter, l label) {
	index := len(p.pic.Outlines) - 1
	o := p.pic.Outlines[index]
	for i, r := range o.Pieces {
		r = p.inside(r, o)
		at := line{x: r.X + p.LanePad, y: r.Y + (p.Lane-p.Line[Label])/2, room: r.W - 2*p.LanePad, font: Label, box: o.Card}
		w := p.mark(at, o, index)
		at.x, at.room, at.font = at.x+w+p.Gap, at.room-w-p.Gap, Small
		if i > 0 {
			continue
		}
		if inode := p.width(Mono, l.inode); l.inode != "" && inode <= at.room {
			tail := line{x: at.x, y: r.Y + (p.Lane-p.Line[Mono])/2, room: at.room, font: Mono, tone: Soft, box: o.Card}
			used := p.right(tail, l.inode)
			p.pic.Texts[len(p.pic.Texts)-1].Outline = index
			at.room -= used + p.Gap
		}
		if at.room > p.width(Small, "…") && l.detail != "" {
			if p.text(at, l.detail) > 0 {
				p.pic.Texts[len(p.pic.Texts)-1].Outline = index
			}
		}
	}
}

// inside is the part of a piece that is inside of its first and last containers, so that
// their edges do not run through letters.
func (p *painter) inside(r Rect, o Outline) Rect {
	left, right := r.Right(), r.X
	for _, m := range o.Members {
		if b := p.pic.Boxes[m].Rect; b.Overlaps(r) {
			left, right = min(left, b.X+p.Inset), max(right, b.Right()-p.Inset)
		}
	}
	return Rect{left, r.Y, right - left, r.H}
}

// mark writes the kinds, each in its colour; where there is no room for all, how many
// are left.
func (p *painter) mark(at line, o Outline, index int) int {
	x, space := at.x, p.width(Label, " ")
	for i, k := range o.Kinds {
		room := at.room - (x - at.x)
		tail := 0
		if i+1 < len(o.Kinds) {
			tail = space + p.width(Label, "+7")
		}
		l := at
		l.x, l.room = x, room
		t := Text{Font: Label, Tone: Colored, Kind: k, Box: at.box, Outline: index}
		if p.width(Label, k.String())+tail > room {
			t.Tone = Soft
			x += p.set(t, l, p.fit(Label, "+"+strconv.Itoa(len(o.Kinds)-i), room)) + space
			break
		}
		x += p.set(t, l, k.String()) + space
	}
	return max(0, x-at.x-space)
}

// sentence is an outline in words.
func (t *table) sentence(o scene.Outline) string {
	var names, ns []string
	for _, m := range o.Members {
		names = append(names, t.card.Columns[m].Name)
	}
	for _, n := range o.Namespaces {
		ns = append(ns, n.String())
	}
	s := strings.Join(ns, ", ") + ": " + strings.Join(names, ", ")
	switch {
	case o.Host:
		return s + ", and the host"
	case o.Elsewhere > 0:
		s += fmt.Sprintf(", and %d outside of this box", o.Elsewhere)
	}
	if o.Detail != "" {
		s += ". " + o.Detail
	}
	return s
}

// meaning is what a kind of namespace is about, in a word.
func meaning(k look.Kind) string {
	switch k {
	case look.Mnt:
		return "mounts"
	case look.UTS:
		return "host name"
	case look.IPC:
		return "shared memory"
	case look.PID:
		return "process numbers"
	case look.Net:
		return "network"
	case look.User:
		return "users"
	case look.Cgroup:
		return "view of cgroups"
	}
	return "clock offsets"
}
