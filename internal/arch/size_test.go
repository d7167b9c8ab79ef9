package arch

import (
	"go/ast"
	"go/token"
	"testing"
)

// The limits are the 95th percentile of code worth reading. What meets one is
// split by decision, not by line.
const (
	maxFile       = 500
	maxFunction   = 60
	maxParameters = 4
	maxComplexity = 12
	maxNesting    = 3
	maxMethods    = 20
	maxPackage    = 3000
)

func TestFileSize(t *testing.T) {
	var found []finding
	for _, p := range source(t).Packages {
		for _, f := range p.Files {
			found = limit(found, f.Path, "lines", f.Lines, maxFile)
		}
	}
	report(t, "file", found)
}

func TestPackageSize(t *testing.T) {
	var found []finding
	for _, p := range source(t).Packages {
		n := 0
		for _, f := range p.Files {
			if !f.Test {
				n += f.Lines
			}
		}
		found = limit(found, p.Dir, "lines without tests", n, maxPackage)
	}
	report(t, "package", found)
}

// eachFunction visits every function declaration outside tests.
func eachFunction(tree *Tree, visit func(subject string, d *ast.FuncDecl)) {
	for _, p := range tree.Packages {
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for _, decl := range f.AST.Decls {
				if d, ok := decl.(*ast.FuncDecl); ok && d.Body != nil {
					visit(subject(p, d), d)
				}
			}
		}
	}
}

func subject(p *Package, d *ast.FuncDecl) string {
	if r := Receiver(d); r != "" {
		return p.Dir + "." + r + "." + d.Name.Name
	}
	return p.Dir + "." + d.Name.Name
}

func TestFunctions(t *testing.T) {
	tree := source(t)
	line := func(p token.Pos) int { return tree.Fset.Position(p).Line }
	var long, wide, branchy, deep []finding
	eachFunction(tree, func(name string, d *ast.FuncDecl) {
		long = limit(long, name, "lines", line(d.End())-line(d.Pos())+1, maxFunction)
		wide = limit(wide, name, "parameters", Parameters(d.Type), maxParameters)
		branchy = limit(branchy, name, "branches", Complexity(d.Body), maxComplexity)
		deep = limit(deep, name, "levels of nesting", Nesting(d.Body), maxNesting)
	})
	for rule, found := range map[string][]finding{"function": long, "parameters": wide, "complexity": branchy, "nesting": deep} {
		t.Run(rule, func(t *testing.T) { report(t, rule, found) })
	}
}

func TestMethods(t *testing.T) {
	count := map[string]int{}
	tree := source(t)
	for _, p := range tree.Packages {
		for _, f := range p.Files {
			for _, decl := range f.AST.Decls {
				if d, ok := decl.(*ast.FuncDecl); ok && !f.Test && Receiver(d) != "" {
					count[p.Dir+"."+Receiver(d)]++
				}
			}
		}
	}
	var found []finding
	for name, n := range count {
		found = limit(found, name, "methods", n, maxMethods)
	}
	report(t, "methods", found)
}
