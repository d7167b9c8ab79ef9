package watch

import (
	"fmt"

	"carob/internal/look"
	"carob/internal/look/ink"
	"carob/internal/look/risk"
	"carob/internal/look/sample"
)

// closer writes what is known of one thing.
type closer struct {
	d     *sample.Details // nil until it was read
	row   *Row            // nil when it has ended
	past  history
	width int
}

func (c closer) title() Line {
	d := c.d
	if d == nil || d.Gone {
		return Line{strong("carob look watch")}
	}
	what := d.Is
	if d.Engine != "" {
		what += " of " + d.Engine
	}
	return Line{strong(ink.Safe(d.Name)), plain(ink.Dim, "  "+ink.Safe(what)), plain(ink.Dim, fmt.Sprintf(", process %d", d.PID))}
}

func (c closer) lines() Screen {
	switch {
	case c.d == nil:
		return Screen{{plain(ink.Dim, "reading…")}}
	case c.d.Gone:
		return Screen{{plain(ink.Dim, "It has ended.")}}
	}
	var s Screen
	for _, part := range []Screen{c.identity(), c.numbers(), c.namespaces(), c.limits(), c.security(), c.processes(), c.unread()} {
		if len(part) > 0 {
			s = append(append(s, nil), part...)
		}
	}
	return s[1:]
}

// text breaks a text into lines behind a margin.
func (c closer) text(st ink.Style, margin, s string) Screen { return paragraph(st, margin, s, c.width) }

func heading(s string) Line { return Line{{Text: s, Ink: ink.Hue, Bold: true}} }

func (c closer) identity() Screen {
	d := c.d
	var s Screen
	for _, f := range [][2]string{{"command", d.Command}, {"id", d.ID}, {"cgroup", d.Cgroup}, {"user", fmt.Sprintf("%d, as the host counts", d.UID)}} {
		if f[1] != "" {
			s = append(s, c.text(ink.Plain, ink.Pad(f[0], 9), f[1])...)
		}
	}
	return s
}

// numbers are what the row uses now, and how it went.
func (c closer) numbers() Screen {
	r := c.row
	if r == nil {
		return nil
	}
	width := min(max(c.width-66, 10), remembered)
	h := c.past
	s := Screen{heading("USE")}
	line := func(name string, l Line) { s = append(s, append(Line{plain(ink.Plain, "  "+ink.Pad(name, 9))}, l...)) }
	cpu := Line{plain(ink.Hue, trend(h.cpu, 1, width))}
	if r.CPU != nil {
		cpu = append(cpu, plain(ink.Plain, "  "+percent(*r.CPU)+"%"))
	}
	if r.Quota != nil {
		cpu = append(cpu, plain(ink.Dim, fmt.Sprintf(" of %.4g%%", *r.Quota*100)))
	}
	if r.Throttled != nil && *r.Throttled >= 0.05 {
		cpu = append(cpu, plain(ink.Red, fmt.Sprintf(", throttled in %s%% of its periods", percent(*r.Throttled))))
	}
	line("cpu", cpu)
	least := 1.0
	if r.Limit != nil {
		least = float64(*r.Limit)
	}
	memory := append(Line{plain(ink.Hue, trend(h.memory, least, width)), plain(ink.Plain, "  ")}, memoryCell(r))
	if r.PodLimit {
		memory = append(memory, plain(ink.Dim, ", the pod's limit"))
	}
	line("memory", memory)
	line("disk", Line{plain(ink.Dim, "read "), rate(r.Read), plain(ink.Dim, " /s, written "), rate(r.Written), plain(ink.Dim, " /s")})
	line("network", networkWords(r))
	line("tasks", tasks(r))
	if r.Pressure != nil {
		line("waiting", stalls(r.Pressure))
	}
	if r.Cgroup == "" && r.Kind != sample.ThingPod {
		s = append(s, Line{plain(ink.Dim, "  (summed up from its processes: no cgroup of its own counts)")})
	}
	return s
}

