package group

import (
	"fmt"
	"io"
	"strings"
	"time"

	"carob/internal/look/ink"
)

// TextOptions say how a tree is written.
type TextOptions struct {
	// All shows groups without processes too; otherwise they are counted.
	All bool
	// Full keeps identifiers and command lines as long as they are.
	Full bool
	// Pen writes headings and notes.
	Pen ink.Pen
}

// row is one line of the tree; a process has only the first cell.
type row struct {
	tree  string
	cells [4]string
	group bool
}

// notes is the cell of what deserves a look.
const notes = 3

// columns stand over the cells.
func columns() row {
	return row{tree: "GROUP", cells: [4]string{"MEMORY", "CPU", "TASKS", "NOTES"}, group: true}
}

// Text writes the tree as systemd-cgls does, with use and limits beside the groups.
func (g *Group) Text(w io.Writer, o TextOptions) error {
	p := printer{o: o, rows: []row{columns()}}
	p.group(g, "", "")
	width := [5]int{}
	for _, r := range p.rows {
		if !r.group {
			continue
		}
		width[0] = max(width[0], ink.Width(r.tree))
		for i, c := range r.cells {
			width[i+1] = max(width[i+1], ink.Width(c))
		}
	}
	for n, r := range p.rows {
		line := r.line(width, o.Pen)
		if n == 0 {
			line = o.Pen.Write(ink.Bold, r.line(width, ink.Pen{}))
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	if p.hidden > 0 {
		_, err := fmt.Fprintln(w, ink.Count(p.hidden, "group", "groups")+" without processes not shown (--all)")
		return err
	}
	return nil
}

// line lines a row up. Of a process the tree is all there is.
func (r row) line(width [5]int, pen ink.Pen) string {
	if !r.group {
		return r.tree
	}
	line := ink.Pad(r.tree, width[0])
	for i, c := range r.cells[:notes] {
		line += "  " + ink.Pad(c, width[i+1])
	}
	return line + "  " + pen.Write(ink.Yellow, r.cells[notes])
}

type printer struct {
	o      TextOptions
	rows   []row
	hidden int
}

// group writes a group and what is below it. Lead stands before its name, under before
// all lines below.
func (p *printer) group(g *Group, lead, under string) {
	p.rows = append(p.rows, row{lead + p.name(g, lead == ""), cells(g), true})
	members := p.members(g)
	var shown []*Group
	for _, c := range g.Children {
		if p.o.All || c.populated() {
			shown = append(shown, c)
			continue
		}
		p.hidden += c.size()
	}
	for i, m := range members {
		branch := "├─"
		if i == len(members)-1 && len(shown) == 0 {
			branch = "└─"
		}
		p.rows = append(p.rows, row{tree: under + branch + m})
	}
	for i, c := range shown {
		branch, next := "├─", "│ "
		if i == len(shown)-1 {
			branch, next = "└─", "  "
		}
		p.group(c, under+branch, under+next)
	}
}

// members are the lines of a group's processes; the kernel's threads are counted.
func (p *printer) members(g *Group) []string {
	var out []string
	kernel := 0
	for _, m := range g.Processes {
		if m.Kernel && !p.o.All {
			kernel++
			continue
		}
		out = append(out, fmt.Sprintf("%d %s", m.PID, p.cut(m.Command)))
	}
	if kernel > 0 {
		out = append(out, "("+ink.Count(kernel, "thread", "threads")+" of the kernel)")
	}
	return out
}

func (g *Group) populated() bool {
	if len(g.Processes) > 0 {
		return true
	}
	for _, c := range g.Children {
		if c.populated() {
			return true
		}
	}
	return false
}

func (g *Group) size() int {
	n := 1
	for _, c := range g.Children {
		n += c.size()
	}
	return n
}

func (p *printer) name(g *Group, whole bool) string {
	name := g.Path
	if !whole {
		name = name[strings.LastIndex(name, "/")+1:]
	}
	name = ink.Safe(name)
	switch {
	case g.What == "":
		return name
	case p.o.Full:
		return name + " (" + g.What + ")"
	}
	return g.What
}

// longest is how much of a command line is shown.
const longest = 80

func (p *printer) cut(s string) string {
	s = ink.Safe(s)
	if p.o.Full {
		return s
	}
	return ink.Cut(s, longest)
}

func cells(g *Group) [4]string {
	return [4]string{memoryCell(g.Memory), cpuCell(g.CPU), tasksCell(g.Pids), strings.Join(g.Notes(), ", ")}
}

func memoryCell(m *Memory) string {
	if m == nil {
		return ""
	}
	s := Bytes(float64(m.Usage))
	if m.Limit != nil {
		s += " of " + Bytes(float64(*m.Limit))
	}
	return s
}

func cpuCell(c *CPU) string {
	if c == nil {
		return ""
	}
	s := time.Duration(c.Usage).Round(10 * time.Millisecond).String()
	if c.Quota != nil {
		s += ", at most " + cpus(*c.Quota)
	}
	return s
}

func tasksCell(p *Pids) string {
	switch {
	case p == nil:
		return ""
	case p.Limit == nil:
		return fmt.Sprint(p.Current)
	}
	return fmt.Sprintf("%d of %d", p.Current, *p.Limit)
}

// Notes are what deserves a look: throttling, OOM kills, pressure, refusals.
func (g *Group) Notes() []string {
	var out []string
	if m := g.Memory; m != nil {
		if m.OOMKills > 0 {
			out = append(out, fmt.Sprintf("%d killed for want of memory", m.OOMKills))
		}
		if m.AtLimit > 0 {
			out = append(out, fmt.Sprintf("met its memory limit %d times", m.AtLimit))
		}
		if m.High != nil {
			out = append(out, "slowed above "+Bytes(float64(*m.High)))
		}
	}
	if c := g.CPU; c != nil && c.ThrottledPeriods > 0 && c.Periods > 0 {
		out = append(out, fmt.Sprintf("throttled in %.0f%% of periods, %v in all",
			100*float64(c.ThrottledPeriods)/float64(c.Periods), time.Duration(c.Throttled).Round(time.Millisecond)))
	}
	if g.fewer {
		out = append(out, "on CPUs "+g.Cpuset.EffectiveCPUs)
	}
	if g.Pids != nil && g.Pids.Refused > 0 {
		out = append(out, fmt.Sprintf("%d forks refused", g.Pids.Refused))
	}
	out = append(out, g.Pressure.notes()...)
	if g.Frozen {
		out = append(out, "frozen")
	}
	if len(g.Only) > 0 {
		out = append(out, "only in "+strings.Join(g.Only, ", "))
	}
	return out
}

// notable is the share of waiting in percent from which on pressure is mentioned.
const notable = 1

func (p *Pressure) notes() []string {
	if p == nil {
		return nil
	}
	var out []string
	for _, s := range [...]struct {
		name  string
		stall *Stall
	}{{"CPU", p.CPU}, {"memory", p.Memory}, {"I/O", p.IO}} {
		if s.stall != nil && s.stall.Some10 >= notable {
			out = append(out, fmt.Sprintf("waited for %s %.3g%% of 10s", s.name, s.stall.Some10))
		}
	}
	return out
}
