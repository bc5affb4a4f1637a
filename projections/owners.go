package projections

import (
	"iter"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// References are the object's owners as people see them. The caller owns them.
func (o *Object) References() []metav1.OwnerReference {
	if o.Owner != nil && o.Owners == nil {
		return []metav1.OwnerReference{o.Owner.Reference()}
	}
	return slices.Clone(o.Owners)
}

// controller is the uid of whoever controls the object, of whatever kind; empty
// when nobody does.
func (o *Object) controller() events.UID {
	if o.Owner != nil {
		return o.Owner.UID
	}
	for _, r := range o.Owners {
		if r.Controller != nil && *r.Controller {
			return events.UID(r.UID)
		}
	}
	return ""
}

// Controlled tells whether anybody controls the object: nobody else may adopt it.
func (o *Object) Controlled() bool { return o.controller() != "" }

// others are the uids of the owners that do not control the object.
func (o *Object) others() []events.UID {
	var out []events.UID
	for _, r := range o.Owners {
		if uid := events.UID(r.UID); uid != o.controller() && !slices.Contains(out, uid) {
			out = append(out, uid)
		}
	}
	return out
}

func dependentKey(owner events.UID, o *Object) string { return string(owner) + "\x00" + rowKey(o.Key) }

// Dependents walks all that names the object with this uid among its owners: what
// it controls first.
func (s State) Dependents(owner events.UID) iter.Seq[*Object] {
	return func(yield func(*Object) bool) {
		for o := range s.Children(owner) {
			if !yield(o) {
				return
			}
		}
		for k := range s.dependents.below(string(owner) + "\x00") {
			if o, ok := s.Get(k); ok && !yield(o) {
				return
			}
		}
	}
}

// Standing is what an owner is to whom it owns.
type Standing int

// Owners are there, or gone, or they wait in the foreground for what they own to
// go. One of a kind that is not there cannot be judged, and counts as there; so
// does one in a namespace of what is in none.
const (
	Stands Standing = iota
	Gone
	Waits
)

// OwnerKey is where the owner of an object is that a reference means; false for one
// of a kind that is not there, and for one in a namespace of what is in none.
func (s State) OwnerKey(o *Object, r metav1.OwnerReference) (events.Key, bool) {
	kind, ok := s.kinds.InGroup(r.APIVersion, r.Kind)
	k := events.Key{Resource: kind.Resource, Name: r.Name}
	if kind.Namespaced {
		k.Namespace = o.Key.Namespace
	}
	return k, ok && (!kind.Namespaced || o.Key.Namespace != "")
}

// Standing says what becomes of an object by one of its references.
func (s State) Standing(o *Object, r metav1.OwnerReference) Standing {
	k, ok := s.OwnerKey(o, r)
	if !ok {
		return Stands
	}
	owner, ok := s.Get(k)
	switch {
	case !ok || owner.UID != events.UID(r.UID):
		return Gone
	case owner.Deletion != nil && owner.Deletion.Foreground:
		return Waits
	}
	return Stands
}
