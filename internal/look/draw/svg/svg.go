// Package svg writes a picture as SVG 1.1: one file that needs nothing else, light or
// dark as the reader's screen is, with text that can be selected and searched. Whatever
// a text holds, the file stays well-formed and says nothing but text: everything goes
// through escape.
package svg

import (
	"bufio"
	"fmt"
	"image/color"
	"io"
	"strconv"
	"strings"

	"carob/internal/look"
	"carob/internal/look/draw/face"
	"carob/internal/look/draw/layout"
	"carob/internal/look/draw/theme"
)

// writer keeps the first error in its buffer.
type writer struct{ *bufio.Writer }

// Write writes a picture that needs no other file.
func Write(out io.Writer, p *layout.Picture) error {
	return write(out, p, "<style>\n"+Style()+"</style>\n")
}

// Bare writes a picture for a page that has the Style.
func Bare(out io.Writer, p *layout.Picture) error { return write(out, p, "") }

func write(out io.Writer, p *layout.Picture, style string) error {
	w := writer{bufio.NewWriter(out)}
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="title desc">`+"\n", p.W, p.H, p.W, p.H)
	fmt.Fprintf(w, "<title id=\"title\">%s</title>\n<desc id=\"desc\">%s</desc>\n", escape(p.Title), escape(p.Words))
	w.WriteString(style)
	for i := range p.Boxes {
		w.box(&p.Boxes[i])
	}
	for i := range p.Bars {
		w.bar(&p.Bars[i])
	}
	for i := range p.Outlines {
		w.outline(&p.Outlines[i])
	}
	for i := range p.Texts {
		w.text(&p.Texts[i])
	}
	w.WriteString("</svg>\n")
	return w.Flush()
}

// Style gives every class of a picture its fonts, and its colours, once for light and
// once for dark.
func Style() string {
	var b strings.Builder
	b.WriteString("text{font-family:Go,'Helvetica Neue',Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif;white-space:pre}\n")
	for f := range layout.NumFonts {
		fmt.Fprintf(&b, ".f%d{font-size:%gpx", f, face.Size(f))
		if face.Bold(f) {
			b.WriteString(";font-weight:bold")
		}
		if f == layout.Mono {
			b.WriteString(";font-family:'Go Mono','DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono',monospace")
		}
		b.WriteString("}\n")
	}
	b.WriteString(".o{stroke-width:1.5}.h{stroke-dasharray:5 4}.focus{stroke-width:3}\n")
	b.WriteString(colors(theme.Light()))
	b.WriteString("@media (prefers-color-scheme:dark){\n" + colors(theme.Dark()) + "}\n")
	return b.String()
}

func colors(t *theme.Theme) string {
	var b strings.Builder
	for r := range t.Fill {
		fmt.Fprintf(&b, ".b%d{fill:%s;stroke:%s}\n", r, hex(t.Fill[r]), hex(t.Line[r]))
	}
	for k, c := range t.Kinds {
		fmt.Fprintf(&b, ".k%d{stroke:%s;fill:%s;fill-opacity:%.2f}.t%d{fill:%s}\n", k, hex(c), hex(c), float64(t.Wash)/255, k, hex(c))
	}
	fmt.Fprintf(&b, ".several{stroke:%s;fill:%s;fill-opacity:%.2f}.h{fill-opacity:0}.strong{fill:%s}.normal{fill:%s}.soft{fill:%s}\n", hex(t.Soft), hex(t.Soft), float64(t.Wash)/255, hex(t.Strong), hex(t.Normal), hex(t.Soft))
	fmt.Fprintf(&b, ".focus{stroke:%s}.track{fill:%s}.used{fill:%s}.high{fill:%s}\n", hex(t.Focus), hex(t.Track), hex(t.Used), hex(t.High))
	return b.String()
}

func hex(c color.NRGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// Radius is how round the corners of a box are.
func Radius(r layout.Role) int {
	switch r {
	case layout.Paper:
		return 0
	case layout.Card, layout.Chip:
		return 12
	}
	return 8
}

func (w writer) box(b *layout.Box) {
	class := "b" + strconv.Itoa(int(b.Role))
	switch {
	case b.Role == layout.Chip:
		class = "o k" + strconv.Itoa(int(b.Kind))
	case b.Focus:
		class += " focus"
	}
	fmt.Fprintf(w, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="%d"`, class, b.X, b.Y, b.W, b.H, Radius(b.Role))
	if b.Key != "" {
		fmt.Fprintf(w, ` data-key="%s"`, escape(b.Key))
	}
	w.end("rect", b.Words)
}

// end closes an element, with words that show when one points at it.
func (w writer) end(element, words string) {
	if words == "" {
		w.WriteString("/>\n")
		return
	}
	fmt.Fprintf(w, "><title>%s</title></%s>\n", escape(words), element)
}

func (w writer) bar(b *layout.Bar) {
	used := "used"
	if b.Used >= theme.Near {
		used = "high"
	}
	fmt.Fprintf(w, `<rect class="track" x="%d" y="%d" width="%d" height="%d" rx="2"/>`, b.X, b.Y, b.W, b.H)
	fmt.Fprintf(w, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="2"/>`+"\n", used, b.X, b.Y, b.W*b.Used/1000, b.H)
}

// corner is how round the corners of an outline are.
const corner = 9

func (w writer) outline(o *layout.Outline) {
	class := "o"
	if k, ok := theme.Hue(o); ok {
		class += " k" + strconv.Itoa(int(k))
	} else {
		class += " several"
	}
	if o.Host {
		class += " h"
	}
	fmt.Fprintf(w, `<path class="%s" d="%s"`, class, path(layout.Round(o.Path, corner)))
	if o.Key != "" {
		fmt.Fprintf(w, ` data-key="%s"`, escape(o.Key))
	}
	w.end("path", o.Words)
}

// path is a closed line in SVG's words.
func path(all []layout.Turn) string {
	var b strings.Builder
	for i, t := range all {
		cmd := "L"
		if i == 0 {
			cmd = "M"
		}
		fmt.Fprintf(&b, "%s%g %gQ%g %g %g %g", cmd, t.In.X, t.In.Y, t.At.X, t.At.Y, t.Out.X, t.Out.Y)
	}
	return b.String() + "Z"
}

// slack is how much wider than the Go fonts others are at most.
const slack = 1.15

func (w writer) text(t *layout.Text) {
	class := "f" + strconv.Itoa(int(t.Font)) + " "
	switch t.Tone {
	case layout.Strong:
		class += "strong"
	case layout.Soft:
		class += "soft"
	case layout.Colored:
		class += "t" + strconv.Itoa(int(min(t.Kind, look.NumKinds-1)))
	default:
		class += "normal"
	}
	fmt.Fprintf(w, `<text class="%s" x="%d" y="%d"`, class, t.X, t.Y)
	if float64(t.Rect.W)*slack > float64(t.Room) { // another font must not push it out of its box
		fmt.Fprintf(w, ` textLength="%d" lengthAdjust="spacingAndGlyphs"`, t.Rect.W)
	}
	fmt.Fprintf(w, ">%s</text>\n", escape(t.S))
}

// marks are the characters that mean something in XML, inside of elements and of
// attributes in quotes.
var marks = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")

// escape makes a text one for XML 1.0. Characters that XML has no way to write become
// question marks.
func escape(s string) string {
	return marks.Replace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0xfffd && r <= 0xffff {
			return '?'
		}
		return r
	}, s))
}
