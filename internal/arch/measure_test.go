package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMeasures(t *testing.T) {
	type measured struct{ Parameters, Complexity, Nesting int }
	for name, c := range map[string]struct {
		src  string
		want measured
	}{
		"empty":         {"func f() {}", measured{0, 1, 0}},
		"context":       {"func f(ctx context.Context, a, b int, c string) {}", measured{3, 1, 0}},
		"unnamed":       {"func f(int, string) {}", measured{2, 1, 0}},
		"else-if":       {"func f() { if a && b {} else if c {} else { for {} } }", measured{0, 5, 2}},
		"switch":        {"func f() { switch x { case 1: if y {}; case 2: default: } }", measured{0, 4, 2}},
		"select":        {"func f() { select { case <-a: default: } }", measured{0, 2, 1}},
		"literal apart": {"func f() { g(func() { if a { for {} } }) }", measured{0, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parser.ParseFile(token.NewFileSet(), "f.go", "package p\n"+c.src, 0)
			if err != nil {
				t.Fatal(err)
			}
			d := f.Decls[0].(*ast.FuncDecl)
			got := measured{Parameters(d.Type), Complexity(d.Body), Nesting(d.Body)}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMutableVars(t *testing.T) {
	for name, c := range map[string]struct {
		src  string
		want bool
	}{
		"error":             {`var v = errors.New("x")`, false},
		"table":             {`var v = map[string]int{"a": 1}`, false},
		"assertion":         {`var _ I = (*T)(nil)`, false},
		"embedded":          {"//go:embed f\nvar v []byte", false},
		"no value":          {`var v int`, true},
		"mutex":             {`var v = sync.Mutex{}`, true},
		"pointer to state":  {`var v = &sync.Mutex{}`, true},
		"call":              {`var v = os.Getenv("HOME")`, true},
		"assigned":          {"var v = 1\nfunc f() { v = 2 }", true},
		"element assigned":  {"var v = map[string]int{}\nfunc f() { v[\"a\"] = 2 }", true},
		"address taken":     {"var v = 1\nfunc f() { g(&v) }", true},
		"deleted from":      {"var v = map[string]int{}\nfunc f() { delete(v, \"a\") }", true},
		"local of the name": {"var v = 1\nfunc f() { v := 2; v = 3; _ = v }", false},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parser.ParseFile(token.NewFileSet(), "f.go", "package p\n"+c.src, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			_, got := MutableVars(&Package{Files: []*File{{AST: f}}})["v"]
			if got != c.want {
				t.Errorf("mutable %v, want %v", got, c.want)
			}
		})
	}
}

func TestParseException(t *testing.T) {
	got, err := parseException("methods internal/pod.Engine = 48: a reason long enough")
	want := Exception{Rule: "methods", Subject: "internal/pod.Engine", Figure: 48, Reason: "a reason long enough"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"init a.go", "init a.go: short", "init: no subject at all", "methods a = many: a reason long enough"} {
		if e, err := parseException(bad); err == nil {
			t.Errorf("%q is accepted as %+v", bad, e)
		}
	}
}
