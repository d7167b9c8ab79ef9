// Package png draws a picture as pixels, with the letters of package face and no other
// program. It looks like what package svg writes.
package png

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"

	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"

	"carob/internal/fault"
	"carob/internal/look/draw/face"
	"carob/internal/look/draw/layout"
	"carob/internal/look/draw/svg"
	"carob/internal/look/draw/theme"
)

// Scale is how many pixels a picture has for each of its measures: twice as many are
// sharp on every screen.
const Scale = 2

// most bounds the memory that a picture may need: 100 million pixels are 400 MB.
const most = 100e6

// Write draws a picture. One that would be too large is a fault.Unsupported.
func Write(out io.Writer, p *layout.Picture, t *theme.Theme) error {
	scale := Scale
	if p.W*p.H*scale*scale > most {
		scale = 1
	}
	if p.W*p.H > most {
		return fault.New(fault.Unsupported, fmt.Sprintf("png: a picture of %d by %d is too large; svg has no such limit", p.W, p.H))
	}
	letters, err := face.New(float64(scale))
	if err != nil {
		return err
	}
	c := canvas{
		img: image.NewRGBA(image.Rect(0, 0, p.W*scale, p.H*scale)), theme: t, letters: letters, scale: float64(scale),
	}
	draw.Draw(c.img, c.img.Bounds(), image.NewUniform(t.Fill[layout.Paper]), image.Point{}, draw.Src)
	for i := range p.Boxes {
		c.box(&p.Boxes[i])
	}
	for i := range p.Bars {
		c.bar(&p.Bars[i])
	}
	for i := range p.Outlines {
		c.outline(&p.Outlines[i])
	}
	for i := range p.Texts {
		c.text(&p.Texts[i])
	}
	// Large even areas compress well at any level; the best takes eight times as long.
	return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(out, c.img)
}

// canvas is a picture in the making.
type canvas struct {
	img     *image.RGBA
	theme   *theme.Theme
	letters *face.Set
	scale   float64
}

// rounded is the line around a rectangle.
func rounded(r layout.Rect, radius float64) []layout.Turn {
	return layout.Round([]layout.Point{{X: r.X, Y: r.Y}, {X: r.Right(), Y: r.Y}, {X: r.Right(), Y: r.Bottom()}, {X: r.X, Y: r.Bottom()}}, radius)
}

func (c *canvas) box(b *layout.Box) {
	shape := c.flatten(rounded(b.Rect, float64(svg.Radius(b.Role))))
	if b.Role == layout.Chip {
		c.hull(shape, c.theme.Kinds[b.Kind], false)
		return
	}
	c.slab(b.Rect, float64(svg.Radius(b.Role)), c.theme.Fill[b.Role])
	line, wide := c.theme.Line[b.Role], 1.0
	if b.Focus {
		line, wide = c.theme.Focus, 3
	}
	if b.Role != layout.Paper {
		c.stroke(shape, line, wide, nil)
	}
}

func (c *canvas) bar(b *layout.Bar) {
	c.slab(b.Rect, 2, c.theme.Track)
	used := b.Rect
	used.W = used.W * b.Used / 1000
	if used.W == 0 {
		return
	}
	hue := c.theme.Used
	if b.Used >= theme.Near {
		hue = c.theme.High
	}
	c.slab(used, 2, hue)
}

// corner is how round the corners of an outline are.
const corner = 9

func (c *canvas) outline(o *layout.Outline) {
	c.hull(c.flatten(layout.Round(o.Path, corner)), c.theme.Outline(o), o.Host)
}

// hull draws what stands for a namespace: washed over, or dashed for the host's.
func (c *canvas) hull(shape []spot, hue color.NRGBA, host bool) {
	if host {
		c.stroke(shape, hue, 1.5, []float64{5, 4})
		return
	}
	wash := hue
	wash.A = c.theme.Wash
	c.fill(shape, wash)
	c.stroke(shape, hue, 1.5, nil)
}

// text sets a line letter by letter, each as wide as it was measured. A letter that the
// fonts lack is an empty box.
func (c *canvas) text(t *layout.Text) {
	d := font.Drawer{Dst: c.img, Src: image.NewUniform(c.theme.Text(t)), Face: c.letters.Face(t.Font)}
	dot := fixed.Point26_6{X: fixed.Int26_6(float64(t.X) * c.scale * 64), Y: fixed.Int26_6(float64(t.Y) * c.scale * 64)}
	for _, r := range t.S {
		d.Dot = dot
		switch {
		case c.letters.Has(t.Font, r):
			d.DrawString(string(r))
		case c.letters.Advance(t.Font, r) > 0:
			c.missing(t, float64(dot.X)/64/c.scale)
		}
		dot.X += c.letters.Advance(t.Font, r)
	}
}

func (c *canvas) missing(t *layout.Text, x float64) {
	size := face.Size(t.Font)
	r := layout.Rect{X: int(x) + 1, Y: t.Y - int(size*0.8), W: int(size) - 2, H: int(size * 0.9)}
	c.stroke(c.flatten(rounded(r, 1)), c.theme.Text(t), 1, nil)
}
