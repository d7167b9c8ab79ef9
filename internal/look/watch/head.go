package watch

import (
	"fmt"

	"carob/internal/look"
	"carob/internal/look/group"
	"carob/internal/look/ink"
	"carob/internal/look/sample"
)

// head are the lines over the list.
func (m *Model) head() Screen {
	if m.height < small {
		return Screen{m.title()}
	}
	s := Screen{m.title(), m.table.Machine.line(m.width)}
	if p := m.table.waiting(m.width); p != nil {
		s = append(s, p)
	}
	return append(s, nil)
}

func (m *Model) title() Line {
	t := &m.table
	left := Line{strong("carob look watch")}
	if t.Machine.Name != "" {
		left = append(left, plain(ink.Dim, "  "+ink.Safe(t.Machine.Name)))
	}
	if m.paused {
		left = append(left, paused())
	}
	pods, containers := 0, 0
	for i := range t.Rows {
		if t.Rows[i].Kind == sample.ThingPod {
			pods++
		}
		containers += t.Rows[i].containers()
	}
	if m.last == nil {
		return left.fit(m.width, false)
	}
	right := fmt.Sprintf("every %s · %s", m.interval, t.At.Format("15:04:05"))
	all := ink.Count(pods, "pod", "pods") + " · " + ink.Count(containers, "container", "containers") + " · "
	if left.width()+ink.Width(all+right)+2 <= m.width {
		right = all + right
	}
	return sides(left, Line{plain(ink.Dim, right)}, m.width)
}

// containers is how many a row is or has.
func (r *Row) containers() int {
	n := 0
	if r.Kind == look.ClassContainer {
		n++
	}
	for i := range r.Rows {
		n += r.Rows[i].containers()
	}
	return n
}

// line is what all together use, as far as it finds room.
func (t *Machine) line(width int) Line {
	size := min(max((width-60)/4, 6), 24)
	l := Line{plain(ink.Dim, "cpu ")}
	if t.CPU == nil {
		l = append(append(l, bar(0, size)...), plain(ink.Plain, " "+unknown))
	} else {
		l = append(append(l, bar(*t.CPU/100/float64(max(t.CPUs, 1)), size)...),
			plain(ink.Plain, fmt.Sprintf(" %5s%% ", percent(*t.CPU))), plain(ink.Dim, "of "+ink.Count(t.CPUs, "CPU", "CPUs")))
	}
	l = append(l, plain(ink.Dim, "  memory "))
	l = append(l, bar(float64(t.Used)/float64(max(t.Memory, 1)), size)...)
	l = append(l, plain(ink.Plain, " "+short(float64(t.Used))), plain(ink.Dim, " of "+short(float64(t.Memory))))
	for _, s := range []Line{
		{plain(ink.Dim, "  net ↓ "), rate(t.Received), plain(ink.Dim, " ↑ "), rate(t.Sent)},
		{plain(ink.Dim, "  load "), plain(ink.Plain, ink.Safe(t.Load))},
		{plain(ink.Dim, fmt.Sprintf("  %d processes", t.Processes))},
	} {
		if l.width()+s.width() <= width {
			l = append(l, s...)
		}
	}
	return l.fit(width, false)
}

// waiting is the pressure on the machine and what there is to say beside; nil is nothing.
func (t *Table) waiting(width int) Line {
	var l Line
	if p := &t.Machine.Pressure; p.CPU != nil || p.Memory != nil || p.IO != nil {
		l = append(Line{plain(ink.Dim, "waiting, last 10 s: ")}, stalls(p)...)
	}
	note := ""
	switch {
	case t.Inner:
		note = "inside of a container: only what is in here is seen"
	case t.Limited:
		note = "as root more can be seen"
	}
	if l == nil && note == "" {
		return nil
	}
	return sides(l, Line{plain(ink.Dim, note)}, width)
}

// stalls are the shares of ten seconds in which something waited.
func stalls(p *group.Pressure) Line {
	some := some10(p)
	return Line{
		plain(ink.Dim, "for cpu "), stalled(some[0]), plain(ink.Dim, "  memory "), stalled(some[1]), plain(ink.Dim, "  disk "), stalled(some[2]),
	}
}

func stalled(v float64) Span {
	st := ink.Plain
	switch {
	case v < 0.05:
		st = ink.Dim
	case v >= 10:
		st = heat(0.7 + v/250)
	}
	return plain(st, percent(v)+"%")
}

func paused() Span { return Span{Text: "  PAUSED", Ink: ink.Yellow, Bold: true} }
