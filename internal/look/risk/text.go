package risk

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"carob/internal/look/ink"
)

// columns is where sentences are broken.
const columns = 96

// printer remembers the first failure of its writer.
type printer struct {
	w   io.Writer
	pen ink.Pen
	err error
}

func (p *printer) line(s string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, s)
	}
}

// para writes a text behind a lead, broken and indented by the lead's width.
func (p *printer) para(lead, s string) {
	for i, l := range ink.Wrap(ink.Short(ink.Safe(s)), columns-ink.Width(lead)) {
		if i > 0 {
			lead = strings.Repeat(" ", ink.Width(lead))
		}
		p.line(lead + l)
	}
}

func style(s Severity) ink.Style {
	switch s {
	case Critical, High:
		return ink.Red
	case Medium:
		return ink.Yellow
	}
	return ink.Dim
}

// Text writes one report for people.
func (r Report) Text(w io.Writer, pen ink.Pen) error {
	p := &printer{w: w, pen: pen}
	by := "process " + strconv.Itoa(r.PID)
	if r.Engine != "" {
		by = r.Engine + ", " + by
	}
	p.line(pen.Write(ink.Bold, ink.Safe(r.Name)) + " (" + by + ")")
	p.para("", r.Needs)
	for _, f := range r.Findings {
		p.line("")
		p.finding(f)
	}
	p.line("")
	if len(r.Holds) > 0 {
		p.para("What holds: ", strings.Join(r.Holds, "; ")+".")
	}
	p.rights(r.Rights)
	for _, u := range r.Unknown {
		p.para("Not known: ", u)
	}
	return p.err
}

func (p *printer) finding(f Finding) {
	word := strings.ToUpper(f.Severity.String())
	if p.err == nil {
		lines := ink.Wrap(ink.Short(ink.Safe(f.Title)), columns-10)
		p.line(p.pen.Write(style(f.Severity), ink.Pad(word, 10)) + p.pen.Write(ink.Bold, lines[0]))
		for _, l := range lines[1:] {
			p.line(strings.Repeat(" ", 10) + p.pen.Write(ink.Bold, l))
		}
	}
	p.para("          ", f.Why)
	p.para("          close it: ", f.Close)
	p.para("          seen in:  ", f.Evidence)
}

func (p *printer) rights(r Rights) {
	caps := "none"
	if len(r.Capabilities) > 0 {
		caps = strings.Join(r.Capabilities, ", ")
	}
	p.para("Capabilities: ", caps)
	switch {
	case len(r.Refused)+len(r.Partly) > 0:
		p.para("System calls refused ("+strconv.Itoa(len(r.Refused))+"): ", strings.Join(r.Refused, ", "))
		if len(r.Partly) > 0 {
			p.para("With some arguments ("+strconv.Itoa(len(r.Partly))+"): ", strings.Join(r.Partly, ", "))
		}
	case r.Seccomp == "filter":
		p.para("", "System calls refused: a filter decides; which, is not to be seen from outside (--calls stops the process for a moment and reads it)")
	}
}

// Table writes one line for each report, the worst first as they come.
func Table(w io.Writer, all []Report, pen ink.Pen) error {
	var t ink.Table
	t.Head("NAME", "PID", "CRITICAL", "HIGH", "MEDIUM", "LOW", "WORST")
	for _, r := range all {
		var n [Critical + 1]int
		for _, f := range r.Findings {
			n[f.Severity]++
		}
		worst := ink.Cell{Text: "nothing found", Style: ink.Green}
		if len(r.Findings) > 0 {
			worst = ink.Cell{Text: ink.Short(r.Findings[0].Title), Style: style(r.Findings[0].Severity)}
		}
		cells := []ink.Cell{{Text: r.Name}, {Text: strconv.Itoa(r.PID), Style: ink.Dim}}
		for s := Critical; s >= Low; s-- {
			c := ink.Cell{Text: "-", Style: ink.Dim}
			if n[s] > 0 {
				c = ink.Cell{Text: strconv.Itoa(n[s]), Style: style(s)}
			}
			cells = append(cells, c)
		}
		t.Row(append(cells, worst)...)
	}
	return t.Write(w, pen)
}
