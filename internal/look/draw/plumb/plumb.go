// Package plumb holds a picture against what package layout promises of every picture.
// It is for tests, and knows nothing of how the picture was made.
package plumb

import (
	"fmt"

	"carob/internal/look/draw/layout"
)

// Faults are the broken promises of a picture, in words. Wide is the width of a way
// around, 0 where ways are one cell.
func Faults(p *layout.Picture, wide int) []string {
	var out []string
	out = append(out, boxes(p)...)
	out = append(out, texts(p)...)
	for i := range p.Outlines {
		out = append(out, outline(p, i, wide)...)
	}
	return out
}

// boxes must lie inside their parents and beside their siblings.
func boxes(p *layout.Picture) []string {
	var out []string
	for i, b := range p.Boxes {
		if fault := place(p, i); fault != "" {
			out = append(out, fmt.Sprintf("box %d %q %s", i, b.Key, fault))
		}
		for _, o := range p.Boxes[:i] {
			if o.Parent == b.Parent && o.Overlaps(b.Rect) {
				out = append(out, fmt.Sprintf("boxes %q and %q overlap", o.Key, b.Key))
			}
		}
	}
	for _, b := range p.Bars {
		if !p.Boxes[b.Box].Holds(b.Rect) || b.Used < 0 || b.Used > 1000 {
			out = append(out, fmt.Sprintf("a bar is not in %q", p.Boxes[b.Box].Key))
		}
	}
	return out
}

// place is what is wrong with where a box is, "" for nothing.
func place(p *layout.Picture, i int) string {
	b := p.Boxes[i]
	switch {
	case b.W <= 0 || b.H <= 0:
		return "has no size"
	case b.Parent >= i:
		return "stands before its parent"
	case b.Parent < 0 && b.Rect != layout.Rect{W: p.W, H: p.H}:
		return "is not the picture"
	case b.Parent >= 0 && !p.Boxes[b.Parent].Holds(b.Rect):
		return "is not inside its parent"
	}
	return ""
}

// texts must lie inside the box and the outline that they belong to, and on no other
// text.
func texts(p *layout.Picture) []string {
	var out []string
	for i, t := range p.Texts {
		if !p.Boxes[t.Box].Holds(t.Rect) {
			out = append(out, fmt.Sprintf("text %q is not inside its box %q", t.S, p.Boxes[t.Box].Key))
		}
		if t.Rect.W > t.Room {
			out = append(out, fmt.Sprintf("text %q is wider than its room", t.S))
		}
		if t.Outline >= 0 && !within(p.Outlines[t.Outline].Pieces, t.Rect) {
			out = append(out, fmt.Sprintf("text %q is not inside its outline", t.S))
		}
		for _, o := range p.Texts[:i] {
			if o.Rect.Overlaps(t.Rect) {
				out = append(out, fmt.Sprintf("texts %q and %q overlap", o.S, t.S))
			}
		}
	}
	return out
}

func within(pieces []layout.Rect, r layout.Rect) bool {
	for _, p := range pieces {
		// A line may be a little higher than its outline: letters are not.
		if p.X <= r.X && r.Right() <= p.Right() && r.Y < p.Bottom() && p.Y < r.Bottom() {
			return true
		}
	}
	return false
}

// outline must cross the boxes of its members, no other container's, stay in its card,
// and be one line.
func outline(p *layout.Picture, i, wide int) []string {
	o := &p.Outlines[i]
	out := crossed(p, i, wide)
	for _, r := range append(append([]layout.Rect{}, o.Pieces...), ways(o, wide)...) {
		if !p.Boxes[o.Card].Holds(r) {
			out = append(out, fmt.Sprintf("outline %d leaves its card", i))
		}
	}
	for j := range p.Outlines[:i] {
		if touches(p.Outlines[j].Pieces, o.Pieces...) {
			out = append(out, fmt.Sprintf("outlines %d and %d lie on each other", j, i))
		}
	}
	if len(o.Links) != len(o.Pieces)-1 {
		out = append(out, fmt.Sprintf("outline %d is in pieces", i))
	}
	return append(out, line(o, i)...)
}

// crossed compares the boxes that an outline crosses with its members.
func crossed(p *layout.Picture, i, wide int) []string {
	var out []string
	o := &p.Outlines[i]
	member := map[int]bool{}
	for _, m := range o.Members {
		member[m] = true
	}
	for j, b := range p.Boxes {
		if b.Role != layout.Container && b.Role != layout.Sandbox && b.Role != layout.Loose {
			continue
		}
		if crosses := touches(o.Pieces, b.Rect); crosses != member[j] {
			out = append(out, fmt.Sprintf("outline %d crosses %q: %v, is it in it: %v", i, b.Key, crosses, member[j]))
		}
		if touches(ways(o, wide), b.Rect) {
			out = append(out, fmt.Sprintf("a way of outline %d runs through %q", i, b.Key))
		}
	}
	return out
}

// ways are the parts of an outline between its pieces.
func ways(o *layout.Outline, wide int) []layout.Rect {
	var out []layout.Rect
	for _, l := range o.Links {
		left, right, thick := l.X1-wide, l.X2, wide
		if wide == 0 {
			left, right, thick = l.X1+l.Way%2, l.X2-1-l.Way%2, 1
		}
		out = append(out,
			layout.Rect{X: left, Y: l.Top, W: thick, H: l.Y + thick - l.Top},
			layout.Rect{X: right, Y: l.Top, W: thick, H: l.Y + thick - l.Top},
			layout.Rect{X: left, Y: l.Y, W: right + thick - left, H: thick})
	}
	return out
}

func touches(all []layout.Rect, others ...layout.Rect) bool {
	for _, a := range all {
		for _, b := range others {
			if a.Overlaps(b) {
				return true
			}
		}
	}
	return false
}

// line is the path around everything: right angles, and closed.
func line(o *layout.Outline, i int) []string {
	for n, a := range o.Path {
		b := o.Path[(n+1)%len(o.Path)]
		if a.X != b.X && a.Y != b.Y {
			return []string{fmt.Sprintf("the path of outline %d is askew at %v", i, a)}
		}
	}
	if len(o.Path) < 4 {
		return []string{fmt.Sprintf("outline %d has no path", i)}
	}
	return nil
}
