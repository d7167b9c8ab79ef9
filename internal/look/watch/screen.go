package watch

import (
	"strings"

	"carob/internal/look/ink"
)

// Span is a piece of a line in one style. Its text is harmless.
type Span struct {
	Text string
	Ink  ink.Style
	// Bold and Reverse come on top of the colour, so that nothing depends on colours.
	Bold, Reverse bool
}

// Line is a line of the screen from its left edge.
type Line []Span

// Screen is what a terminal shows, from the top. No line is wider than the terminal.
type Screen []Line

// Text is the screen without styles, for tests and pipes.
func (s Screen) Text() string {
	var b strings.Builder
	for _, l := range s {
		b.WriteString(strings.TrimRight(l.text(), " ") + "\n")
	}
	return b.String()
}

func (l Line) text() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.Text)
	}
	return b.String()
}

func (l Line) width() int { return ink.Width(l.text()) }

// plain is a span in a colour.
func plain(st ink.Style, text string) Span { return Span{Text: text, Ink: st} }

// strong is a span in bold.
func strong(text string) Span { return Span{Text: text, Bold: true} }

// fit cuts a line to a width, or fills it with blanks when it is to be filled.
func (l Line) fit(width int, filled bool) Line {
	var out Line
	left := width
	for _, s := range l {
		if left <= 0 {
			break
		}
		if ink.Width(s.Text) > left {
			s.Text = ink.Cut(s.Text, left)
		}
		left -= ink.Width(s.Text)
		out = append(out, s)
	}
	if filled && left > 0 {
		out = append(out, plain(ink.Plain, strings.Repeat(" ", left)))
	}
	return out
}

// reversed shows a line as the one that is selected: in one piece, not in patches of
// colours. What alarms is bold there.
func (l Line) reversed() Line {
	for i, s := range l {
		l[i] = Span{Text: s.Text, Reverse: true, Bold: s.Bold || s.Ink == ink.Red || s.Ink == ink.Yellow}
	}
	return l
}

// sides puts one line at the left and one at the right edge; where there is no room for
// both the right one is left out.
func sides(left, right Line, width int) Line {
	gap := width - left.width() - right.width()
	if gap < 2 {
		return left.fit(width, false)
	}
	return append(append(left, plain(ink.Plain, strings.Repeat(" ", gap))), right...)
}

// eighths fill a cell from the left.
var eighths = [...]string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}

// bar draws a share between 0 and 1.
func bar(share float64, width int) Line {
	share = min(max(share, 0), 1)
	n := int(share*float64(width)*8 + 0.5)
	if n == 0 && share > 0 {
		n = 1
	}
	full := strings.Repeat("█", n/8) + eighths[n%8]
	return Line{plain(heat(share), full), plain(ink.Dim, strings.Repeat("·", width-ink.Width(full)))}
}

// heat is the colour of a share of what there is.
func heat(share float64) ink.Style {
	switch {
	case share >= 0.9:
		return ink.Red
	case share >= 0.7:
		return ink.Yellow
	}
	return ink.Green
}

// levels are the heights of a trend.
var levels = [...]rune{'▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'}

// trend draws the last values, the newest at the right, against the highest or least.
func trend(values []float64, least float64, width int) string {
	if len(values) > width {
		values = values[len(values)-width:]
	}
	top := least
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(values)))
	for _, v := range values {
		n := 0
		if top > 0 {
			n = min(int(v/top*float64(len(levels))), len(levels)-1)
		}
		b.WriteRune(levels[max(n, 0)])
	}
	return b.String()
}
