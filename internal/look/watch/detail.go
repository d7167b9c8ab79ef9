package watch

import (
	"fmt"
	"slices"
	"strings"

	"carob/internal/look"
	"carob/internal/look/ink"
	"carob/internal/look/risk"
	"carob/internal/look/sample"
)

func (m *Model) detailTitle() Line {
	d := m.details
	if d == nil || d.Gone {
		return Line{strong("carob look watch")}
	}
	what := d.Is
	if d.Engine != "" {
		what += " of " + d.Engine
	}
	if m.paused {
		what += ", paused"
	}
	return Line{strong(ink.Safe(d.Name)), plain(ink.Dim, "  "+ink.Safe(what)), plain(ink.Dim, fmt.Sprintf(", process %d", d.PID))}
}

func (m *Model) detailLines() Screen {
	switch d := m.details; {
	case d == nil:
		return Screen{{plain(ink.Dim, "reading…")}}
	case d.Gone:
		return Screen{{plain(ink.Dim, "It has ended.")}}
	}
	var s Screen
	for _, part := range []Screen{m.identity(), m.numbers(), m.namespaces(), m.limits(), m.security(), m.processes(), m.unread()} {
		if len(part) > 0 {
			s = append(append(s, nil), part...)
		}
	}
	return s[1:]
}

func heading(s string) Line { return Line{{Text: s, Ink: ink.Hue, Bold: true}} }

func (m *Model) identity() Screen {
	d := m.details
	var s Screen
	for _, f := range [][2]string{{"command", d.Command}, {"id", d.ID}, {"cgroup", d.Cgroup}, {"user", fmt.Sprintf("%d, as the host counts", d.UID)}} {
		if f[1] != "" {
			s = append(s, m.text(ink.Plain, ink.Pad(f[0], 9), f[1])...)
		}
	}
	return s
}

// numbers are what the row uses now, and how it went.
func (m *Model) numbers() Screen {
	r := m.chosen()
	if r == nil {
		return nil
	}
	width := min(max(m.width-50, 20), remembered)
	h := m.history[r.Key]
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
	line("network", m.networkWords(r))
	line("tasks", tasks(r))
	if r.Pressure != nil {
		some := r.stalls()
		line("waiting", Line{plain(ink.Dim, "for cpu "), stalled(some[0]), plain(ink.Dim, "  memory "), stalled(some[1]), plain(ink.Dim, "  disk "), stalled(some[2])})
	}
	if r.Cgroup == "" && r.Kind != sample.ThingPod {
		s = append(s, Line{plain(ink.Dim, "  (summed up from its processes: no cgroup of its own counts)")})
	}
	return s
}

func (m *Model) networkWords(r *Row) Line {
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

func (m *Model) namespaces() Screen {
	s := Screen{heading("NAMESPACES")}
	for _, n := range m.details.Namespaces {
		head := fmt.Sprintf("  %-6s %-11d ", n.Kind, n.Inode)
		switch {
		case n.Host:
			s = append(s, Line{plain(ink.Plain, head), plain(weight(n.Kind), "the host's")})
		case len(n.With) == 0:
			s = append(s, Line{plain(ink.Plain, head), plain(ink.Dim, "its own")})
		default:
			s = append(s, m.text(ink.Plain, head, "with "+ink.List(n.With))...)
		}
	}
	for _, says := range m.details.Says {
		s = append(s, m.text(ink.Plain, "  ", says)...)
	}
	return s
}

func (m *Model) limits() Screen {
	if len(m.details.Limits) == 0 {
		return nil
	}
	s := Screen{heading("LIMITS")}
	for _, l := range m.details.Limits {
		s = append(s, m.text(ink.Plain, "  ", l)...)
	}
	return s
}

// security counts the findings by severity and names them.
func (m *Model) security() Screen {
	d := m.details
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
		lines := m.text(ink.Plain, ink.Pad("  "+f.Severity.String(), 12), title)
		lines[0][0].Ink = severity(f.Severity)
		s = append(s, lines...)
	}
	if d.Needs != "" {
		s = append(s, m.text(ink.Dim, "  ", d.Needs)...)
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

func (m *Model) processes() Screen {
	s := Screen{heading("PROCESSES")}
	for _, l := range m.details.Processes {
		s = append(s, Line{plain(ink.Plain, "  "+l)})
	}
	return s
}

func (m *Model) unread() Screen {
	var s Screen
	for _, u := range m.details.Unread {
		s = append(s, m.text(ink.Yellow, "not read: ", u)...)
	}
	return s
}

// helpLines say what the keys do and what the columns mean.
func (m *Model) helpLines() Screen {
	var s Screen
	s = append(s, heading("KEYS"))
	for _, k := range [][2]string{
		{"↑ ↓ j k", "select a row; page up and down, home and end too"},
		{"enter", "details of the selected row: who shares its namespaces, limits and who sets them, security, processes"},
		{"escape", "back; in the list: no filter"},
		{"/", "filter by name, engine, state, PID or beginning of an ID; several words must all match"},
		{"s S r", "sort by the next or the previous column; the other way round"},
		{"f ← →", "fold and unfold a pod; F all pods"},
		{"a", "all: sandboxes, and groups of processes with namespaces of their own that no engine runs"},
		{"p", "pause: nothing is read and nothing moves"},
		{"+ -", "twice as long or half as long between samples"},
		{"q", "quit"},
	} {
		s = append(s, m.text(ink.Plain, "  "+ink.Pad(k[0], 10), k[1])...)
	}
	s = append(s, nil, heading("COLUMNS"))
	for _, k := range [][2]string{
		{"CPU%", "of one CPU, since the sample before; TREND is how it went, against its own highest"},
		{"THR%", "the share of periods in which its CPU quota ran out"},
		{"MEMORY", "in use without file cache that could be given back, and the limit; a dim bar is against the limit of the pod"},
		{"READ WRIT", "bytes per second from and to block devices"},
		{"RX TX", "bytes per second, of a network namespace: on the first row that is in it; the others say whose it is"},
		{"PIDS", "tasks, threads included"},
		{"PSI", "share of the last 10 s in which something waited for a CPU, memory, a disk (cgroup v2)"},
		{"SHARED", "namespaces shared with the pod, or (yellow) with others: " + kindWords()},
		{"HOST'S", "namespaces that are the host's: no isolation"},
		{unknown, "nobody counts it, or it may not be seen"},
	} {
		s = append(s, m.text(ink.Plain, "  "+ink.Pad(k[0], 10), k[1])...)
	}
	return s
}

// kindWords are the letters with the kinds they stand for.
func kindWords() string {
	var words []string
	for _, k := range look.Kinds() {
		words = append(words, letters[k:k+1]+" "+k.String())
	}
	return strings.Join(slices.Clip(words), ", ")
}
