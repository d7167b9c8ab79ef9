package png

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/vector"

	"carob/internal/look/draw/layout"
)

// spot is a place in pixels.
type spot struct{ x, y float64 }

// flatten makes a closed line of straight pieces, in pixels.
func (c *canvas) flatten(turns []layout.Turn) []spot {
	const steps = 8 // enough for corners of this size
	var out []spot
	for _, t := range turns {
		for i := range steps + 1 {
			u := float64(i) / steps
			a, b, d := (1-u)*(1-u), 2*u*(1-u), u*u
			out = append(out, spot{
				(a*t.In.X + b*t.At.X + d*t.Out.X) * c.scale,
				(a*t.In.Y + b*t.At.Y + d*t.Out.Y) * c.scale,
			})
		}
	}
	return out
}

// bounds are the pixels that a line touches, with a margin.
func bounds(all []spot, margin float64) image.Rectangle {
	low, high := spot{math.Inf(1), math.Inf(1)}, spot{math.Inf(-1), math.Inf(-1)}
	for _, s := range all {
		low = spot{min(low.x, s.x), min(low.y, s.y)}
		high = spot{max(high.x, s.x), max(high.y, s.y)}
	}
	return image.Rect(int(low.x-margin)-1, int(low.y-margin)-1, int(high.x+margin)+2, int(high.y+margin)+2)
}

// layer is a rasterizer over a part of the picture.
type layer struct {
	*vector.Rasterizer
	at image.Rectangle
}

func newLayer(at image.Rectangle) layer {
	return layer{vector.NewRasterizer(at.Dx(), at.Dy()), at}
}

func (l layer) polygon(all ...spot) {
	for i, s := range all {
		x, y := float32(s.x-float64(l.at.Min.X)), float32(s.y-float64(l.at.Min.Y))
		if i == 0 {
			l.MoveTo(x, y)
			continue
		}
		l.LineTo(x, y)
	}
	l.ClosePath()
}

func (c *canvas) paint(l layer, hue color.NRGBA) {
	l.Draw(c.img, l.at, image.NewUniform(hue), image.Point{})
}

func (c *canvas) fill(shape []spot, hue color.NRGBA) {
	if len(shape) == 0 {
		return
	}
	l := newLayer(bounds(shape, 0))
	l.polygon(shape...)
	c.paint(l, hue)
}

// stroke draws the line around a shape. Dash are the lengths of line and gap, none for
// an unbroken line.
func (c *canvas) stroke(shape []spot, hue color.NRGBA, wide float64, dash []float64) {
	if len(shape) == 0 {
		return
	}
	wide *= c.scale
	l := newLayer(bounds(shape, wide))
	pen := pen{layer: l, half: wide / 2, on: true}
	for _, d := range dash {
		pen.dash = append(pen.dash, d*c.scale)
	}
	for i, s := range shape {
		pen.line(s, shape[(i+1)%len(shape)])
	}
	c.paint(l, hue)
}

// pen draws lines one after the other, with gaps where dash wants them. All its pieces
// turn the same way, so that where they overlap nothing cancels.
type pen struct {
	layer
	half float64
	dash []float64
	gone float64 // length of the present dash that is drawn
	turn int
	on   bool
}

func (p *pen) line(a, b spot) {
	l := math.Hypot(b.x-a.x, b.y-a.y)
	if l == 0 {
		return
	}
	at := func(d float64) spot { return spot{a.x + (b.x-a.x)*d/l, a.y + (b.y-a.y)*d/l} }
	if len(p.dash) == 0 {
		p.bit(a, b, l)
		return
	}
	for done := 0.0; done < l; {
		step := min(p.dash[p.turn]-p.gone, l-done)
		if p.on {
			p.bit(at(done), at(done+step), step)
		}
		done, p.gone = done+step, p.gone+step
		if p.gone >= p.dash[p.turn]-1e-9 {
			p.gone, p.turn, p.on = 0, (p.turn+1)%len(p.dash), !p.on
		}
	}
}

// bit is one straight piece: a rectangle around the line from a to b, a little longer at
// both ends, so that corners close.
func (p *pen) bit(a, b spot, l float64) {
	if l == 0 {
		return
	}
	dx, dy := (b.x-a.x)/l, (b.y-a.y)/l
	ext := min(p.half*0.4, 0.5)
	if len(p.dash) > 0 {
		ext = 0
	}
	a, b = spot{a.x - dx*ext, a.y - dy*ext}, spot{b.x + dx*ext, b.y + dy*ext}
	nx, ny := -dy*p.half, dx*p.half
	p.polygon(spot{a.x + nx, a.y + ny}, spot{b.x + nx, b.y + ny}, spot{b.x - nx, b.y - ny}, spot{a.x - nx, a.y - ny})
}
