package arch

import (
	"go/ast"
	"go/token"
)

// Complexity is McCabe's number of a function body: one, and one more for every
// branch. A function literal inside is a function of its own and not counted.
func Complexity(body *ast.BlockStmt) int {
	n := 1
	walk(body, func(node ast.Node) {
		switch x := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if x.List != nil {
				n++
			}
		case *ast.CommClause:
			if x.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if x.Op == token.LAND || x.Op == token.LOR {
				n++
			}
		}
	})
	return n
}

// walk visits a function body without entering the function literals inside it.
func walk(body *ast.BlockStmt, visit func(ast.Node)) {
	ast.Inspect(body, func(n ast.Node) bool {
		if _, literal := n.(*ast.FuncLit); literal {
			return false
		}
		if n != nil {
			visit(n)
		}
		return true
	})
}

// Nesting is the largest number of if, for, switch and select statements around
// a statement of the body. An else-if is as deep as its if.
func Nesting(body *ast.BlockStmt) int { return deepest(body.List) }

func deepest(list []ast.Stmt) int {
	most := 0
	for _, s := range list {
		most = max(most, depth(s))
	}
	return most
}

func depth(s ast.Stmt) int {
	switch x := s.(type) {
	case *ast.BlockStmt:
		return deepest(x.List)
	case *ast.LabeledStmt:
		return depth(x.Stmt)
	case *ast.IfStmt:
		n := 1 + deepest(x.Body.List)
		switch e := x.Else.(type) {
		case *ast.IfStmt:
			return max(n, depth(e))
		case *ast.BlockStmt:
			return max(n, 1+deepest(e.List))
		}
		return n
	case *ast.ForStmt:
		return 1 + deepest(x.Body.List)
	case *ast.RangeStmt:
		return 1 + deepest(x.Body.List)
	case *ast.SwitchStmt:
		return 1 + clauses(x.Body)
	case *ast.TypeSwitchStmt:
		return 1 + clauses(x.Body)
	case *ast.SelectStmt:
		return 1 + clauses(x.Body)
	}
	return 0
}

func clauses(b *ast.BlockStmt) int {
	most := 0
	for _, s := range b.List {
		switch c := s.(type) {
		case *ast.CaseClause:
			most = max(most, deepest(c.Body))
		case *ast.CommClause:
			most = max(most, deepest(c.Body))
		}
	}
	return most
}

// Parameters counts the parameters of a function, its receiver and a
// context.Context left out.
func Parameters(f *ast.FuncType) int {
	n := 0
	for _, p := range f.Params.List {
		if isContext(p.Type) {
			continue
		}
		n += max(1, len(p.Names))
	}
	return n
}

func isContext(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Context" {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "context"
}

// Receiver returns the name of a method's type, "" for a function.
func Receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
