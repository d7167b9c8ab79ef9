package arch

import (
	"go/ast"
	"go/token"
	"strings"
)

// constructors make values that nothing changes afterwards.
var constructors = map[string]bool{
	"errors.New": true, "fault.New": true, "fmt.Errorf": true,
	"regexp.MustCompile": true, "strings.NewReplacer": true, "template.Must": true,
	"netip.MustParseAddr": true, "netip.MustParsePrefix": true,
}

// MutableVars returns the names of package-level variables that are more than
// named values. A variable is a value when it is the blank identifier, or
// embedded, or initialised where it is declared with a literal or by one of the
// constructors above, and nothing in the package assigns to it, to an element or
// field of it, or takes its address. What is written through a copy of a map or a
// method is not seen.
func MutableVars(p *Package) map[string]token.Pos {
	found := map[string]token.Pos{}
	values := map[string]token.Pos{}
	for _, f := range p.Files {
		if f.Test {
			continue
		}
		for _, d := range f.AST.Decls {
			classify(d, values, found)
		}
	}
	for _, f := range p.Files {
		if !f.Test {
			written(f.AST, values, found)
		}
	}
	return found
}

// classify puts the names of a var declaration among the values or the mutable.
func classify(d ast.Decl, values, found map[string]token.Pos) {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.VAR || embedded(g.Doc) {
		return
	}
	for _, s := range g.Specs {
		v := s.(*ast.ValueSpec)
		for i, name := range v.Names {
			switch {
			case name.Name == "_" || embedded(v.Doc):
			case i < len(v.Values) && isValue(v.Values[i]):
				values[name.Name] = name.Pos()
			default:
				found[name.Name] = name.Pos()
			}
		}
	}
}

func embedded(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// isValue accepts literals, operators over them, names and the constructors. A
// composite literal of a type from sync or sync/atomic is state, not a value.
func isValue(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.BasicLit, *ast.Ident, *ast.SelectorExpr, *ast.FuncLit:
		return true
	case *ast.BinaryExpr:
		return isValue(x.X) && isValue(x.Y)
	case *ast.UnaryExpr:
		return isValue(x.X)
	case *ast.ParenExpr:
		return isValue(x.X)
	case *ast.CompositeLit:
		return !strings.HasPrefix(dotted(x.Type), "sync.") && !strings.HasPrefix(dotted(x.Type), "atomic.")
	case *ast.CallExpr:
		if _, conversion := x.Fun.(*ast.ArrayType); conversion {
			return true
		}
		return constructors[dotted(x.Fun)]
	}
	return false
}

func dotted(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return dotted(x.X) + "." + x.Sel.Name
	}
	return ""
}

// written moves the values that the file writes to over to the mutable ones. A
// local variable of the same name is told apart by the parser's resolution.
func written(file *ast.File, values, found map[string]token.Pos) {
	mark := func(e ast.Expr) {
		id := root(e)
		if id == nil {
			return
		}
		pos, ok := values[id.Name]
		if ok && (id.Obj == nil || id.Obj.Pos() == pos) { // nil: declared in another file
			found[id.Name] = pos
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			if x.Tok == token.DEFINE {
				break
			}
			for _, l := range x.Lhs {
				mark(l)
			}
		case *ast.IncDecStmt:
			mark(x.X)
		case *ast.UnaryExpr:
			if x.Op == token.AND {
				mark(x.X)
			}
		case *ast.CallExpr:
			if len(x.Args) > 0 && (dotted(x.Fun) == "delete" || dotted(x.Fun) == "clear") {
				mark(x.Args[0])
			}
		}
		return true
	})
}

func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		default:
			return nil
		}
	}
}
