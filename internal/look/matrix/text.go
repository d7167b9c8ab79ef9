package matrix

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"carob/internal/look"
	"carob/internal/look/ink"
)

// TextOptions say how a matrix is written.
type TextOptions struct {
	Pen ink.Pen
	// Wide shows the numbers of namespaces instead of labels; All lists the namespaces
	// that no process is in, which are counted otherwise.
	Wide, All bool
}

// printer remembers the first failure of its writer.
type printer struct {
	w   io.Writer
	o   TextOptions
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// Text writes the matrix for people.
func (m Matrix) Text(w io.Writer, o TextOptions) error {
	p := &printer{w: w, o: o}
	if len(m.Rows) == 0 {
		p.line("No container runs that could be seen here.")
	} else {
		p.err = m.table().Write(w, o)
		m.legend(p)
		m.sentences(p)
		m.details(p)
	}
	m.notes(p)
	return p.err
}

// grid is the table before it is known how it is written.
type grid struct{ m Matrix }

func (m Matrix) table() grid { return grid{m} }

// Write writes the table.
func (g grid) Write(w io.Writer, o TextOptions) error {
	var t ink.Table
	head := []string{"NAME", "PID"}
	for _, k := range look.Kinds() {
		head = append(head, k.String())
	}
	t.Head(head...)
	for _, r := range g.m.Rows {
		cells := []ink.Cell{{Text: r.Name}, {Text: pid(r), Style: ink.Dim}}
		for _, k := range look.Kinds() {
			cells = append(cells, r.cell(k, o.Wide))
		}
		t.Row(cells...)
	}
	return t.Write(w, o.Pen)
}

func pid(r Row) string {
	if r.PID == 0 {
		return "-"
	}
	return strconv.Itoa(r.PID)
}

func (r Row) cell(k look.Kind, wide bool) ink.Cell {
	label := r.Cells[k]
	c := ink.Cell{Text: label, Style: style(label)}
	switch {
	case label == "":
		c.Text, c.Style = "-", ink.Dim
	case wide && label == Host:
		c.Text = Host
	case wide && r.NS[k] != 0:
		c.Text = strconv.FormatUint(r.NS[k], 10)
	}
	return c
}

// style gives a letter its colour. What is the host's is no isolation and looks it.
func style(label string) ink.Style {
	switch label {
	case Host:
		return ink.Red
	case Own, Unknown, "":
		return ink.Dim
	}
	n := 0
	for _, r := range label {
		n = n*26 + int(r-'A') + 1
	}
	return ink.HueOf(n - 1)
}

func (m Matrix) legend(p *printer) {
	used := func(label string) bool {
		return slices.ContainsFunc(m.Rows, func(r Row) bool { return slices.Contains(r.Cells[:], label) })
	}
	var parts []string
	shared := slices.ContainsFunc(m.Namespaces, func(n Namespace) bool { return n.Label != Own })
	if shared && !p.o.Wide {
		parts = append(parts, "the same letter in a column: the same namespace")
	}
	if used(Own) && !p.o.Wide {
		parts = append(parts, "own: nobody else is in it")
	}
	if used(Host) {
		parts = append(parts, "host: not isolated")
	}
	if used(Unknown) {
		parts = append(parts, "?: could not be read")
	}
	if len(parts) > 0 {
		p.line("%s", p.o.Pen.Write(ink.Dim, "("+strings.Join(parts, "; ")+")"))
	}
}

// sentences writes the statements, those about one set of rows in one sentence.
func (m Matrix) sentences(p *printer) {
	if slices.ContainsFunc(m.Says, func(s Statement) bool { return s.Says != Unreadable }) {
		p.line("")
	}
	for i := 0; i < len(m.Says); {
		var parts []string
		j := i
		for ; j < len(m.Says) && m.Says[j].set == m.Says[i].set; j++ {
			parts = append(parts, ink.Safe(m.Says[j].Text))
		}
		if m.Says[i].Says == Unreadable { // the cells say it
			i = j
			continue
		}
		about := ink.Safe(m.Says[i].About)
		if about != "" {
			about = p.o.Pen.Write(ink.Bold, about) + ": "
		}
		p.line("%s%s.", about, strings.Join(parts, "; "))
		i = j
	}
}

// details writes where user and pid namespaces stand among others.
func (m Matrix) details(p *printer) {
	for _, k := range []look.Kind{look.User, look.PID} {
		var lines []string
		for _, n := range m.Namespaces {
			if n.Kind == k {
				lines = append(lines, m.lineage(n))
			}
		}
		if len(lines) > 0 {
			p.line("")
			p.line("%s", p.o.Pen.Write(ink.Bold, strings.ToUpper(k.String())+" NAMESPACES"))
			for _, l := range lines {
				p.line("%s", ink.Safe(l))
			}
		}
	}
}

// lineage is one line about a user or pid namespace.
func (m Matrix) lineage(n Namespace) string {
	line := ink.List(n.Rows) + ": " + n.Namespace.String()
	if n.Parent != 0 {
		line += ", below " + m.called(look.Namespace{Kind: n.Kind, Inode: n.Parent})
	}
	if n.Kind == look.PID {
		if n.Owner != 0 {
			line += ", owned by " + m.called(look.Namespace{Kind: look.User, Inode: n.Owner}) + " user namespace"
		}
		return line
	}
	if n.Made {
		line += ", made by user " + strconv.FormatUint(uint64(n.UID), 10)
	}
	if slices.Equal(n.Users, n.Groups) && len(n.Users) > 0 {
		return line + "; users and groups " + Ranges(n.Users)
	}
	if len(n.Users) > 0 {
		line += "; users " + Ranges(n.Users)
	}
	if len(n.Groups) > 0 {
		line += "; groups " + Ranges(n.Groups)
	}
	return line
}

// called is a namespace as people know it.
func (m Matrix) called(n look.Namespace) string {
	if m.Host[n.Kind] == n.Inode {
		return "the host's"
	}
	for _, have := range m.Namespaces {
		if have.Namespace == n {
			return have.Rows[0] + "'s"
		}
	}
	return n.String()
}

// Ranges is an id map in words: "0-65535 are 100000-165535 outside".
func Ranges(all []look.Map) string {
	var parts []string
	for _, m := range all {
		parts = append(parts, span(m.Inside, m.Size)+" "+are(m.Size)+" "+span(m.Outside, m.Size)+" outside")
	}
	return ink.List(parts)
}

func span(first, size uint32) string {
	s := strconv.FormatUint(uint64(first), 10)
	if size > 1 {
		s += "-" + strconv.FormatUint(uint64(first)+uint64(size)-1, 10)
	}
	return s
}

func are(size uint32) string {
	if size == 1 {
		return "is"
	}
	return "are"
}

// notes write what is not shown and what could not be seen.
func (m Matrix) notes(p *printer) {
	if m.Groups > 0 || len(m.Kept) > 0 || len(m.Unread) > 0 || m.Inner {
		p.line("")
	}
	switch {
	case m.Groups > 0:
		p.line("%s", ink.Count(m.Groups, "group of processes that no engine runs is", "groups of processes that no engine runs are")+
			" in namespaces of their own (--all)")
	}
	switch {
	case len(m.Kept) > 0 && p.o.All:
		m.kept(p)
	case len(m.Kept) > 0:
		p.line("%s", ink.Count(len(m.Kept), "namespace has", "namespaces have")+" no process and live by a mount or an open file (--all)")
	}
	if m.Inner {
		p.line("This is seen from inside of a container: of the machine nothing else is to be seen.")
	}
	Unread(m.Unread, p.line)
}

func (m Matrix) kept(p *printer) {
	head := "NAMESPACES WITHOUT A PROCESS"
	if slices.ContainsFunc(m.Unread, func(u look.Unread) bool { return u.What == "namespaces" }) {
		head += " that could be seen"
	}
	p.line("%s", p.o.Pen.Write(ink.Bold, head))
	for _, k := range m.Kept {
		p.line("%s", ink.Safe(k.Namespace.String()+" lives by "+ink.List(holders(k))))
	}
}

// holders are what a namespace without a process lives by, in words.
func holders(k look.Kept) []string {
	var by []string
	for _, h := range k.Mounts {
		by = append(by, "the mount "+h.Path+" seen by process "+strconv.Itoa(h.PID))
	}
	for _, h := range k.Files {
		by = append(by, "/proc/"+strconv.Itoa(h.PID)+"/"+h.Path)
	}
	for same := range byProcess(k.Threads) {
		where := "/proc/" + strconv.Itoa(same[0].PID) + "/" + same[0].Path
		if len(same) > 1 {
			where += " and others"
		}
		by = append(by, ink.Count(len(same), "thread", "threads")+" of process "+strconv.Itoa(same[0].PID)+" ("+where+")")
	}
	for _, pid := range k.Children {
		by = append(by, "process "+strconv.Itoa(pid)+", whose children will be in it")
	}
	return by
}

// byProcess are runs of places of one process.
func byProcess(all []look.Held) iter.Seq[[]look.Held] {
	return func(yield func([]look.Held) bool) {
		for len(all) > 0 {
			n := 1
			for n < len(all) && all[n].PID == all[0].PID {
				n++
			}
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// Unread writes what could not be read.
func Unread(all []look.Unread, line func(format string, args ...any)) {
	for _, u := range all {
		text := u.What + " of " + ink.Count(u.Count, "process", "processes")
		if strings.HasPrefix(u.What, "names in ") {
			text = u.What
		}
		line("Could not read %s: %s", ink.Safe(text), ink.Safe(u.Why))
	}
}
