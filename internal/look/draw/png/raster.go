package png

import (
	"image"
	"image/color"
	"image/draw"
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

// layer makes one over a part of the picture. What is drawn beside it is cut off.
func (c *canvas) layer(at image.Rectangle) layer {
	at = at.Intersect(c.img.Bounds())
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
	l := c.layer(bounds(shape, 0))
	l.polygon(shape...)
	c.paint(l, hue)
}

// slab fills a rounded rectangle. Only the corners need smoothing: the rest is a matter
// of whole pixels, which is what makes a large picture cheap.
func (c *canvas) slab(r layout.Rect, radius float64, hue color.NRGBA) {
	s := int(c.scale)
	at := image.Rect(r.X*s, r.Y*s, r.Right()*s, r.Bottom()*s)
	k := min(int(radius*c.scale), at.Dx()/2, at.Dy()/2)
	src := image.NewUniform(hue)
	for _, part := range []image.Rectangle{
		image.Rect(at.Min.X+k, at.Min.Y, at.Max.X-k, at.Max.Y),
		image.Rect(at.Min.X, at.Min.Y+k, at.Min.X+k, at.Max.Y-k),
		image.Rect(at.Max.X-k, at.Min.Y+k, at.Max.X, at.Max.Y-k),
	} {
		draw.Draw(c.img, part, src, image.Point{}, draw.Over)
	}
	shape := c.flatten(rounded(r, radius))
	for _, x := range []int{at.Min.X, at.Max.X - k} {
		for _, y := range []int{at.Min.Y, at.Max.Y - k} {
			if k == 0 {
				continue
			}
			l := c.layer(image.Rect(x, y, x+k, y+k))
			l.polygon(shape...)
			c.paint(l, hue)
		}
	}
}

// stroke draws the line around a shape. Dash are the lengths of line and gap, none for
// an unbroken line.
func (c *canvas) stroke(shape []spot, hue color.NRGBA, wide float64, dash []float64) {
	p := pen{canvas: c, hue: hue, half: wide * c.scale / 2, on: true}
	for _, d := range dash {
		p.dash = append(p.dash, d*c.scale)
	}
	for i, s := range shape {
		p.line(s, shape[(i+1)%len(shape)])
	}
	p.flush()
}

// pen draws lines one after the other, with gaps where dash wants them. All its pieces
// turn the same way, so that where they overlap nothing cancels.
type pen struct {
	*canvas
	hue  color.NRGBA
	half float64
	dash []float64
	gone float64 // length of the present dash that is drawn
	turn int
	on   bool
	// bits wait to be painted in one layer.
	bits [][4]spot
	area image.Rectangle
}

// small is how large a layer may be, in pixels: a long line is painted alone.
const small = 1 << 14

func (p *pen) flush() {
	if len(p.bits) == 0 {
		return
	}
	l := p.layer(p.area)
	for _, b := range p.bits {
		l.polygon(b[:]...)
	}
	p.paint(l, p.hue)
	p.bits, p.area = nil, image.Rectangle{}
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
	bit := [4]spot{{a.x + nx, a.y + ny}, {b.x + nx, b.y + ny}, {b.x - nx, b.y - ny}, {a.x - nx, a.y - ny}}
	area := bounds(bit[:], 0)
	if both := p.area.Union(area); both.Dx()*both.Dy() > small {
		p.flush()
	}
	p.bits, p.area = append(p.bits, bit), p.area.Union(area)
}
