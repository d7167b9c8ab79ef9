package watch

import (
	"fmt"

	"carob/internal/look"
	"carob/internal/look/group"
	"carob/internal/look/ink"
	"carob/internal/look/sample"
)

// one makes a cell of one span that needs to know nothing but the row.
func one(f func(*Row) Span) func(*list, *Row, int) Line {
	return func(_ *list, r *Row, _ int) Line { return Line{f(r)} }
}

func orDash(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

func stateCell(r *Row) Span {
	switch r.State {
	case sample.Running:
		return plain(ink.Plain, r.State)
	case sample.Empty:
		return plain(ink.Dim, r.State)
	case sample.Zombie:
		return plain(ink.Red, r.State)
	}
	return plain(ink.Yellow, r.State)
}

// cpuCell is coloured by how much of what it may have it takes.
func cpuCell(l *list, r *Row, _ int) Line {
	if r.CPU == nil {
		return Line{plain(ink.Dim, unknown)}
	}
	may := float64(max(l.table.Machine.CPUs, 1))
	if r.Quota != nil {
		may = *r.Quota
	}
	st := ink.Plain
	switch share := *r.CPU / 100 / may; {
	case *r.CPU < 0.05:
		st = ink.Dim
	case share >= 0.7:
		st = heat(share)
	}
	return Line{plain(st, percent(*r.CPU))}
}

func trendCell(l *list, r *Row, width int) Line {
	st := ink.Hue
	if r.CPU == nil || *r.CPU < 0.05 {
		st = ink.Dim
	}
	return Line{plain(st, trend(l.history[r.Key].cpu, 1, width))}
}

func throttledCell(r *Row) Span {
	switch {
	case r.Throttled == nil:
		return plain(ink.Dim, unknown)
	case *r.Throttled < 0.05:
		return plain(ink.Dim, "0")
	}
	return plain(heat(0.7+*r.Throttled/250), percent(*r.Throttled)) // any is worth a colour, half is red
}

func memoryCell(r *Row) Span {
	if r.Memory == nil {
		return plain(ink.Dim, unknown)
	}
	s := short(float64(*r.Memory))
	if r.Limit != nil {
		s += "/" + short(float64(*r.Limit))
	}
	return plain(ink.Plain, s)
}

func barCell(l *list, r *Row, width int) Line {
	switch {
	case r.Limit == nil && r.Cgroup == "" || r.Memory == nil: // no group: nobody knows
		return nil
	case r.Limit == nil:
		return Line{plain(ink.Dim, "no limit")}
	}
	b := bar(float64(*r.Memory)/max(float64(*r.Limit), 1), width)
	if r.PodLimit {
		b[0].Ink = ink.Dim // the limit is the pod's, and its bar has the colour
	}
	return b
}

// netCell has numbers where the row has the network, and else says who has them.
func netCell(r *Row, v *float64) Span {
	switch r.Network {
	case NetOwn:
		return rate(v)
	case NetPod, NetHost:
		return plain(ink.Dim, r.Network)
	case "":
		return plain(ink.Dim, unknown)
	}
	return plain(ink.Dim, ink.Cut("="+ink.Safe(r.Network), 6))
}

func pidsCell(r *Row) Span {
	s := count(r.Pids)
	if r.Pids != nil && r.PidsLimit != nil && *r.PidsLimit > 0 {
		if share := float64(*r.Pids) / float64(*r.PidsLimit); share >= 0.7 {
			s.Ink = heat(share)
		}
	}
	return s
}

// pressureCell is the share of ten seconds in which something waited for a CPU, memory
// or a disk.
func pressureCell(r *Row) Span {
	if r.Pressure == nil {
		return plain(ink.Dim, unknown)
	}
	some := some10(r.Pressure)
	st := ink.Plain
	switch top := max(some[0], some[1], some[2]); {
	case top < 0.5:
		st = ink.Dim
	case top >= 10:
		st = heat(0.7 + top/250)
	}
	return plain(st, fmt.Sprintf("%.0f/%.0f/%.0f", some[0], some[1], some[2]))
}

// some10 are the shares of ten seconds by cpu, memory and io.
func some10(p *group.Pressure) (some [3]float64) {
	if p == nil {
		return some
	}
	for i, s := range []*group.Stall{p.CPU, p.Memory, p.IO} {
		if s != nil {
			some[i] = s.Some10
		}
	}
	return some
}

// sharedCell has a letter for each kind that the row shares with containers of its pod
// or, in another colour, with others.
func sharedCell(_ *list, r *Row, _ int) Line {
	return letterLine(r, func(w With) (ink.Style, bool) {
		if w == WithOthers {
			return ink.Yellow, true
		}
		return ink.HueOf(0), w == WithPod
	})
}

// hostsCell has a letter for each kind in which the row is not isolated from the host.
func hostsCell(_ *list, r *Row, _ int) Line {
	return letterLine(r, func(w With) (ink.Style, bool) { return ink.Red, w == WithHost })
}

// letterLine has a letter for each kind that show wants in a style, "?" when nothing is
// known: a dot says that it is not so.
func letterLine(r *Row, show func(With) (ink.Style, bool)) Line {
	if r.Shares == (Shares{}) {
		return Line{plain(ink.Dim, "?")}
	}
	var l Line
	for k, w := range r.Shares {
		st, ok := show(w)
		switch {
		case !ok:
			l = append(l, plain(ink.Dim, "·"))
			continue
		case w == WithHost:
			st = weight(look.Kind(k))
		}
		l = append(l, plain(st, letters[k:k+1]))
	}
	return l
}

// weight is how much it says that a kind is the host's: no engine isolates time, and
// only some users and names.
func weight(k look.Kind) ink.Style {
	switch k {
	case look.Time, look.Cgroup:
		return ink.Dim
	case look.User, look.UTS:
		return ink.Yellow
	}
	return ink.Red
}
