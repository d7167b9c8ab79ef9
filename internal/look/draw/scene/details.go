package scene

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carob/internal/look"
)

// Details is all that a scene knows of one thing in it.
type Details struct {
	// Key is what was asked for.
	Key   string `json:"key"`
	Is    string `json:"is"`
	Title string `json:"title"`
	// Thing is the word that look.Find finds it by, "" where it is none.
	Thing string `json:"thing,omitempty"`
	Words string `json:"words,omitempty"`
	Rows  []Row  `json:"rows"`
}

// Row is one fact.
type Row struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Key is the key of an outline: that of its first namespace.
func (o Outline) Key() string { return o.Namespaces[0].String() }

// Details finds a thing by its key, false when it is not to be seen.
func (s *Scene) Details(key string) (Details, bool) {
	if n, err := look.ParseNamespace(key); err == nil {
		return s.Root.namespace(n)
	}
	return s.Root.details(key)
}

// cards are all of them, from the outside in.
func (f *Frame) cards() []*Card {
	out := slices.Clone(f.Cards)
	for _, sub := range f.Frames {
		out = append(out, sub.cards()...)
	}
	return out
}

// namespace is one namespace with all that are in it: the host's are in many cards.
func (f *Frame) namespace(n look.Namespace) (Details, bool) {
	d := Details{Key: n.String(), Is: "namespace"}
	for _, c := range f.cards() {
		o, ok := c.outline(n)
		if !ok {
			continue
		}
		if d.Title == "" {
			d.Title = strings.Join(kindWords(o), ", ")
			d.name(o)
		}
		for _, m := range o.Members {
			d.add("in it", c.path(m))
		}
		if o.Host {
			d.Words = "The host is in it, too."
		}
	}
	return d, d.Title != ""
}

// outline is that of a namespace.
func (c *Card) outline(n look.Namespace) (Outline, bool) {
	for _, l := range c.Lanes {
		for _, o := range l.Outlines {
			if slices.Contains(o.Namespaces, n) {
				return o, true
			}
		}
	}
	return Outline{}, false
}

// name writes the namespaces of an outline out.
func (d *Details) name(o Outline) {
	for _, n := range o.Namespaces {
		d.add(n.Kind.String(), n.String())
	}
	d.add("about", o.Detail)
}

// path is the name of a column in its card.
func (c *Card) path(i int) string {
	if c.Is == "pod" {
		return c.Name + "/" + c.Columns[i].Name
	}
	return c.Columns[i].Name
}

func (f *Frame) details(key string) (Details, bool) {
	if key == "cgroup-"+f.Path {
		d := Details{Key: key, Is: "cgroup", Title: f.Path, Rows: rows(f.Meters)}
		for _, c := range f.Cards {
			d.add("holds", c.Is+" "+c.Name)
		}
		for _, sub := range f.Frames {
			d.add("holds", "cgroup "+sub.Label)
		}
		return d, true
	}
	for _, c := range f.Cards {
		if d, ok := c.details(key); ok {
			return d, true
		}
	}
	for _, sub := range f.Frames {
		if d, ok := sub.details(key); ok {
			return d, true
		}
	}
	return Details{}, false
}

func (d *Details) add(name, value string) {
	if value != "" {
		d.Rows = append(d.Rows, Row{name, value})
	}
}

func rows(all []Meter) []Row {
	var out []Row
	for _, m := range all {
		out = append(out, Row{m.Name, m.Text})
	}
	return out
}

func (c *Card) details(key string) (Details, bool) {
	if key == c.Key {
		return c.about(), true
	}
	if c.Group != nil && key == "cgroup-"+c.Group.Path {
		return Details{Key: key, Is: "cgroup", Title: c.Group.Path, Rows: append(rows(c.Group.Meters), Row{"holds", c.Is + " " + c.Name})}, true
	}
	for i := range c.Columns {
		if c.Columns[i].Key == key {
			return c.column(i), true
		}
	}
	return Details{}, false
}

// about is a card as a whole.
func (c *Card) about() Details {
	d := Details{Key: c.Key, Is: c.Is, Title: c.Name, Words: c.Words}
	if c.Is == "pod" {
		d.Thing = "pod:" + c.ID
	}
	d.add("engine", c.Engine)
	d.add("id", c.ID)
	d.add("addresses", strings.Join(c.Addresses, ", "))
	if c.Group != nil {
		d.add("cgroup", c.Group.Path)
		d.Rows = append(d.Rows, rows(c.Group.Meters)...)
	}
	for _, col := range c.Columns {
		d.add(col.Class, col.Name)
	}
	return d
}

// column is one container: what it is, uses, runs, and who else is in its namespaces.
func (c *Card) column(i int) Details {
	col := &c.Columns[i]
	d := Details{Key: col.Key, Is: col.Class, Title: col.Name, Thing: col.ID}
	if d.Thing == "" && len(col.Processes) > 0 {
		d.Thing = strconv.Itoa(col.Processes[0].PID)
	}
	d.add("engine", col.Engine)
	d.add("id", col.ID)
	if c.Is == "pod" {
		d.add("pod", c.Name)
	}
	d.add("cgroup", col.Path)
	d.Rows = append(d.Rows, rows(col.Meters)...)
	for _, l := range c.Lanes {
		for _, o := range l.Outlines {
			for _, n := range c.in(o, i) {
				d.add(n.Kind.String(), fmt.Sprintf("%d, %s", n.Inode, c.company(o, i)))
			}
		}
	}
	for _, p := range col.Processes {
		line := p.Command
		for _, k := range p.Odd {
			line = "(another " + k.String() + ") " + line
		}
		d.add("process "+strconv.Itoa(p.PID), line)
	}
	return d
}

// in are the namespaces of an outline when a column is in it.
func (c *Card) in(o Outline, column int) []look.Namespace {
	for _, m := range o.Members {
		if m == column {
			return o.Namespaces
		}
	}
	return nil
}

// company says who else is in an outline.
func (c *Card) company(o Outline, column int) string {
	var others []string
	for _, m := range o.Members {
		if m != column {
			others = append(others, c.Columns[m].Name)
		}
	}
	switch {
	case o.Host:
		return "the host's"
	case o.Elsewhere > 0:
		others = append(others, quantity(o.Elsewhere, "other elsewhere", "others elsewhere"))
	}
	if len(others) == 0 {
		return "its own"
	}
	return "shared with " + and(others)
}
