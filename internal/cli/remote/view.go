package remote

import (
	"fmt"
	"io"
	"strings"

	"github.com/docker/go-units"

	"carob/internal/api"
)

// view is the picture of one pull or push.
type view interface {
	show(api.PullProgress)
	// end leaves the last picture as it is.
	end()
}

// view chooses how: bars on a terminal, lines elsewhere, nothing but warnings when quiet.
func (e Env) view(quiet bool) view {
	if quiet {
		return &lines{to: e.Stderr, texts: true}
	}
	if e.Size != nil {
		if _, _, ok := e.Size(); ok {
			return &bars{to: e.Stderr, size: e.Size, rows: map[string]api.PullProgress{}}
		}
	}
	return &lines{to: e.Stderr, step: map[string]string{}}
}

// lines is a line for each step of each layer, without the bytes on the way.
type lines struct {
	to    io.Writer
	texts bool // only warnings
	step  map[string]string
}

func (l *lines) show(p api.PullProgress) {
	step := string(p.Step)
	switch {
	case l.texts && step != "warning":
	case p.Layer == "" || p.Text != "":
		fmt.Fprintln(l.to, text(p))
	case l.step[p.Layer] != step:
		l.step[p.Layer] = step
		if p.Total > 0 && step == "downloading" {
			step += " " + size(p.Total)
		}
		fmt.Fprintf(l.to, "%s: %s\n", clean(p.Layer), clean(step))
	}
}

func (l *lines) end() {}

// text is what is said about an image, or a remark on a layer.
func text(p api.PullProgress) string {
	words := clean(string(p.Step))
	if p.Text != "" {
		words += ": " + clean(p.Text)
	}
	if p.Layer != "" {
		words = clean(p.Layer) + ": " + words
	}
	return words
}

// clean keeps what comes from a registry from writing on the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func size(n int64) string { return units.HumanSize(float64(n)) }

// bars is a line for each layer, drawn again in its place.
type bars struct {
	to    io.Writer
	size  func() (width, height int, ok bool)
	order []string
	rows  map[string]api.PullProgress
	drawn int
}

func (b *bars) show(p api.PullProgress) {
	var said string
	switch {
	case p.Layer == "":
		said = text(p)
	case p.Text != "":
		said = text(p)
		fallthrough
	default:
		if _, known := b.rows[p.Layer]; !known {
			b.order = append(b.order, p.Layer)
		}
		b.rows[p.Layer] = p
	}
	b.draw(said)
}

func (b *bars) end() {}

// draw puts the cursor on the first bar, writes what is said above the bars, and then
// them.
func (b *bars) draw(said string) {
	width, height, _ := b.size()
	var out strings.Builder
	if b.drawn > 0 {
		fmt.Fprintf(&out, "\x1b[%dA", b.drawn)
	}
	if said != "" {
		fmt.Fprintf(&out, "\r\x1b[K%s\n", said)
	}
	rows := b.picture(max(width, 20), max(height-1, 2))
	for _, row := range rows {
		fmt.Fprintf(&out, "\r\x1b[K%s\n", row)
	}
	for range b.drawn - len(rows) {
		out.WriteString("\r\x1b[K\n")
	}
	if extra := b.drawn - len(rows); extra > 0 {
		fmt.Fprintf(&out, "\x1b[%dA", extra)
	}
	b.drawn = len(rows)
	_, _ = io.WriteString(b.to, out.String()) // a terminal that is gone needs no picture
}

// picture is at most height lines of at most width columns: all layers if there is room,
// else how many are done and those that are not.
func (b *bars) picture(width, height int) []string {
	list := b.order
	var rows []string
	if len(list) > height {
		var open []string
		for _, l := range list {
			if !finished(b.rows[l]) {
				open = append(open, l)
			}
		}
		rows = append(rows, fmt.Sprintf("%d of %d layers done", len(list)-len(open), len(list)))
		list = open[:min(len(open), height-1)]
	}
	for _, l := range list {
		rows = append(rows, bar(b.rows[l], width))
	}
	return rows
}

func finished(p api.PullProgress) bool {
	switch p.Step {
	case "pulled", "exists", "pushed", "mounted":
		return true
	}
	return false
}

// barWidth is the bar's without its ends.
const barWidth = 25

func bar(p api.PullProgress, width int) string {
	row := fmt.Sprintf("%-12s %-11s", clean(p.Layer), clean(string(p.Step)))
	if !finished(p) && p.Total > 0 && p.Done > 0 {
		n := int(barWidth * min(p.Done, p.Total) / p.Total)
		row += fmt.Sprintf(" [%-*s] %s of %s", barWidth, strings.Repeat("=", n), size(p.Done), size(p.Total))
	} else if p.Total > 0 {
		row += " " + size(p.Total)
	}
	if len(row) >= width {
		row = row[:width-1]
	}
	return row
}
