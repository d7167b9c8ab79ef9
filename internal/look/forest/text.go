package forest

import (
	"fmt"
	"io"
	"strconv"

	"carob/internal/look"
	"carob/internal/look/group"
	"carob/internal/look/ink"
	"carob/internal/look/matrix"
)

// longest is how much of a command line is shown.
const longest = 100

// TextOptions say how a forest is written.
type TextOptions struct {
	Pen ink.Pen
	// Full keeps command lines as long as they are.
	Full bool
}

type printer struct {
	o     TextOptions
	table ink.Table
}

// Text writes the forest as ps auxf does, under headings.
func (f Forest) Text(w io.Writer, o TextOptions) error {
	p := printer{o: o}
	p.table.Head("PID", "INSIDE", "UID", "MEMORY", "COMMAND")
	for _, s := range f.Sections {
		p.section(s, "", "")
	}
	if len(f.Sections) > 0 {
		if err := p.table.Write(w, o.Pen); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintln(w, "No container runs that could be seen here."); err != nil {
		return err
	}
	return f.notes(w)
}

func (f Forest) notes(w io.Writer) error {
	var err error
	line := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format+"\n", args...)
		}
	}
	var hidden []string
	if f.Processes > 0 {
		hidden = append(hidden, ink.Count(f.Processes, "process", "processes")+" of the host")
	}
	if f.Groups > 0 {
		hidden = append(hidden, ink.Count(f.Groups, "group", "groups")+" in namespaces of their own that no engine runs")
	}
	if len(hidden) > 0 {
		line("")
		line("Not shown: %s (--all)", ink.List(hidden))
	}
	matrix.Unread(f.Unread, line)
	return err
}

// section writes a heading and what is below it.
func (p *printer) section(s Section, lead, under string) {
	p.table.Row(ink.Cell{}, ink.Cell{}, ink.Cell{}, ink.Cell{}, ink.Cell{Text: lead + s.title(), Style: ink.Bold})
	n := len(s.Trees) + len(s.Sections)
	at := 0
	branch := func() (string, string) {
		if at++; at == n {
			return under + "└─", under + "  "
		}
		return under + "├─", under + "│ "
	}
	for _, t := range s.Trees {
		head, next := branch()
		p.node(t, head, next)
	}
	for _, sub := range s.Sections {
		head, next := branch()
		p.section(sub, head, next)
	}
}

// title is a heading in words.
func (s Section) title() string {
	switch s.Is {
	case Runtimes:
		return "engines' own processes"
	case Host:
		return "host"
	case look.ThingProcess:
		return "process " + s.Name
	}
	t := s.Is + " " + s.Name
	if s.Is == look.ClassSandbox {
		t = s.Name
	}
	if s.Engine != "" && (s.Is == Pod || len(s.Sections) > 0 || s.Is == look.ClassGroup) {
		t += " (" + s.Engine + ")"
	}
	return t
}

func (p *printer) node(n *Node, lead, under string) {
	inside := ""
	if n.Inside > 0 {
		inside = strconv.Itoa(n.Inside)
	}
	command, style := ink.Safe(n.Command), ink.Plain
	if !p.o.Full {
		command = ink.Cut(command, longest)
	}
	if n.Role != "" {
		command, style = command+"  ["+n.Role+"]", ink.Dim
	}
	if n.State == "Z" {
		command, style = command+"  [has ended, nobody has asked for its exit code]", ink.Red
	}
	p.table.Row(ink.Cell{Text: strconv.Itoa(n.PID)}, ink.Cell{Text: inside, Style: ink.Dim}, ink.Cell{Text: strconv.FormatUint(uint64(n.UID), 10)},
		ink.Cell{Text: group.Bytes(float64(n.Memory))}, ink.Cell{Text: lead + command, Style: style})
	for i, c := range n.Children {
		if i == len(n.Children)-1 {
			p.node(c, under+"└─", under+"  ")
		} else {
			p.node(c, under+"├─", under+"│ ")
		}
	}
}
