package admit

import (
	"fmt"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// The words for a member of a set that its manifests no longer name.
const (
	Pruned = "pruned"
	Kept   = "kept" // it had to stay; the warning says why
)

// Prune decides what goes from a set beside a change that names what stays. It
// is asked on the view after that change. It never touches what is no member:
// a namespace with anybody else's objects in it stays, and says so.
func Prune(v projections.State, r Request, stays map[events.Key]bool, now time.Time) []Outcome {
	var out []Outcome
	for o := range v.All() {
		if o.Set != r.Set || o.Set == "" || stays[o.Key] || o.Deletion != nil {
			continue
		}
		if why := strangers(v, o, stays); why != "" {
			out = append(out, Outcome{Result: wire.Result{Key: o.Key, UID: o.UID, Outcome: Kept, Warnings: []string{why}}})
			continue
		}
		ask := r
		ask.Operation, ask.Item, ask.Op = wire.Delete, wire.Item{Key: o.Key, UID: o.UID}, ""
		gone := Admit(v, ask, now)
		if gone.Result.Error == nil {
			gone.Result.Outcome = Pruned
		}
		out = append(out, gone)
	}
	return out
}

// everywheres says that an object is what every namespace has, and nobody has written
// since.
func everywheres(o *projections.Object) bool {
	account := o.Key.Resource == events.Accounts && o.Key.Name == projections.DefaultAccount
	root := o.Key.Resource == events.ConfigMaps && o.Key.Name == projections.RootKey.Name
	return (account || root) && o.Set == "" && len(o.Applied)+len(o.Managed) == 0
}

// strangers says why a namespace cannot go: something lives in it that is no
// member of its set, or stays in the set. What others control goes with them.
func strangers(v projections.State, o *projections.Object, stays map[events.Key]bool) string {
	if o.Key.Resource != events.Namespaces {
		return ""
	}
	for _, kind := range v.Kinds().All() {
		if !kind.Namespaced || kind.Derived {
			continue
		}
		for x := range v.List(kind.Resource, o.Key.Name) {
			if len(x.References()) == 0 && !everywheres(x) && (x.Set != o.Set || stays[x.Key]) {
				return fmt.Sprintf("namespace %s is not pruned: %s/%s in it stays", o.Key.Name, kind.Singular, x.Key.Name)
			}
		}
	}
	return ""
}
