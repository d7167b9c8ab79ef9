package manifest

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// section is one type of the table with the path at which a manifest has it.
type section struct {
	path string
	typ  reflect.Type
}

// sections lists the types below Pod that the table goes into, in reading order.
func sections() []section {
	var all []section
	seen := map[reflect.Type]bool{}
	var visit func(path string, t reflect.Type)
	visit = func(path string, t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			if t.Kind() == reflect.Slice {
				path += "[]"
			}
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || decodesItself(t) || seen[t] {
			return
		}
		seen[t] = true
		all = append(all, section{strings.TrimPrefix(path, "."), t})
		for _, f := range fieldList(t) {
			if ruleOf(t, f.name).level == supported {
				visit(path+"."+f.name, f.typ)
			}
		}
	}
	visit("", reflect.TypeFor[corev1.Pod]())
	return all
}

// reachable maps the Go names of those types.
func reachable() map[string]reflect.Type {
	types := map[string]reflect.Type{}
	for _, s := range sections() {
		types[s.typ.Name()] = s.typ
	}
	return types
}

const matrixBegin, matrixEnd = "<!-- fields: begin -->\n", "<!-- fields: end -->\n"

// matrix writes the table of fields as Markdown.
func matrix() string {
	var b strings.Builder
	for _, s := range sections() {
		title := "`" + s.path + "`"
		switch s.path {
		case "":
			title = "The Pod itself"
		case "spec.initContainers[]":
			title = "`spec.initContainers[]` and `spec.containers[]`"
		}
		fmt.Fprintf(&b, "### %s\n\n| field | | |\n| --- | --- | --- |\n", title)
		var never []string
		for _, f := range fieldList(s.typ) {
			r := ruleOf(s.typ, f.name)
			note := r.note
			if len(r.only) > 0 {
				note = strings.TrimSuffix("only `"+strings.Join(r.only, "`, `")+"`: "+r.note, ": ")
				note = strings.ReplaceAll(note, "``", "unset")
			}
			switch {
			case r.level == supported:
				fmt.Fprintf(&b, "| `%s` | yes | %s |\n", f.name, note)
			case r.level == noEffect:
				fmt.Fprintf(&b, "| `%s` | no effect | %s |\n", f.name, note)
			case note != "":
				fmt.Fprintf(&b, "| `%s` | refused | %s |\n", f.name, note)
			default:
				never = append(never, "`"+f.name+"`")
			}
		}
		if len(never) > 0 {
			fmt.Fprintf(&b, "\nRefused: %s.\n", strings.Join(never, ", "))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestMatrix keeps docs/manifest.md true to the table.
func TestMatrix(t *testing.T) {
	const file = "../../../docs/manifest.md"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), matrixBegin)
	_, after, ok2 := strings.Cut(rest, matrixEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	want := before + matrixBegin + "\n" + matrix() + matrixEnd + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("go test ./internal/kube/manifest -update writes it anew:\n%s", diff)
	}
}
