package gc

import (
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// maxNamed is how many leftovers are named.
const maxNamed = 10

// maxCircle bounds how many objects are looked at for a circle of owners.
const maxCircle = 1000

// foreground sees to all that the object owns, and removes it after the last of
// those that block it.
func foreground(v reconcilers.View, o *projections.Object) reconcilers.Decision {
	var d reconcilers.Decision
	left := 0
	for child := range v.Dependents(o.UID) {
		if blocks(v, child, o) {
			left++
		}
		if child.Deletion != nil {
			if len(d.Because) < maxNamed {
				d.Because = append(d.Because, events.Reason{Code: "ChildLeft", About: child.Key})
			}
			continue
		}
		next := collect(v, child).Events // a service brings its Endpoints
		if len(d.Events)+len(next) > reconcilers.MaxSteps {
			d.More = true
			return d
		}
		d.Events = append(d.Events, next...)
	}
	if left == 0 && len(d.Events) == 0 {
		return remove(v, o)
	}
	d.More = left == 0 // what does not block is asked to go, and is not waited for
	return d
}

// blocks tells whether a deletion in the foreground waits for what the object
// owns. Of those that wait for each other in a circle, the one that was asked
// first does not block the others.
func blocks(v reconcilers.View, child, owner *projections.Object) bool {
	said := false
	for _, r := range child.References() {
		said = said || events.UID(r.UID) == owner.UID && r.BlockOwnerDeletion != nil && *r.BlockOwnerDeletion
	}
	if d := child.Deletion; !said || d == nil || !d.Foreground || d.Seq >= owner.Deletion.Seq {
		return said
	}
	return !below(v, child, owner)
}

// below tells whether an object is among all that another one owns, or what that owns.
func below(v reconcilers.View, top, sought *projections.Object) bool {
	seen := map[events.UID]bool{}
	next := []events.UID{top.UID}
	for len(next) > 0 && len(seen) < maxCircle {
		uid := next[0]
		if next = next[1:]; seen[uid] {
			continue
		}
		seen[uid] = true
		for o := range v.Dependents(uid) {
			if o.UID == sought.UID {
				return true
			}
			next = append(next, o.UID)
		}
	}
	return false
}
