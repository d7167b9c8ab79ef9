package layout_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"carob/internal/look"
	"carob/internal/look/draw/layout"
	"carob/internal/look/draw/plumb"
	"carob/internal/look/draw/scene"
)

// pixels is a medium whose letters are 7 wide; cells one whose are 1.
func pixels() layout.Metrics {
	m := layout.Metrics{
		Measure: func(_ layout.Font, s string) int { return 7 * utf8.RuneCountInString(s) },
		Line:    [layout.NumFonts]int{30, 23, 19, 17, 17, 16},
		Ascent:  [layout.NumFonts]int{22, 17, 14, 13, 13, 12},
		Margin:  24, Gap: 16, Pad: 16, Head: 10, Foot: 16,
		ColPad: 14, ColHead: 10, ColFoot: 14, ColGap: 32, MinCol: 92, MaxCol: 236, MaxRow: 900,
		Lane: 24, LaneGap: 7, Overhang: 12, Inset: 8, LanePad: 9, Link: 4,
		Bar: 4, Space: 8, Processes: 5,
	}
	return m
}

func cells(wide int) layout.Metrics {
	return layout.Metrics{
		Measure: func(_ layout.Font, s string) int { return utf8.RuneCountInString(s) },
		Line:    [layout.NumFonts]int{1, 1, 1, 1, 1, 1},
		Width:   wide, Gap: 1, Pad: 2, Foot: 1, ColPad: 2, ColFoot: 1, ColGap: 2, MinCol: 12, MaxCol: 34, MaxRow: 120,
		Lane: 1, Inset: 1, LanePad: 1, Link: 1, Processes: 5,
	}
}

// dice makes scenes by chance.
type dice struct {
	*rand.Rand
	names int
}

func (d *dice) word(most int) string {
	n := 1 + d.IntN(most)
	if d.IntN(20) == 0 {
		n *= 20
	}
	var b strings.Builder
	for range n {
		b.WriteByte("abcdefghij klmnopqrstuvwxyz/-"[d.IntN(29)])
	}
	return strings.TrimSpace(b.String()) + "x"
}

func (d *dice) key() string {
	d.names++
	return fmt.Sprint("key-", d.names)
}

func (d *dice) meters() []scene.Meter {
	var out []scene.Meter
	for range d.IntN(4) {
		m := scene.Meter{Name: d.word(6), Text: d.word(20), Share: -1}
		if d.IntN(2) == 0 {
			m.Short, m.Share = d.word(8), d.Float64()
		}
		out = append(out, m)
	}
	return out
}

func (d *dice) frame(deep int) *scene.Frame {
	f := &scene.Frame{Path: "/" + d.word(20), Label: d.word(30), Meters: d.meters()}
	for range d.IntN(4) {
		f.Cards = append(f.Cards, d.card())
	}
	for range d.IntN(3) {
		if deep > 0 {
			f.Frames = append(f.Frames, d.frame(deep-1))
		}
	}
	return f
}

func (d *dice) card() *scene.Card {
	c := &scene.Card{Key: d.key(), Is: []string{"pod", "shared"}[d.IntN(2)], Name: d.word(20), Engine: d.word(10), ID: d.word(64), Words: d.word(30)}
	n := 1 + d.IntN(7)
	for range d.IntN(3) {
		c.Addresses = append(c.Addresses, d.word(14))
	}
	for range n {
		col := scene.Column{Key: d.key(), Name: d.word(12), ID: d.word(64), Path: "/x", Label: d.word(40), Meters: d.meters()}
		col.Class = []string{look.ClassContainer, look.ClassSandbox, look.ClassGroup}[d.IntN(3)]
		for range d.IntN(9) {
			col.Processes = append(col.Processes, scene.Process{PID: 1 + d.IntN(1<<22), Command: d.word(50)})
		}
		c.Columns = append(c.Columns, col)
	}
	if n == 1 && c.Is == "shared" {
		c.Is = c.Columns[0].Class
	} else if d.IntN(2) == 0 {
		c.Group, c.Outside = &scene.Frame{Path: "/g", Label: d.word(40), Meters: d.meters()}, d.IntN(n)
	}
	for _, k := range look.Kinds() {
		if d.IntN(6) > 0 {
			c.Lanes = append(c.Lanes, d.lane(k, n))
		}
	}
	return c
}

// lane puts every column into one of a few namespaces, in any way whatever.
func (d *dice) lane(k look.Kind, n int) scene.Lane {
	var l scene.Lane
	in := map[int]int{}
	few := 1 + d.IntN(n)
	for i := range n {
		which := d.IntN(few)
		at, ok := in[which]
		if !ok {
			at = len(l.Outlines)
			in[which] = at
			o := scene.Outline{Namespaces: []look.Namespace{{Kind: k, Inode: 4026531840 + d.Uint64N(1000)}}, Host: which == 0 && d.IntN(2) == 0, Detail: ""}
			if d.IntN(3) == 0 {
				o.Detail = d.word(40)
			}
			if d.IntN(4) == 0 {
				o.Namespaces = append(o.Namespaces, look.Namespace{Kind: look.User, Inode: 1}, look.Namespace{Kind: look.Time, Inode: 2})
			}
			l.Outlines = append(l.Outlines, o)
		}
		l.Outlines[at].Members = append(l.Outlines[at].Members, i)
	}
	return l
}

