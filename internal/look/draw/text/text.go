// Package text draws a picture for a terminal: the same boxes and outlines in characters.
// A line of ═ is a namespace of several containers and runs through all of them, ┄ is the
// host's; what stands in one container alone is its own.
package text

import (
	"bufio"
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"

	"carob/internal/look"
	"carob/internal/look/draw/layout"
)

// Measure is how many cells a text takes.
func Measure(_ layout.Font, s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

func cells(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r < 0x1100:
		return 1
	}
	if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// Cells are the measures of a terminal of a width.
func Cells(wide int) layout.Metrics {
	return layout.Metrics{
		Measure: Measure,
		Line:    [layout.NumFonts]int{1, 1, 1, 1, 1, 1},
		Width:   wide,
		Gap:     1, Pad: 2, Foot: 1,
		ColPad: 2, ColFoot: 1, ColGap: 2, MinCol: 12, MaxCol: 34, MaxRow: 120,
		Lane: 1, Inset: 1, LanePad: 1, Link: 1,
		Processes: 5,
	}
}

// cell is one place on the screen.
type cell struct {
	s     string // a letter with its marks; "" behind one that takes two places
	style string // what is sent to the terminal before it
}

// screen is the whole picture in cells.
type screen struct {
	rows  [][]cell
	color bool
}

// Write draws a picture, with the terminal's colours or without.
func Write(out io.Writer, p *layout.Picture, color bool) error {
	s := &screen{color: color}
	for range p.H {
		row := make([]cell, p.W)
		for i := range row {
			row[i].s = " "
		}
		s.rows = append(s.rows, row)
	}
	for i := range p.Boxes {
		s.box(&p.Boxes[i])
	}
	for i := range p.Outlines {
		s.outline(&p.Outlines[i])
	}
	for i := range p.Texts {
		s.text(&p.Texts[i])
	}
	return s.flush(out)
}

// flush writes the rows without blanks at their ends.
func (s *screen) flush(out io.Writer) error {
	w := bufio.NewWriter(out)
	for _, row := range s.rows {
		end := len(row)
		for end > 0 && row[end-1].s == " " {
			end--
		}
		style := ""
		for _, c := range row[:end] {
			if c.style != style && c.s != " " {
				w.WriteString("\x1b[0m" + c.style)
				style = c.style
			}
			w.WriteString(c.s)
		}
		if style != "" {
			w.WriteString("\x1b[0m")
		}
		w.WriteString("\n")
	}
	return w.Flush()
}

// put sets one cell; what is outside of the picture is left out.
func (s *screen) put(x, y int, letter, style string) {
	if y < 0 || y >= len(s.rows) || x < 0 || x >= len(s.rows[y]) {
		return
	}
	if !s.color {
		style = ""
	}
	s.rows[y][x] = cell{letter, style}
}

func (s *screen) at(x, y int) string {
	if y < 0 || y >= len(s.rows) || x < 0 || x >= len(s.rows[y]) {
		return ""
	}
	return s.rows[y][x].s
}

// edges are the characters of a box: corners from the upper left clockwise, then the
// horizontal and the vertical line.
func edges(b *layout.Box) [6]string {
	switch {
	case b.Focus:
		return [6]string{"┏", "┓", "┛", "┗", "━", "┃"}
	case b.Role == layout.Card:
		return [6]string{"╭", "╮", "╯", "╰", "─", "│"}
	}
	return [6]string{"┌", "┐", "┘", "└", "─", "│"}
}

// box draws the line around a box.
func (s *screen) box(b *layout.Box) {
	if b.Role == layout.Paper || b.Role == layout.Chip {
		return
	}
	e := edges(b)
	style := faint
	if b.Role >= layout.Container {
		style = ""
	}
	right, bottom := b.Right()-1, b.Bottom()-1
	for x := b.X + 1; x < right; x++ {
		s.put(x, b.Y, e[4], style)
		s.put(x, bottom, e[4], style)
	}
	for y := b.Y + 1; y < bottom; y++ {
		s.put(b.X, y, e[5], style)
		s.put(right, y, e[5], style)
	}
	s.put(b.X, b.Y, e[0], style)
	s.put(right, b.Y, e[1], style)
	s.put(right, bottom, e[2], style)
	s.put(b.X, bottom, e[3], style)
}

// outline draws the lines of those that several containers are in, and of the host's.
func (s *screen) outline(o *layout.Outline) {
	style := ""
	if len(o.Kinds) > 0 {
		style = hue(o.Kinds[0])
	}
	for _, r := range o.Pieces {
		switch {
		case o.Host:
			s.line(r, "┄", style)
		case len(o.Members) > 1:
			s.line(r, "═", style)
		}
	}
	for _, l := range o.Links {
		s.link(l, style)
	}
}

// line draws a row through the edges of boxes.
func (s *screen) line(r layout.Rect, letter, style string) {
	for x := r.X; x < r.Right(); x++ {
		there := s.at(x, r.Y)
		edge := there == "│" || there == "┃"
		switch {
		case there == "║" && letter == "═":
			s.put(x, r.Y, "╬", style)
		case there == "║": // the way of another goes on
		case !edge:
			s.put(x, r.Y, letter, style)
		case letter != "═":
			s.put(x, r.Y, "┊", style)
		case x == r.X:
			s.put(x, r.Y, "╞", style)
		case x == r.Right()-1:
			s.put(x, r.Y, "╡", style)
		default:
			s.put(x, r.Y, "╪", style)
		}
	}
}

// link draws the way from one piece to the next: down beside the one, along below, and
// up beside the other.
func (s *screen) link(l layout.Link, style string) {
	left, right := l.X1+l.Way%2, l.X2-1-l.Way%2
	for x := l.X1; x < left; x++ {
		s.put(x, l.Top, "═", style)
	}
	for x := right + 1; x < l.X2; x++ {
		s.put(x, l.Top, "═", style)
	}
	for y := l.Top + 1; y < l.Y; y++ {
		s.cross(left, y, style)
		s.cross(right, y, style)
	}
	s.put(left, l.Top, "╗", style)
	s.put(right, l.Top, "╔", style)
	if left == right {
		s.put(left, l.Y, "║", style)
		return
	}
	for x := left + 1; x < right; x++ {
		s.put(x, l.Y, "═", style)
	}
	s.put(left, l.Y, "╚", style)
	s.put(right, l.Y, "╝", style)
}

// cross goes down through what is already there.
func (s *screen) cross(x, y int, style string) {
	switch s.at(x, y) {
	case "═", "╬":
		s.put(x, y, "╬", style)
	default:
		s.put(x, y, "║", style)
	}
}

// text writes a line and parts it from a line that it stands on.
func (s *screen) text(t *layout.Text) {
	style := tone(t)
	x := t.X
	s.part(x-1, t.Y)
	for _, r := range t.S {
		n := cells(r)
		if n == 0 {
			if x > 0 && s.at(x-1, t.Y) != "" {
				s.rows[t.Y][x-1].s += string(r)
			}
			continue
		}
		s.put(x, t.Y, string(r), style)
		if n == 2 {
			s.put(x+1, t.Y, "", style)
		}
		x += n
	}
	s.part(x, t.Y)
}

func (s *screen) part(x, y int) {
	if strings.ContainsAny(s.at(x, y), "─━═┄") {
		s.put(x, y, " ", "")
	}
}

// Styles of the terminal (ECMA-48, select graphic rendition).
const (
	faint = "\x1b[2m"
	bold  = "\x1b[1m"
)

func tone(t *layout.Text) string {
	switch t.Tone {
	case layout.Strong:
		return bold
	case layout.Soft:
		return faint
	case layout.Colored:
		return bold + hue(t.Kind)
	}
	return ""
}

// hue is the colour of a kind: of the sixteen that every terminal has and its user has
// chosen.
func hue(k look.Kind) string {
	switch k {
	case look.Mnt:
		return "\x1b[33m"
	case look.UTS:
		return "\x1b[32m"
	case look.IPC:
		return "\x1b[36m"
	case look.PID:
		return "\x1b[35m"
	case look.Net:
		return "\x1b[94m"
	case look.User:
		return "\x1b[91m"
	case look.Cgroup:
		return "\x1b[93m"
	}
	return "\x1b[90m"
}
