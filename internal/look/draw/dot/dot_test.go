package dot

import (
	"strings"
	"testing"

	"carob/internal/look"
	"carob/internal/look/draw/scene"
)

// unquote reads a string as Graphviz does (its scanner): \" is a quote, and so that no
// other escape is left, every backslash must be one of a pair or before a quote or n.
func unquote(t *testing.T, s string) string {
	t.Helper()
	body, ok := strings.CutPrefix(s, `"`)
	body, also := strings.CutSuffix(body, `"`)
	if !ok || !also {
		t.Fatalf("%s is not quoted", s)
	}
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		switch {
		case body[i] == '"':
			t.Fatalf("%s ends early", s)
		case body[i] != '\\':
			b.WriteByte(body[i])
		case i+1 < len(body) && strings.ContainsRune(`"\n`, rune(body[i+1])):
			i++
			b.WriteString(map[byte]string{'"': `"`, '\\': `\`, 'n': "\n"}[body[i]])
		default:
			t.Fatalf("%s has an escape that is read", s)
		}
	}
	return b.String()
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"plain", `"];x[label="`, `\G\N\l`, `\`, "two\nlines", "<b>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := unquote(t, quote(s))
		want := strings.Map(func(r rune) rune {
			if r < ' ' && r != '\n' {
				return '?'
			}
			return r
		}, s)
		if got != want {
			t.Errorf("%q comes back as %q", s, got)
		}
	})
}

// TestWrite: who shares a namespace has an edge to it, who does not has none.
func TestWrite(t *testing.T) {
	card := &scene.Card{Is: "pod", Name: "p", Group: &scene.Frame{Label: "g"}, Outside: 1, Columns: []scene.Column{{Name: "s"}, {Name: "a"}, {Name: "b"}}}
	card.Lanes = []scene.Lane{
		{Outlines: []scene.Outline{{Namespaces: []look.Namespace{{Kind: look.Net, Inode: 70}}, Members: []int{0, 2}}, {Namespaces: []look.Namespace{{Kind: look.Net, Inode: 71}}, Members: []int{1}}}},
		{Outlines: []scene.Outline{{Namespaces: []look.Namespace{{Kind: look.User, Inode: 6}}, Members: []int{0, 1, 2}, Host: true}}},
	}
	var b strings.Builder
	if err := Write(&b, &scene.Scene{Title: "t", Root: &scene.Frame{Label: "/", Cards: []*scene.Card{card}}}); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	edges := map[string]int{}
	for line := range strings.Lines(out) {
		if _, rest, ok := strings.Cut(line, " -- "); ok {
			node, style, _ := strings.Cut(rest, " ")
			if strings.Contains(style, "dashed") {
				node += " host"
			}
			edges[node]++
		}
	}
	for node, want := range map[string]int{"c1": 1, "c2": 0, "c3": 1, "c1 host": 1, "c2 host": 1, "c3 host": 1} {
		if edges[node] != want {
			t.Errorf("%s has %d edges, want %d:\n%s", node, edges[node], want, out)
		}
	}
	if !strings.Contains(out, `own: net:[71]`) || strings.Count(out, "subgraph") != 3 || strings.Count(out, "{") != strings.Count(out, "}") {
		t.Errorf("got\n%s", out)
	}
}
