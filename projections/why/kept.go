package why

import (
	"fmt"
	"strings"

	"github.com/stave-run/stave/projections"
)

// kept says which finalizers an object on its way out still has.
func (q Question) kept(a *Answer, o *projections.Object) {
	keepers := o.Keepers()
	if len(keepers) == 0 {
		return
	}
	many := ""
	if len(keepers) > 1 {
		many = "s"
	}
	a.WaitsFor = fmt.Sprintf("the finalizer%s %s to be taken off", many, strings.Join(keepers, ", "))
	a.Fix = "start the program that put them there; if there is none any more, take them out of metadata.finalizers: " + q.command("edit", o.Key)
}

// keptBy is what keeps an object that others wait for.
func keptBy(o *projections.Object) string {
	keepers := o.Keepers()
	if len(keepers) == 0 {
		return ""
	}
	return ", kept by " + strings.Join(keepers, ", ")
}

// children says which children a deletion in the foreground waits for.
func (q Question) children(a *Answer, o *projections.Object) {
	if !o.Deletion.Foreground {
		return
	}
	left := 0
	for child := range q.State.Dependents(o.UID) {
		if left++; left <= maxTold {
			a.Details = append(a.Details, Spelled(child.Key, o.Key.Namespace)+" is still there"+keptBy(child))
		}
	}
	if left > maxTold {
		a.Details = append(a.Details, fmt.Sprintf("and %d more", left-maxTold))
	}
	if left > 0 {
		a.WaitsFor, a.Fix = many(left, "object that belongs", "objects that belong")+" to it to go", ""
	}
}
