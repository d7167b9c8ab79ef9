package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Module is the import path of this module.
const Module = "carob"

// File is one Go source file.
type File struct {
	// Path is relative to the module's root, with slashes.
	Path  string
	Lines int
	Test  bool
	AST   *ast.File
}

// Imports returns the import paths of the file.
func (f *File) Imports() []string {
	paths := make([]string, 0, len(f.AST.Imports))
	for _, im := range f.AST.Imports {
		if p, err := strconv.Unquote(im.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// Package is one directory of Go files, whatever their build constraints.
type Package struct {
	// Dir is relative to the module's root: "internal/pod".
	Dir   string
	Files []*File
}

// Imports returns what the package's files import, test files left out.
func (p *Package) Imports() []string {
	var paths []string
	for _, f := range p.Files {
		if !f.Test {
			paths = append(paths, f.Imports()...)
		}
	}
	return paths
}

// Tree is the module's source.
type Tree struct {
	Fset     *token.FileSet
	Packages []*Package
}

// Load parses every Go file below root. Directories that the go tool ignores
// (testdata, names that begin with "." or "_") and generated files are left out.
func Load(root string) (*Tree, error) {
	t := &Tree{Fset: token.NewFileSet()}
	byDir := map[string]*Package{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && ignored(d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := t.parse(root, name)
		if f == nil || err != nil {
			return err
		}
		dir := path.Dir(f.Path)
		p := byDir[dir]
		if p == nil {
			p = &Package{Dir: dir}
			byDir[dir] = p
			t.Packages = append(t.Packages, p)
		}
		p.Files = append(p.Files, f)
		return nil
	})
	return t, err
}

func ignored(dir string) bool {
	return dir == "testdata" || dir == "bin" || strings.HasPrefix(dir, ".") || strings.HasPrefix(dir, "_")
}

func (t *Tree) parse(root, name string) (*File, error) {
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	tree, err := parser.ParseFile(t.Fset, rel, src, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	if ast.IsGenerated(tree) {
		return nil, nil
	}
	return &File{
		Path:  filepath.ToSlash(rel),
		Lines: bytes.Count(src, []byte("\n")),
		Test:  strings.HasSuffix(rel, "_test.go"),
		AST:   tree,
	}, nil
}

// Graph is the import graph inside the module: package directory → what it
// imports, as directories for this module's packages and import paths for others.
type Graph map[string][]string

// Graph returns the imports of all packages, test files left out.
func (t *Tree) Graph() Graph {
	g := Graph{}
	for _, p := range t.Packages {
		for _, im := range p.Imports() {
			g[p.Dir] = append(g[p.Dir], strings.TrimPrefix(im, Module+"/"))
		}
	}
	return g
}

// Path returns the shortest chain of imports from one package to one that want
// accepts, or nil.
func (g Graph) Path(from string, want func(string) bool) []string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g[queue[0]] {
			if _, seen := came[next]; seen {
				continue
			}
			came[next] = queue[0]
			if want(next) {
				return chain(came, next)
			}
			queue = append(queue, next)
		}
	}
	return nil
}

func chain(came map[string]string, end string) []string {
	var names []string
	for n := end; n != ""; n = came[n] {
		names = append([]string{n}, names...)
	}
	return names
}
