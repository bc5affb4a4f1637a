package main

import (
	"go/ast"
	"go/types"
	"strings"
)

// impure are the functions of otherwise harmless packages that reach for the world, by the package's
// import path.
var impure = map[string]map[string]string{
	"time": {
		"Now": clock, "Since": clock, "Until": clock, "Sleep": clock, "After": clock, "AfterFunc": clock,
		"Tick": clock, "NewTimer": clock, "NewTicker": clock, "LoadLocation": "it reads the machine's time zones", "Local": "it is the machine's time zone",
	},
	"fmt":                                  {"Print": output, "Printf": output, "Println": output, "Scan": output, "Scanf": output, "Scanln": output},
	"sync":                                 {"Mutex": locks, "RWMutex": locks, "WaitGroup": locks, "Cond": locks, "Map": locks, "Pool": locks},
	"path/filepath":                        {"Walk": output, "WalkDir": output, "Glob": output, "Abs": output, "EvalSymlinks": output},
	"k8s.io/apimachinery/pkg/apis/meta/v1": {"Now": clock},
}

const (
	clock  = "take now as an argument"
	output = "return the value; a shell does I/O"
	locks  = "nothing runs beside a pure function"
)

// pureStatements finds what makes a function more than a function of its arguments.
func pureStatements(p *Package) []Finding {
	if !p.pure() {
		return nil
	}
	var found []Finding
	for _, f := range p.code() {
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				found = append(found, p.finding(f, n, "goroutine in a pure package: a shell drives, this decides"))
			case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
				found = append(found, p.finding(f, n, "channel in a pure package: pass values"))
			case *ast.SelectorExpr:
				if why := p.impure(n); why != "" {
					found = append(found, p.finding(f, n, "%s in a pure package: %s", types.ExprString(n), why))
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && strings.HasPrefix(id.Name, "print") && p.builtin(id) {
					found = append(found, p.finding(f, n, "%s in a pure package: %s", id.Name, output))
				}
			}
			return true
		})
	}
	return found
}

// impure says why a qualified name (time.Now) has no place in a pure package, or nothing.
func (p *Package) impure(s *ast.SelectorExpr) string {
	return impure[p.imported(s)][s.Sel.Name]
}

// imported is the import path that a qualified name's left side stands for, whatever it is called here.
func (p *Package) imported(s *ast.SelectorExpr) string {
	id, ok := s.X.(*ast.Ident)
	if !ok {
		return ""
	}
	name, ok := p.Types.Uses[id].(*types.PkgName)
	if !ok {
		return ""
	}
	return name.Imported().Path()
}

func (p *Package) builtin(id *ast.Ident) bool {
	_, ok := p.Types.Uses[id].(*types.Builtin)
	return ok
}
