package main

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

const (
	maxFileLines     = 400
	maxFunctionLines = 60
)

func sizes(p *Package) []Finding {
	var found []Finding
	for _, f := range p.code() {
		if n := bytes.Count(f.Source, []byte("\n")); n > maxFileLines {
			found = append(found, p.finding(f, f.Syntax, "%d lines in a file, %d at most: is this one room, or several?", n, maxFileLines))
		}
		for _, d := range f.Syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := p.Fset.Position(fn.End()).Line - p.line(fn) + 1; n > maxFunctionLines {
				found = append(found, p.finding(f, fn, "function %s has %d lines, %d at most", fn.Name.Name, n, maxFunctionLines))
			}
		}
	}
	return found
}

// docs wants a comment on each package and each exported name. A group of constants or variables may
// share one; a name in a group may have its comment behind it.
func docs(p *Package) []Finding {
	var found []Finding
	code := p.code()
	if len(code) > 0 && !slices.ContainsFunc(code, func(f *File) bool { return f.Syntax.Doc != nil }) {
		found = append(found, p.finding(code[0], code[0].Syntax.Name, "package %s has no doc comment", p.Name))
	}
	for _, f := range code {
		for _, d := range f.Syntax.Decls {
			for _, id := range undocumented(d) {
				found = append(found, p.finding(f, id, "exported %s has no doc comment", id.Name))
			}
		}
	}
	return found
}

// undocumented are the exported names that a declaration introduces without a comment.
func undocumented(d ast.Decl) []*ast.Ident {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || receiverExported(d.Recv)) {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT || d.Doc != nil {
			return nil
		}
		var out []*ast.Ident
		for _, spec := range d.Specs {
			out = append(out, undocumentedSpec(spec)...)
		}
		return out
	}
	return nil
}

func undocumentedSpec(spec ast.Spec) []*ast.Ident {
	var out []*ast.Ident
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil {
			out = append(out, s.Name)
		}
	case *ast.ValueSpec:
		for _, id := range s.Names {
			if id.IsExported() && s.Doc == nil && s.Comment == nil {
				out = append(out, id)
			}
		}
	}
	return out
}

func receiverExported(recv *ast.FieldList) bool {
	t := recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// drawers are package names under which anything may be put; vague are ends of type names that say nothing.
var (
	drawers = []string{"util", "utils", "common", "helper", "helpers", "types", "pkg", "misc", "base"}
	vague   = []string{"Manager", "Handler", "Info"}
)

func names(p *Package) []Finding {
	var found []Finding
	if len(p.Files) > 0 && slices.Contains(drawers, p.Name) {
		found = append(found, p.finding(p.Files[0], p.Files[0].Syntax.Name, "package %s says nothing: name it by what it is about", p.Name))
	}
	for _, f := range p.code() {
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			for _, end := range vague {
				if strings.HasSuffix(spec.Name.Name, end) {
					found = append(found, p.finding(f, spec, "type %s: %q says nothing; name it by what it does or holds", spec.Name.Name, end))
				}
			}
			return true
		})
	}
	return found
}

func formatted(p *Package) []Finding {
	var found []Finding
	for _, f := range p.Files {
		if f.Generated {
			continue
		}
		want, err := format.Source(f.Source)
		if err != nil || bytes.Equal(want, f.Source) {
			continue // what doesn't parse never got here
		}
		found = append(found, Finding{File: f.Name, Line: firstDifference(f.Source, want), Text: "not formatted: gofmt -w"})
	}
	return found
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return 1 + bytes.Count(a[:i], []byte("\n"))
		}
	}
	return 1 + bytes.Count(a[:min(len(a), len(b))], []byte("\n"))
}

// marks is put together so that it doesn't find itself.
var marks = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)

func unfinished(p *Package) []Finding {
	var found []Finding
	for _, f := range p.Files {
		for _, group := range f.Syntax.Comments {
			for _, c := range group.List {
				if mark := marks.FindString(c.Text); mark != "" {
					found = append(found, p.finding(f, c, "%s: finish it, or write an issue", mark))
				}
			}
		}
	}
	return found
}
