package arch

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPackageComments wants exactly one comment per package: none leaves the
// reader alone, two contradict each other sooner or later.
func TestPackageComments(t *testing.T) {
	var found []finding
	for _, p := range source(t).Packages {
		onlyTests := !slices.ContainsFunc(p.Files, func(f *File) bool { return !f.Test })
		n := 0
		for _, f := range p.Files {
			if f.AST.Doc != nil && (onlyTests || !f.Test) {
				n++
			}
		}
		if n != 1 {
			found = append(found, finding{subject: p.Dir, text: fmt.Sprintf("%d package comments, want exactly one", n)})
		}
	}
	report(t, "comment", found)
}

// TestPackageNames wants names that say what is inside.
func TestPackageNames(t *testing.T) {
	banned := []string{"util", "utils", "common", "helper", "helpers", "types", "base", "manager", "pkg", "v1", "misc", "lib", "shared"}
	var found []finding
	for _, p := range source(t).Packages {
		name := p.Files[0].AST.Name.Name
		if slices.Contains(banned, name) {
			found = append(found, finding{subject: p.Dir, text: "says nothing about what is inside"})
		}
	}
	report(t, "name", found)
}

// TestExportedNamesAreDocumented wants a comment on every exported name outside
// package main; a comment on a group of constants or variables covers the group.
func TestExportedNamesAreDocumented(t *testing.T) {
	var found []finding
	for _, p := range source(t).Packages {
		for _, f := range p.Files {
			if f.Test || f.AST.Name.Name == "main" {
				continue
			}
			for _, d := range f.AST.Decls {
				for _, name := range undocumented(d) {
					found = append(found, finding{subject: p.Dir + "." + name, text: "is exported and has no comment"})
				}
			}
		}
	}
	report(t, "doc", found)
}

func undocumented(d ast.Decl) []string {
	switch x := d.(type) {
	case *ast.FuncDecl:
		r := Receiver(x)
		if x.Doc != nil || !x.Name.IsExported() || (r != "" && !ast.IsExported(r)) {
			return nil
		}
		return []string{strings.TrimPrefix(r+"."+x.Name.Name, ".")}
	case *ast.GenDecl:
		var names []string
		for _, s := range x.Specs {
			names = append(names, undocumentedSpec(x, s)...)
		}
		return names
	}
	return nil
}

func undocumentedSpec(g *ast.GenDecl, s ast.Spec) []string {
	var names []string
	switch x := s.(type) {
	case *ast.TypeSpec:
		if x.Name.IsExported() && x.Doc == nil && (g.Doc == nil || len(g.Specs) > 1) {
			names = append(names, x.Name.Name)
		}
	case *ast.ValueSpec:
		if g.Doc != nil || x.Doc != nil || x.Comment != nil {
			return nil
		}
		for _, n := range x.Names {
			if n.IsExported() {
				names = append(names, n.Name)
			}
		}
	}
	return names
}

// TestNoLooseEnds refuses notes to oneself that nobody is reminded of.
func TestNoLooseEnds(t *testing.T) {
	note := regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	numbered := regexp.MustCompile(`(TODO|FIXME|XXX)\((#|issue )\d+\)`)
	tree := source(t)
	var found []finding
	for _, p := range tree.Packages {
		if roomOf(p.Dir) == "arch" { // names the words
			continue
		}
		for _, f := range p.Files {
			for _, c := range f.AST.Comments {
				if text := c.Text(); note.MatchString(text) && !numbered.MatchString(text) {
					at := tree.Fset.Position(c.Pos())
					found = append(found, finding{subject: fmt.Sprintf("%s:%d", at.Filename, at.Line), text: "a note without the number of an issue"})
				}
			}
		}
	}
	report(t, "todo", found)
}

// TestNoInit refuses work that happens because a package is linked.
func TestNoInit(t *testing.T) {
	var found []finding
	for _, p := range source(t).Packages {
		for _, f := range p.Files {
			for _, decl := range f.AST.Decls {
				if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
					found = append(found, finding{subject: f.Path, text: "has an init function"})
				}
			}
		}
	}
	report(t, "init", found)
}

func TestNoMutableVariables(t *testing.T) {
	tree := source(t)
	var found []finding
	for _, p := range tree.Packages {
		for name, pos := range MutableVars(p) {
			if p.Files[0].AST.Name.Name == "main" && name == "version" {
				continue // set by the linker
			}
			at := tree.Fset.Position(pos)
			found = append(found, finding{
				subject: p.Dir + "." + name,
				text:    fmt.Sprintf("%s:%d: a variable of the package that can change", at.Filename, at.Line),
			})
		}
	}
	report(t, "mutable", found)
}
