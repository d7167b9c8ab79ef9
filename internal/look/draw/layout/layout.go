package layout

import (
	"math"
	"strings"

	"carob/internal/look/draw/scene"
)

// node is something with a size that can be put anywhere. Put may be given more than
// the size that was asked for, never less.
type node struct {
	w, h int
	// frame is true for a cgroup around others.
	frame bool
	put   func(p *painter, r Rect, parent int)
}

// painter collects what has got its place.
type painter struct {
	*memo
	pic Picture
}

// Lay gives a scene its measures.
func Lay(s *scene.Scene, m Metrics) *Picture {
	if s.Compact && m.Tight != nil {
		m = *m.Tight
	}
	c := &composer{memo: &memo{Metrics: m, seen: map[Font]map[string]int{}}, scene: s}
	n := c.best()
	p := &painter{memo: c.memo}
	p.pic.Title = s.Title
	p.pic.Words = strings.Join(s.Facts, ", ")
	p.pic.W, p.pic.H = n.w, n.h
	n.put(p, Rect{0, 0, n.w, n.h}, -1)
	return &p.pic
}

// composer makes nodes of a scene.
type composer struct {
	*memo
	scene *scene.Scene
}

// shape is the width of a picture by its height that people have on their desks.
const shape = 1.5

// best tries widths and takes the picture that is near to a screen's shape and not larger
// than it need be: being off by a tenth is as bad as a tenth more paper.
func (c *composer) best() node {
	if c.Width > 0 {
		return c.page(c.Width)
	}
	var best node
	least := math.Inf(1)
	for w := 640; w <= 5120; w += 80 {
		n := c.page(w)
		off := math.Abs(math.Log(float64(n.w) / float64(n.h) / shape))
		if score := off + math.Log(float64(n.w)*float64(n.h)); score < least-1e-9 {
			best, least = n, score
		}
	}
	return best
}

// box adds a box and returns its index.
func (p *painter) box(b Box) int {
	p.pic.Boxes = append(p.pic.Boxes, b)
	return len(p.pic.Boxes) - 1
}

// line is one line of text at most room wide, its upper left corner at x, y.
type line struct {
	x, y, room int
	font       Font
	tone       Tone
	box        int
}

// text adds a text, cut where it does not fit, and returns how wide it is.
func (p *painter) text(l line, s string) int {
	return p.set(Text{Font: l.font, Tone: l.tone, Box: l.box, Outline: -1}, l, p.fit(l.font, s, l.room))
}

// right is text against the right end of its room.
func (p *painter) right(l line, s string) int {
	s = p.fit(l.font, s, l.room)
	l.x, l.room = l.x+l.room-p.width(l.font, s), p.width(l.font, s)
	return p.set(Text{Font: l.font, Tone: l.tone, Box: l.box, Outline: -1}, l, s)
}

func (p *painter) set(t Text, l line, s string) int {
	if s == "" {
		return 0
	}
	t.S, t.X, t.Y, t.Room = s, l.x, l.y+p.Ascent[l.font], l.room
	t.Rect = Rect{l.x, l.y, p.width(l.font, s), p.Line[l.font]}
	p.pic.Texts = append(p.pic.Texts, t)
	return t.Rect.W
}
