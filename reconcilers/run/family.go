package run

import (
	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// families are the workloads whose pods a decision takes away, or whose replica
// sets it resizes. Two such decisions about one family must not be made on the
// same view: each alone keeps enough pods, both together might keep none. That
// is one writer's promise to budgets.
//
// So are the namespaces with quotas in which a decision makes something, or changes
// a service: each alone keeps within what is left, both together might not.
//
// What belongs to an owner that goes, or is gone, is nobody's budget any more.
func families(v reconcilers.View, records []bus.Record) []events.UID {
	var out []events.UID
	for _, r := range records {
		t := r.Envelope.Type
		if ns, ok := rationed(v, r.Envelope); ok {
			out = append(out, ns)
		}
		if t != events.TypeOf(events.Pods, events.VerbDeletionRequested) && t != events.TypeOf(events.ReplicaSets, events.VerbChanged) {
			continue
		}
		k, err := r.Envelope.Subject.Key()
		if err != nil {
			continue
		}
		if o, ok := v.Get(k); ok {
			if head, lives := headOf(v, o); lives {
				out = append(out, head)
			}
		}
	}
	return out
}

// parents are those for which a decision makes something, and those that it asks to go. On one view only one of the two is
// done: or something would be made for an owner that is on its way out.
func parents(v reconcilers.View, drafts []reconcilers.Draft) []events.UID {
	var out []events.UID
	var before events.UID
	for _, d := range drafts {
		uid := parent(v, d)
		if uid != "" && uid != before { // a decision makes things for one owner
			out = append(out, "children of "+uid)
		}
		before = uid
	}
	return out
}

func parent(v reconcilers.View, d reconcilers.Draft) events.UID {
	if d.Child != nil && d.Child.Body.Owner != nil {
		return d.Child.Body.Owner.UID
	}
	if d.Type.Verb() != events.VerbDeletionRequested || !events.Makes(d.Type.Resource()) {
		return ""
	}
	if k, err := d.Subject.Key(); err == nil {
		if o, ok := v.Get(k); ok {
			return o.UID
		}
	}
	return ""
}

// rationed is the namespace in which an event may use more of a quota.
func rationed(v reconcilers.View, e events.Envelope) (events.UID, bool) {
	if verb := e.Type.Verb(); verb != events.VerbCreated && verb != events.VerbChanged {
		return "", false
	}
	k, err := e.Subject.Key()
	if err != nil || len(v.Quotas(k.Namespace)) == 0 {
		return "", false
	}
	return events.UID("namespace " + k.Namespace), true
}

// maxOwners bounds how far owners are followed: people can write a circle of them.
const maxOwners = 16

// headOf follows owners up to the one that nobody owns.
func headOf(v reconcilers.View, o *projections.Object) (head events.UID, lives bool) {
	for range maxOwners {
		if o.Owner == nil {
			break
		}
		owner, ok := v.Get(o.OwnerKey())
		if !ok || owner.UID != o.Owner.UID || owner.Deletion != nil {
			return "", false
		}
		o = owner
	}
	return o.UID, o.Key.Resource != events.Pods // a pod of its own is no family
}
