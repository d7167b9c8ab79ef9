package compare

import (
	"fmt"
	"io"
	"strings"

	"carob/internal/look/ink"
)

// most is how many members of a set are listed unless all are wanted.
const most = 12

// columns is where lines of words are broken.
const columns = 100

// TextOptions say how a comparison is written.
type TextOptions struct {
	Pen ink.Pen
	// Full lists all members of sets, and what is the same.
	Full bool
}

// Text writes the comparison for people.
func (r Result) Text(w io.Writer, o TextOptions) error {
	var err error
	line := func(s string) {
		if err == nil {
			_, err = fmt.Fprintln(w, s)
		}
	}
	for _, s := range r.Says {
		line(ink.Safe(s))
	}
	if r.A != r.B || o.Full {
		line("")
	}
	if err != nil {
		return err
	}
	if err := r.table(w, o); err != nil {
		return err
	}
	r.sets(line, o)
	r.same(line, o)
	for _, u := range r.Unread {
		line("Could not read " + ink.Safe(u))
	}
	return err
}

func (r Result) table(w io.Writer, o TextOptions) error {
	var t ink.Table
	if r.A == r.B && !o.Full {
		return nil
	}
	t.Head("", r.A.Name, r.B.Name)
	for _, k := range r.Namespaces {
		if k.Same && !o.Full {
			continue
		}
		t.Row(ink.Cell{Text: k.Kind.String() + " namespace", Style: ink.Dim}, cell(k.A), cell(k.B))
	}
	for _, d := range r.Differ {
		if !d.Set {
			t.Row(ink.Cell{Text: d.Name, Style: ink.Dim}, cell(words(d.A)), cell(words(d.B)))
		}
	}
	return t.Write(w, o.Pen)
}

func words(s []string) string {
	if len(s) == 0 {
		return "-"
	}
	return strings.Join(s, "; ")
}

// cell colours what is no isolation.
func cell(s string) ink.Cell {
	if strings.HasPrefix(s, "the host's") || strings.HasPrefix(s, "is the host's") || s == "none" {
		return ink.Cell{Text: s, Style: ink.Yellow}
	}
	return ink.Cell{Text: s}
}

// sets writes what only one side has.
func (r Result) sets(line func(string), o TextOptions) {
	for _, d := range r.Differ {
		if !d.Set {
			continue
		}
		for _, s := range []struct {
			name string
			only []string
		}{{r.A.Name, d.A}, {r.B.Name, d.B}} {
			if len(s.only) == 0 {
				continue
			}
			line("")
			line(o.Pen.Write(ink.Bold, ink.Safe(fmt.Sprintf("%s only in %s (%d)", d.Name, s.name, len(s.only)))))
			if strings.Contains(s.only[0], "/") {
				list(line, s.only, o.Full)
				continue
			}
			for _, l := range ink.Wrap(ink.Safe(strings.Join(s.only, ", ")), columns) {
				line("  " + l)
			}
		}
	}
}

func list(line func(string), all []string, full bool) {
	for i, v := range all {
		if i == most && !full {
			line(fmt.Sprintf("  … and %d more (--all)", len(all)-most))
			return
		}
		if !full {
			v = ink.Short(v)
		}
		line("  " + ink.Safe(v))
	}
}

func (r Result) same(line func(string), o TextOptions) {
	if len(r.Same) == 0 {
		return
	}
	line("")
	if !o.Full {
		var names []string
		for _, s := range r.Same {
			names = append(names, s.Name)
		}
		line("The same in both: " + ink.List(names) + ".")
		return
	}
	line(o.Pen.Write(ink.Bold, "the same in both"))
	for _, s := range r.Same {
		line("  " + s.Name + ": " + ink.Safe(strings.Join(s.A, "; ")))
	}
}
