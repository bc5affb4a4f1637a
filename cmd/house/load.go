package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"
)

// module is the path that our own imports begin with.
const module = "github.com/stave-run/stave"

// Package is what the rules look at.
type Package struct {
	Path  string // relative to the module: "events/manifest"; "." for the root
	Name  string
	Fset  *token.FileSet
	Files []*File
	Types *types.Info // of the files that aren't tests
}

// File is one source file.
type File struct {
	Name      string // relative to the module's root
	Source    []byte
	Syntax    *ast.File
	Test      bool
	Generated bool
}

// line is where a node stands.
func (p *Package) line(n ast.Node) int { return p.Fset.Position(n.Pos()).Line }

// finding puts a node and a text together.
func (p *Package) finding(f *File, n ast.Node, format string, args ...any) Finding {
	return Finding{File: f.Name, Line: p.line(n), Text: fmt.Sprintf(format, args...)}
}

// code are the files that make up the program: written by people and not tests.
func (p *Package) code() []*File {
	var out []*File
	for _, f := range p.Files {
		if !f.Test && !f.Generated {
			out = append(out, f)
		}
	}
	return out
}

// load parses and type-checks the packages that match, in the module at dir; what they import comes compiled from the
// build cache. It fails on code that doesn't compile: the findings would be guesses.
func load(dir string, patterns ...string) ([]*Package, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find module: %w", err)
	}
	fset := token.NewFileSet()
	loaded, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax, Dir: root, Fset: fset}, patterns...)
	if err != nil {
		return nil, fmt.Errorf("load packages: %w", err)
	}
	var out []*Package
	for _, l := range loaded {
		if len(l.Errors) > 0 {
			return nil, fmt.Errorf("load package %s: %w", l.PkgPath, l.Errors[0])
		}
		p := &Package{Path: relative(l.PkgPath), Name: l.Name, Fset: fset, Types: l.TypesInfo}
		for i, syntax := range l.Syntax {
			if err := p.addFile(root, l.CompiledGoFiles[i], syntax); err != nil {
				return nil, err
			}
		}
		if err := p.addTests(root, filepath.Join(root, p.Path)); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// relative is an import path as seen from our module's root.
func relative(importPath string) string {
	return path.Clean("./" + strings.TrimPrefix(importPath, module))
}

func (p *Package) addFile(root, file string, syntax *ast.File) error {
	source, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read source: %w", err)
	}
	name, err := filepath.Rel(root, file)
	if err != nil {
		return fmt.Errorf("name source: %w", err)
	}
	p.add(name, source, syntax)
	return nil
}

func (p *Package) add(name string, source []byte, syntax *ast.File) {
	p.Files = append(p.Files, &File{
		Name: name, Source: source, Syntax: syntax,
		Test: strings.HasSuffix(name, "_test.go"), Generated: ast.IsGenerated(syntax),
	})
}

// addTests parses the tests beside a package, for the rules that are about text.
func (p *Package) addTests(root, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return fmt.Errorf("list tests: %w", err)
	}
	for _, file := range files {
		syntax, err := parser.ParseFile(p.Fset, file, nil, parser.ParseComments)
		if err != nil {
			return fmt.Errorf("parse test: %w", err)
		}
		if err := p.addFile(root, file, syntax); err != nil {
			return err
		}
	}
	return nil
}