// TestPromises lays out scenes by chance, far stranger than any host, and holds every
// picture against what the package promises.
func TestPromises(t *testing.T) {
	for seed := range uint64(150) {
		d := &dice{Rand: rand.New(rand.NewPCG(seed, 1))}
		s := &scene.Scene{Title: d.word(30), Facts: []string{d.word(20), d.word(60)}, Root: d.frame(2), Kinds: look.Kinds(), Compact: seed%3 == 0, Notes: []string{d.word(200)}}
		for medium, m := range map[string]layout.Metrics{"pixels": pixels(), "1 cell": cells(1), "30 cells": cells(30), "80 cells": cells(80), "200 cells": cells(200)} {
			p := layout.Lay(s, m)
			wide := m.Link
			if m.Width > 0 {
				wide = 0
			}
			if faults := plumb.Faults(p, wide); len(faults) > 0 {
				t.Errorf("seed %d, %s: %d faults, as: %s", seed, medium, len(faults), strings.Join(faults[:min(3, len(faults))], "; "))
			}
			if again := layout.Lay(s, m); !reflect.DeepEqual(p, again) {
				t.Errorf("seed %d, %s: comes out differently", seed, medium)
			}
		}
	}
}

// TestPlumbSees breaks a good picture in every way that plumb is there to see.
func TestPlumbSees(t *testing.T) {
	d := &dice{Rand: rand.New(rand.NewPCG(7, 7))}
	s := &scene.Scene{Title: "t", Root: &scene.Frame{Path: "/", Label: "/", Cards: []*scene.Card{{
		Is: "pod", Name: "p", Columns: []scene.Column{{Key: "a", Class: look.ClassContainer, Name: "a"}, {Key: "b", Class: look.ClassContainer, Name: "b"}, {Key: "c", Class: look.ClassContainer, Name: "c"}},
		Lanes: []scene.Lane{{Outlines: []scene.Outline{
			{Namespaces: []look.Namespace{{Kind: look.Net, Inode: 7}}, Members: []int{0, 2}}, {Namespaces: []look.Namespace{{Kind: look.Net, Inode: 8}}, Members: []int{1}},
		}}},
	}, d.card()}}}
	for name, spoil := range map[string]func(*layout.Picture){
		"nothing":           func(*layout.Picture) {},
		"a box moved":       func(p *layout.Picture) { p.Boxes[box(p, "a")].X += 80 },
		"a box outside":     func(p *layout.Picture) { p.Boxes[box(p, "c")].H += 1000 },
		"a text moved":      func(p *layout.Picture) { p.Texts[0].Rect.X += 5000 },
		"a text on another": func(p *layout.Picture) { p.Texts[1].Rect = p.Texts[0].Rect },
		"a member more":     func(p *layout.Picture) { p.Outlines[0].Members = append(p.Outlines[0].Members, box(p, "b")) },
		"a member less":     func(p *layout.Picture) { p.Outlines[0].Members = p.Outlines[0].Members[:1] },
		"a way through b":   func(p *layout.Picture) { p.Outlines[0].Links[0].Y = p.Outlines[0].Pieces[0].Y },
		"no way":            func(p *layout.Picture) { p.Outlines[0].Links = nil },
		"an askew path":     func(p *layout.Picture) { p.Outlines[0].Path[1].Y++ },
	} {
		p := layout.Lay(s, pixels())
		spoil(p)
		if faults := plumb.Faults(p, pixels().Link); (len(faults) == 0) != (name == "nothing") {
			t.Errorf("%s: %q", name, faults)
		}
	}
}

// TestHostApart: the host's namespace is drawn in parts, without ways between them.
func TestHostApart(t *testing.T) {
	col := func(key string) scene.Column { return scene.Column{Key: key, Class: look.ClassContainer, Name: key} }
	s := &scene.Scene{Root: &scene.Frame{Path: "/", Cards: []*scene.Card{{
		Is: "pod", Name: "p", Columns: []scene.Column{col("a"), col("b"), col("c")},
		Lanes: []scene.Lane{{Outlines: []scene.Outline{
			{Namespaces: []look.Namespace{{Kind: look.PID, Inode: 4}}, Members: []int{0, 2}, Host: true}, {Namespaces: []look.Namespace{{Kind: look.PID, Inode: 8}}, Members: []int{1}},
		}}},
	}}}}
	p := layout.Lay(s, pixels())
	var got []string
	for _, o := range p.Outlines {
		for _, m := range o.Members {
			got = append(got, fmt.Sprint(p.Boxes[m].Key, " ", o.Host, " ", len(o.Links)))
		}
	}
	if want := []string{"a true 0", "c true 0", "b false 0"}; !reflect.DeepEqual(got, want) || len(p.Outlines) != 3 {
		t.Errorf("got %q, want %q", got, want)
	}
}

func box(p *layout.Picture, key string) int {
	for i := range p.Boxes {
		if p.Boxes[i].Key == key {
			return i
		}
	}
	return -1
}

// TestRound keeps a rounded corner on its two sides and within half of the shorter.
func TestRound(t *testing.T) {
	square := []layout.Point{{X: 0, Y: 0}, {X: 100, Y: 0}, {X: 100, Y: 10}, {X: 0, Y: 10}}
	for i, turn := range layout.Round(square, 9) {
		for _, s := range []layout.Spot{turn.In, turn.Out} {
			if d := max(abs(s.X-turn.At.X), abs(s.Y-turn.At.Y)); d != 5 { // half of the side of 10
				t.Errorf("corner %d: %v is %v away from %v", i, s, d, turn.At)
			}
			if s.X != turn.At.X && s.Y != turn.At.Y {
				t.Errorf("corner %d: %v is on neither side", i, s)
			}
		}
	}
}

func abs(x float64) float64 { return max(x, -x) }
