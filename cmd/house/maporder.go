package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// sortedMark justifies a loop over a map whose order provably can't show; the reason stands behind it.
const sortedMark = "//stave:sorted"

// mapOrder finds loops over maps in pure packages. Three forms are seen to be harmless: bodies that
// only write to another map, count, or answer with a constant; keys gathered and then sorted; and a
// line (or the one above) that says //stave:sorted and why.
func mapOrder(p *Package) []Finding {
	if !p.pure() {
		return nil
	}
	var found []Finding
	for _, f := range p.code() {
		justified := justifiedLines(p, f)
		report := func(n ast.Node, what string) {
			if at := p.line(n); !justified[at] && !justified[at-1] {
				found = append(found, p.finding(f, n, "%s in the order of a map: sort the keys first, or say %s and why", what, sortedMark))
			}
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BlockStmt:
				p.rangesIn(n.List, report)
			case *ast.CaseClause:
				p.rangesIn(n.Body, report)
			case *ast.CallExpr:
				p.iterator(n, report)
			}
			return !p.sorts(n)
		})
	}
	return found
}

func justifiedLines(p *Package, f *File) map[int]bool {
	lines := map[int]bool{}
	for _, group := range f.Syntax.Comments {
		for _, c := range group.List {
			if reason, ok := strings.CutPrefix(c.Text, sortedMark); ok && strings.TrimSpace(reason) != "" {
				lines[p.line(c)] = true
			}
		}
	}
	return lines
}

// rangesIn looks at the loops of one block; what follows a loop there may sort what it gathered.
func (p *Package) rangesIn(list []ast.Stmt, report func(ast.Node, string)) {
	for i, s := range list {
		loop, ok := s.(*ast.RangeStmt)
		if !ok || !p.isMap(loop.X) {
			continue
		}
		key, _ := loop.Key.(*ast.Ident)
		c := commuting{p: p, key: key, rest: list[i+1:]}
		if !c.all(loop.Body.List) {
			report(loop, "loop")
		}
	}
}

func (p *Package) isMap(x ast.Expr) bool {
	t := p.Types.TypeOf(x)
	if t == nil {
		return false
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

// iterator finds maps.Keys, Values and All; mapOrder doesn't look inside calls that sort.
func (p *Package) iterator(call *ast.CallExpr, report func(ast.Node, string)) {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || p.imported(s) != "maps" {
		return
	}
	switch s.Sel.Name {
	case "Keys", "Values", "All":
		report(call, types.ExprString(s))
	}
}

// sorts says whether a node is a call like slices.Sorted(…), which no order gets through.
func (p *Package) sorts(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from := p.imported(s)
	return from == "slices" && strings.HasPrefix(s.Sel.Name, "Sort") || from == "sort"
}

// commuting recognises loop bodies that give the same result in any order.
type commuting struct {
	p    *Package
	key  *ast.Ident // the loop's key
	rest []ast.Stmt // what follows the loop
}

func (c commuting) all(list []ast.Stmt) bool {
	for _, s := range list {
		if !c.one(s) {
			return false
		}
	}
	return true
}

func (c commuting) one(s ast.Stmt) bool {
	switch s := s.(type) {
	case *ast.AssignStmt:
		return c.assign(s)
	case *ast.IncDecStmt:
		return true
	case *ast.BranchStmt:
		return s.Tok == token.CONTINUE
	case *ast.BlockStmt:
		return c.all(s.List)
	case *ast.IfStmt:
		return (s.Init == nil || c.one(s.Init)) && c.all(s.Body.List) && (s.Else == nil || c.one(s.Else))
	case *ast.ReturnStmt:
		return constants(s.Results)
	case *ast.ExprStmt:
		call, ok := s.X.(*ast.CallExpr)
		if !ok {
			return false
		}
		id, ok := call.Fun.(*ast.Ident)
		return ok && id.Name == "delete" && c.p.builtin(id)
	}
	return false
}

// assign allows new names, other[key] = …, whole numbers added up, and gathering what is sorted later.
func (c commuting) assign(s *ast.AssignStmt) bool {
	switch s.Tok {
	case token.DEFINE:
		return true
	case token.ADD_ASSIGN, token.SUB_ASSIGN, token.OR_ASSIGN, token.AND_ASSIGN, token.XOR_ASSIGN:
		basic, ok := c.p.Types.TypeOf(s.Lhs[0]).Underlying().(*types.Basic)
		return ok && basic.Info()&types.IsInteger != 0
	}
	if len(s.Lhs) != 1 {
		return false
	}
	switch left := s.Lhs[0].(type) {
	case *ast.IndexExpr:
		return c.p.isMap(left.X) && c.isKey(left.Index)
	case *ast.Ident:
		return c.sortedLater(left)
	}
	return false
}

// isKey recognises the loop's key, also under another name for its type: Name(key). Two keys can't
// meet in one then.
func (c commuting) isKey(x ast.Expr) bool {
	if call, ok := x.(*ast.CallExpr); ok && len(call.Args) == 1 {
		from, to := c.p.Types.TypeOf(call.Args[0]), c.p.Types.Types[call.Fun]
		if !to.IsType() || from == nil || !types.Identical(from.Underlying(), to.Type.Underlying()) {
			return false
		}
		x = call.Args[0]
	}
	id, ok := x.(*ast.Ident)
	return ok && c.key != nil && c.p.Types.ObjectOf(id) == c.p.Types.ObjectOf(c.key)
}

// sortedLater says whether a later statement of the same block sorts the slice that the loop gathers.
func (c commuting) sortedLater(slice *ast.Ident) bool {
	for _, s := range c.rest {
		e, ok := s.(*ast.ExprStmt)
		if !ok {
			continue
		}
		if call, ok := e.X.(*ast.CallExpr); ok && c.p.sorts(call) && len(call.Args) > 0 {
			if id, ok := call.Args[0].(*ast.Ident); ok && c.p.Types.ObjectOf(id) == c.p.Types.ObjectOf(slice) {
				return true
			}
		}
	}
	return false
}

// constants says whether an early return gives the same whichever key came first.
func constants(results []ast.Expr) bool {
	for _, r := range results {
		switch r := r.(type) {
		case *ast.BasicLit:
		case *ast.Ident:
			if r.Name != "true" && r.Name != "false" && r.Name != "nil" {
				return false
			}
		default:
			return false
		}
	}
	return true
}
