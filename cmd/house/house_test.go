package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// Each fixture is a tiny tree. A comment "want RULE" in it says that RULE complains about that line;
// nothing else may be complained about.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures (%v)", err)
	}
	caught := map[string]bool{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range check(parse(t, archive)) {
				caught[f.Rule] = true
				got = append(got, place(f.File, f.Line, f.Rule))
				if f.Text == "" {
					t.Errorf("%s: a finding without a text", f)
				}
			}
			want := wanted(archive)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		})
	}
	for _, r := range rules {
		if !caught[r.name] {
			t.Errorf("no fixture shows that rule %q catches anything", r.name)
		}
	}
}

func place(file string, line int, rule string) string {
	return Finding{File: file, Line: line, Rule: rule}.String()
}

// wanted reads the "want RULE" comments. They stand in the line they are about.
func wanted(archive *txtar.Archive) []string {
	var out []string
	for _, f := range archive.Files {
		for i, line := range strings.Split(string(f.Data), "\n") {
			if _, rule, ok := strings.Cut(line, "want "); ok {
				out = append(out, place(f.Name, i+1, strings.TrimRight(rule, " */`")))
			}
		}
	}
	return out
}

// parse makes packages of an archive without a go command: imports that can't be had are empty
// packages, and what doesn't type-check for that stays unknown.
func parse(t *testing.T, archive *txtar.Archive) []*Package {
	t.Helper()
	fset := token.NewFileSet()
	byDir := map[string]*Package{}
	var out []*Package
	for _, f := range archive.Files {
		syntax, err := parser.ParseFile(fset, f.Name, f.Data, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(f.Name)
		p := byDir[dir]
		if p == nil {
			p = &Package{Path: dir, Name: syntax.Name.Name, Fset: fset}
			byDir[dir] = p
			out = append(out, p)
		}
		p.add(f.Name, f.Data, syntax)
	}
	for _, p := range out {
		p.Types = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
		config := types.Config{Importer: stubs{}, Error: func(error) {}}
		var syntax []*ast.File
		for _, f := range p.Files {
			if !f.Test {
				syntax = append(syntax, f.Syntax)
			}
		}
		if _, err := config.Check(p.Path, fset, syntax, p.Types); err != nil {
			t.Logf("%s: %v (fine for a fixture with foreign imports)", p.Path, err)
		}
	}
	return out
}

// stubs imports those parts of the standard library from source whose types matter to a rule, and
// gives empty packages for all else.
type stubs struct{}

var standard = importer.ForCompiler(token.NewFileSet(), "source", nil)

func (stubs) Import(importPath string) (*types.Package, error) {
	if strings.Contains(importPath, ".") || below(importPath, forbidden) && !listed(importPath, harmless) {
		return types.NewPackage(importPath, path.Base(importPath)), nil
	}
	return standard.Import(importPath)
}

func TestRoomOf(t *testing.T) {
	for _, c := range []struct {
		path  string
		floor int
		kind  kind
	}{
		{"events", 0, pure},
		{"events/manifest", 0, pure},
		{"reconcilers/deployment", 2, pure},
		{"reconcilers/run", 3, shell},
		{"node/plan", 2, pure},
		{"dataplane/podnet", 3, shell},
		{"cmd/stave", 4, door},
	} {
		if r, ok := roomOf(c.path); !ok || r.floor != c.floor || r.kind != c.kind {
			t.Errorf("roomOf(%q) = %+v, %v", c.path, r, ok)
		}
	}
	if _, ok := roomOf("drawer"); ok {
		t.Error("a folder that the plan doesn't have got a room")
	}
}

// The real loader, on this very package: what `just lint` does with the whole tree.
func TestLoadFindsThisPackage(t *testing.T) {
	packages, err := load("../..", "./cmd/house")
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) != 1 || packages[0].Path != "cmd/house" {
		t.Fatalf("loaded %d packages", len(packages))
	}
	if len(packages[0].Files) < 6 {
		t.Errorf("%d files", len(packages[0].Files))
	}
	for _, f := range check(packages) {
		t.Error(f)
	}
}
