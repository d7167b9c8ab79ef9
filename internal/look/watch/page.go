package watch

import (
	"fmt"
	"strings"

	"carob/internal/look/ink"
)

// sheet is a page over the list: lines that can be moved up and down.
type sheet struct {
	title         Line
	lines         Screen
	width, height int
}

// over is the page that is shown instead of the list.
func (m *Model) over() sheet {
	s := sheet{width: m.width, height: m.height}
	if m.page == helpPage {
		s.title, s.lines = Line{strong("carob look watch"), plain(ink.Dim, "  help")}, helpLines(m.width)
		return s
	}
	c := closer{d: m.details, width: m.width, row: m.chosen(), past: m.history[m.selected]}
	s.title, s.lines = c.title(), c.lines()
	if m.paused {
		s.title = append(s.title, paused())
	}
	return s
}

func (s sheet) shown() int { return max(1, s.height-2) }

// within is the nearest first line that leaves no room empty.
func (s sheet) within(first int) int { return max(0, min(first, len(s.lines)-s.shown())) }

func (s sheet) draw(first int) Screen {
	first = s.within(first)
	end := min(len(s.lines), first+s.shown())
	out := Screen{s.title.fit(s.width, false)}
	for _, l := range s.lines[first:end] {
		out = append(out, l.fit(s.width, false))
	}
	for len(out) < s.height-1 {
		out = append(out, nil)
	}
	var where Line
	if len(s.lines) > s.shown() {
		where = Line{plain(ink.Dim, fmt.Sprintf("%d–%d of %d", first+1, end, len(s.lines)))}
	}
	hint := Line{strong("escape"), plain(ink.Dim, " back  "), strong("↑↓"), plain(ink.Dim, " move  "), strong("q"), plain(ink.Dim, " quit")}
	return append(out, sides(hint, where, s.width))[:max(s.height, 0)]
}

// paragraph breaks a text into lines behind a margin.
func paragraph(st ink.Style, margin, s string, width int) Screen {
	var out Screen
	for _, line := range ink.Wrap(ink.Safe(s), max(20, width-ink.Width(margin))) {
		out = append(out, Line{plain(ink.Plain, margin), plain(st, line)})
		margin = strings.Repeat(" ", ink.Width(margin))
	}
	return out
}
