package manifest

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a manifest, for the person who wrote it.
// It is an error.
type Problem struct {
	File   string
	Line   int    // from 1; 0 when it is about the whole file
	Column int    // from 1, in bytes
	Field  string // path as Kubernetes writes it: spec.containers[0].image; "" above any field
	Reason string // what is wrong
	Fix    string // the one change that would help; may be empty
	Kind   bool   // nobody here knows the object's kind: a cluster may
}

// Error is "file:line:column: field: reason (fix)"; parts that are empty are left out.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	return b.String() + ": " + p.What()
}

// What is the problem without its place: "field: reason (fix)".
func (p *Problem) What() string {
	what := p.Reason
	if p.Field != "" {
		what = p.Field + ": " + what
	}
	if p.Fix != "" {
		what += " (" + p.Fix + ")"
	}
	return what
}

// problems collects all that is wrong with one file.
type problems struct {
	file string
	all  []*Problem
}

func (p *problems) add(at position, field, fix, format string, args ...any) {
	p.all = append(p.all, &Problem{File: p.file, Line: at.line, Column: at.column, Field: field,
		Reason: fmt.Sprintf(format, args...), Fix: fix})
}