func networkWords(r *Row) Line {
	switch r.Network {
	case NetOwn:
		return Line{plain(ink.Dim, "received "), rate(r.Received), plain(ink.Dim, " /s, sent "), rate(r.Sent), plain(ink.Dim, " /s")}
	case NetPod:
		return Line{plain(ink.Dim, "is the pod's, which has the numbers")}
	case NetHost:
		return Line{plain(ink.Yellow, "is the host's")}
	case "":
		return Line{plain(ink.Dim, unknown)}
	}
	return Line{plain(ink.Dim, "is that of "+ink.Safe(r.Network)+", which has the numbers")}
}

func tasks(r *Row) Line {
	l := Line{count(r.Pids)}
	if r.PidsLimit != nil {
		l = append(l, plain(ink.Dim, " of "+short(float64(*r.PidsLimit))))
	}
	return append(l, plain(ink.Dim, " in "+ink.Count(r.Processes, "process", "processes")))
}

func (c closer) namespaces() Screen {
	s := Screen{heading("NAMESPACES")}
	if c.d.Is == look.ThingPod {
		s[0] = append(s[0], plain(ink.Dim, fmt.Sprintf("  of process %d, which holds them for the pod", c.d.PID)))
	}
	for _, n := range c.d.Namespaces {
		head := fmt.Sprintf("  %-6s %-11d ", n.Kind, n.Inode)
		switch {
		case n.Host:
			s = append(s, Line{plain(ink.Plain, head), plain(weight(n.Kind), "the host's")})
		case len(n.With) == 0:
			s = append(s, Line{plain(ink.Plain, head), plain(ink.Dim, "its own")})
		default:
			s = append(s, c.text(ink.Plain, head, "with "+ink.List(n.With))...)
		}
	}
	for _, says := range c.d.Says {
		s = append(s, c.text(ink.Plain, "  ", says)...)
	}
	return s
}

func (c closer) limits() Screen {
	if len(c.d.Limits) == 0 {
		return nil
	}
	s := Screen{heading("LIMITS")}
	for _, l := range c.d.Limits {
		s = append(s, c.text(ink.Plain, "  ", l)...)
	}
	return s
}

// security counts the findings by severity and names them.
func (c closer) security() Screen {
	d := c.d
	counts := map[risk.Severity]int{}
	for _, f := range d.Findings {
		counts[f.Severity]++
	}
	var words []string
	for sev := risk.Critical; sev >= risk.Low; sev-- {
		if counts[sev] > 0 {
			words = append(words, fmt.Sprintf("%d %s", counts[sev], sev))
		}
	}
	head := heading("SECURITY")
	if len(words) > 0 {
		head = append(head, plain(ink.Plain, "  "+ink.List(words)), plain(ink.Dim, "  (more: carob look security)"))
	} else {
		head = append(head, plain(ink.Dim, "  nothing was found, which proves nothing"))
	}
	s := Screen{head}
	for _, f := range d.Findings {
		title := f.Title
		if f.Of != "" {
			title = f.Of + ": " + title
		}
		lines := c.text(ink.Plain, ink.Pad("  "+f.Severity.String(), 12), title)
		lines[0][0].Ink = severity(f.Severity)
		s = append(s, lines...)
	}
	if d.Needs != "" {
		s = append(s, c.text(ink.Dim, "  ", d.Needs)...)
	}
	return s
}

func severity(s risk.Severity) ink.Style {
	switch s {
	case risk.Critical, risk.High:
		return ink.Red
	case risk.Medium:
		return ink.Yellow
	}
	return ink.Plain
}

func (c closer) processes() Screen {
	s := Screen{heading("PROCESSES")}
	for _, l := range c.d.Processes {
		s = append(s, Line{plain(ink.Plain, "  "+l)})
	}
	return s
}

func (c closer) unread() Screen {
	var s Screen
	for _, u := range c.d.Unread {
		s = append(s, c.text(ink.Yellow, "not read: ", u)...)
	}
	return s
}
