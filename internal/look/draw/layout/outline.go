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

// runs are the outlines that are drawn of one: the host's, which is everywhere, needs no
// ways between its parts.
func runs(o scene.Outline) []scene.Outline {
	if !o.Host || gaps(o.Members) == 0 {
		return []scene.Outline{o}
	}
	var out []scene.Outline
	for i, m := range o.Members {
		if i == 0 || m != o.Members[i-1]+1 {
			run := o
			run.Members = nil
			out = append(out, run)
		}
		last := &out[len(out)-1]
		last.Members = append(last.Members, m)
	}
	return out
}

// lanes draws the outlines of a card.
type lanes struct{ *table }

// label is what is written on an outline beside the kinds.
type label struct {
	detail string
	inode  string
}

func (t lanes) label(o scene.Outline) label {
	var l label
	var inodes []string
	for _, n := range o.Namespaces {
		inodes = append(inodes, strconv.FormatUint(n.Inode, 10))
	}
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

// wish is the width at which the outlines that begin in a column can be written out.
func (t lanes) wish(column int) int {
	most := 0
	for _, l := range t.card.Lanes {
		for i, o := range l.Outlines {
			if o.Members[0] != column || t.mute(l, i) {
				continue
			}
			label := t.label(o)
			w := t.kindsWidth(o) + 2*t.LanePad + 2*t.Inset - 2*t.ColPad
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

// kindsWidth is how wide the kinds are, each set by itself.
func (t lanes) kindsWidth(o scene.Outline) int {
	w := 0
	for i, n := range o.Namespaces {
		if i > 0 {
			w += t.width(Label, " ")
		}
		w += t.width(Label, n.Kind.String())
	}
	return w
}

// mute reports whether an outline of a lane goes without a text: where there are many,
// the first in the lane tells what all others like it are.
func (t lanes) mute(l scene.Lane, i int) bool {
	return t.scene.Compact && slices.ContainsFunc(l.Outlines[:i], func(o scene.Outline) bool { return o.Host == l.Outlines[i].Host })
}

// rail is where the outlines of a card go: its box and those of its columns, the row of
// the present lane, and how many ways around there are so far.
type rail struct {
	card  int
	boxes []int
	y     int
	ways  int
}

// outlines draws the lanes from y on.
func (t lanes) outlines(p *painter, at rail) {
	for _, l := range t.card.Lanes {
		t.lane(p, l, &at)
		at.y += p.Lane + p.LaneGap
	}
}

func (t lanes) lane(p *painter, l scene.Lane, at *rail) {
	for i, o := range l.Outlines {
		for _, run := range runs(o) {
			t.outline(p, run, at)
			if !t.mute(l, i) {
				t.write(p, t.label(o))
			}
		}
	}
}

// outline draws one.
func (t lanes) outline(p *painter, o scene.Outline, at *rail) {
	out := Outline{Key: o.Key(), Host: o.Host, Card: at.card, Words: t.sentence(o)}
	for _, n := range o.Namespaces {
		out.Kinds = append(out.Kinds, n.Kind)
	}
	for _, m := range o.Members {
		out.Members = append(out.Members, at.boxes[m])
	}
	over := p.Overhang
	apart := gaps(o.Members) > 0
	if apart {
		over = max(0, over-(at.ways%2)*(p.Link+2)) // the ways of two outlines stay apart
	}
	for from, i := 0, 0; i < len(o.Members); i++ {
		if i+1 < len(o.Members) && o.Members[i+1] == o.Members[i]+1 {
			continue
		}
		a, b := p.pic.Boxes[out.Members[from]].Rect, p.pic.Boxes[out.Members[i]].Rect
		piece := Rect{a.X - over, at.y, b.Right() - a.X + 2*over, p.Lane}
		if len(o.Members) == 1 { // what is one's own stays inside
			piece.X, piece.W = a.X+p.Inset, a.W-2*p.Inset
		}
		out.Pieces, from = append(out.Pieces, piece), i+1
	}
	if apart {
		first := p.pic.Boxes[at.boxes[0]].Rect
		y := first.Bottom() + p.LaneGap + at.ways*(p.Link+p.LaneGap)
		for i := 1; i < len(out.Pieces); i++ {
			out.Links = append(out.Links, Link{out.Pieces[i-1].Right(), out.Pieces[i].X, at.y, y, at.ways})
		}
		at.ways++
	}
	out.Path = trace(out.Pieces, out.Links, p.Link)
	p.pic.Outlines = append(p.pic.Outlines, out)
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
func (t lanes) write(p *painter, l label) {
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
		detail := l.detail
		if o.Host && p.width(Small, detail) > at.room {
			detail = "host"
		}
		if at.room > p.width(Small, "…") && p.text(at, detail) > 0 {
			p.pic.Texts[len(p.pic.Texts)-1].Outline = index
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
		l.room = p.width(Label, k.String()) // others stand close behind
		x += p.set(t, l, k.String()) + space
	}
	return max(0, x-at.x-space)
}

// sentence is an outline in words.
func (t lanes) sentence(o scene.Outline) string {
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
