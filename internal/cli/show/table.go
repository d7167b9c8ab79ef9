// Package show turns what the daemon reports into what a person or a script reads:
// tables, JSON, YAML, names, Go templates, and a view of a container in Docker's
// shape. It is pure: the time is an argument.
package show

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"text/template"
	"unicode"

	"sigs.k8s.io/yaml"

	"carob/internal/fault"
)

// Column is one column of a table of T. Wide ones are shown with -o wide only.
type Column[T any] struct {
	Head string
	Wide bool
	Text func(T) string
}

// Sheet is how a list of T is shown. Row gives what a template sees, Name what -o
// name prints, ID, if there is one, what -q prints in its place.
type Sheet[T any] struct {
	Columns  []Column[T]
	Name, ID func(T) string
	Row      func(T) any
}

// Style is what the user asked for: -o table, wide, json, yaml or name (empty is
// table), a --format template, or -q.
type Style struct {
	Output, Format string
	Quiet          bool
}

// Formats are the values of -o where things are listed.
func Formats() []string { return []string{"table", "wide", "json", "yaml", "name"} }

// Write shows items.
func (s Sheet[T]) Write(w io.Writer, st Style, items []T) error {
	switch {
	case st.Format != "":
		return s.template(w, st.Format, items)
	case st.Quiet || st.Output == "name":
		word := s.Name
		if st.Quiet && s.ID != nil {
			word = s.ID
		}
		for _, it := range items {
			if _, err := fmt.Fprintln(w, word(it)); err != nil {
				return err
			}
		}
		return nil
	case st.Output == "" || st.Output == "table" || st.Output == "wide":
		return s.table(w, st.Output == "wide", items)
	}
	if items == nil {
		items = []T{}
	}
	return Document(w, st.Output, items)
}

func (s Sheet[T]) table(w io.Writer, wide bool, items []T) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	line := func(cell func(Column[T]) string) {
		var cells []string
		for _, c := range s.Columns {
			if wide || !c.Wide {
				cells = append(cells, cell(c))
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t")) // Flush reports what went wrong
	}
	line(func(c Column[T]) string { return c.Head })
	for _, it := range items {
		line(func(c Column[T]) string { return Printable(c.Text(it)) })
	}
	return t.Flush()
}

// Printable keeps what a container chose (a command, a label) from steering the
// terminal or breaking the table.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

func (s Sheet[T]) template(w io.Writer, format string, items []T) error {
	format, table := strings.CutPrefix(format, "table ")
	t, err := Template(format)
	if err != nil {
		return err
	}
	out := w
	if table {
		tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		defer func() { _ = tw.Flush() }() // a broken pipe shows at the next write
		out = tw
		var none T
		if err := Execute(out, t, heads(s.Row(none))); err != nil {
			return err
		}
	}
	for _, it := range items {
		if err := Execute(out, t, s.Row(it)); err != nil {
			return err
		}
	}
	return nil
}

// heads are the names of a row's fields as the heads of a table: "CREATED AT". What is
// no row of fields has none.
func heads(row any) map[string]string {
	all := map[string]string{}
	t := reflect.TypeOf(row)
	if t.Kind() != reflect.Struct {
		return all
	}
	for _, f := range reflect.VisibleFields(t) {
		var head strings.Builder
		for i, r := range f.Name {
			if i > 0 && unicode.IsUpper(r) && unicode.IsLower(rune(f.Name[i-1])) {
				head.WriteByte(' ')
			}
			head.WriteRune(unicode.ToUpper(r))
		}
		all[f.Name] = head.String()
	}
	return all
}

// Template parses a --format with Docker's helpers: json, join, lower, upper, split,
// title, println. "\t" and "\n" as written on a command line are understood.
func Template(format string) (*template.Template, error) {
	format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	t, err := template.New("format").Funcs(template.FuncMap{
		"json":  func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
		"join":  func(v []string, sep string) string { return strings.Join(v, sep) },
		"split": func(s, sep string) []string { return strings.Split(s, sep) },
		"lower": strings.ToLower, "upper": strings.ToUpper,
		"title": func(s string) string {
			if s == "" {
				return s
			}
			return strings.ToUpper(s[:1]) + s[1:]
		},
	}).Parse(format)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "--format", err)
	}
	return t, nil
}

// Value writes one value through a --format; "json" is short for {{json .}}.
func Value(w io.Writer, format string, v any) error {
	if format == "json" {
		format = "{{json .}}"
	}
	t, err := Template(format)
	if err != nil {
		return err
	}
	return Execute(w, t, v)
}

// Execute writes one value and a newline.
func Execute(w io.Writer, t *template.Template, v any) error {
	var b strings.Builder
	if err := t.Execute(&b, v); err != nil {
		return fault.Wrap(fault.Invalid, "--format", err)
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// Document writes v as indented JSON or as YAML.
func Document(w io.Writer, format string, v any) error {
	b, err := json.MarshalIndent(v, "", "    ")
	if err == nil && format == "yaml" {
		b, err = yaml.JSONToYAML(b)
	} else if format != "json" && format != "yaml" {
		return fault.New(fault.Invalid, "-o "+format+": use "+strings.Join(Formats(), ", "))
	}
	if err != nil {
		return fault.Wrap(fault.Internal, "output", err)
	}
	_, err = fmt.Fprintln(w, strings.TrimSuffix(string(b), "\n"))
	return err
}
