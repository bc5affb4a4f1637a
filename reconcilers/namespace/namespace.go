// Package namespace empties a namespace that shall go, pass by pass, and removes
// it when nothing is left in it. Its pods go before what they may need to end well:
// their configuration, their services, the roles of their accounts. What holds it
// is named.
package namespace

import (
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// maxNamed is how many leftovers are named.
const maxNamed = 10

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "namespace" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 3 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return append([]events.Resource{events.Namespaces, events.CustomResources}, contents()...)
}

// contents are what a namespace can hold, owners before what they own: so that
// nothing is made again while it is taken away. The pods and what makes them are first.
func contents() []events.Resource {
	out := append(events.Makers(), events.Pods)
	for _, k := range events.Kinds {
		if k.Namespaced && !k.Derived && !waitedFor(k.Resource) {
			out = append(out, k.Resource)
		}
	}
	return out
}

// waitedFor tells whether a resource's end takes time: the garbage collector
// carries it out. The others are removed here, but for what has finalizers.
func waitedFor(r events.Resource) bool {
	return events.Makes(r) || r == events.Pods
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	out := []events.Type{events.TypeOf(events.Namespaces, events.VerbRemoved), events.TypeOf(events.CustomResources, events.VerbDeletionRequested),
		events.TypeOf(events.CustomResources, events.VerbRemoved)}
	for _, r := range contents() {
		out = append(out, events.TypeOf(r, events.VerbDeletionRequested))
		if !waitedFor(r) {
			out = append(out, events.TypeOf(r, events.VerbRemoved))
		}
	}
	return out
}

// Keys implements reconcilers.Reconciler: the namespace that shall go, also when
// something in it comes or goes.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	k := c.Key
	switch {
	case k.Resource == events.Namespaces:
	case k.Namespace == "" || c.Before != nil && c.After != nil:
		return nil
	default:
		k = events.Key{Resource: events.Namespaces, Name: k.Namespace}
	}
	if o, ok := v.Get(k); !ok || o.Deletion == nil {
		return nil
	}
	return []events.Key{k}
}

// Decide implements reconcilers.Reconciler.
func (Reconciler) Decide(v reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || o.Deletion == nil {
		return reconcilers.Decision{}
	}
	var d reconcilers.Decision
	left, first := 0, 0
	for _, r := range append(contents(), v.CustomResources()...) {
		if first > 0 && !waitedFor(r) {
			return d
		}
		for child := range v.List(r, k.Name) {
			left++
			if waitedFor(r) {
				first++
			}
			if child.Deletion != nil {
				name(&d, v, child)
				continue
			}
			if len(d.Events) >= reconcilers.MaxSteps {
				d.More = true
				return d
			}
			d.Events = append(d.Events, end(child))
		}
	}
	if keepers := o.Keepers(); left == 0 && len(keepers) > 0 {
		d.Because = []events.Reason{reconcilers.Kept(o, keepers)}
	} else if left == 0 {
		d.Events = append(d.Events, reconcilers.Remove(o))
	}
	return d
}

func end(o *projections.Object) reconcilers.Draft {
	switch {
	case o.Key.Resource == events.Pods:
		return reconcilers.RequestDeletion(o, events.DeletionRequested{Grace: reconcilers.GraceOf(o)})
	case waitedFor(o.Key.Resource):
		return reconcilers.RequestDeletion(o, events.DeletionRequested{})
	}
	return reconcilers.Leave(o)
}

// name says what is still there.
func name(d *reconcilers.Decision, v reconcilers.View, o *projections.Object) {
	if len(d.Because) >= maxNamed {
		return
	}
	r := events.Reason{Code: "ContentRemaining", About: o.Key, What: string(o.Key.Resource)}
	if p, ok := v.PodOf(o.Key); ok && reconcilers.Lingers(v, o) {
		r.Need = "node " + p.Node + " to say that it stopped"
	} else if keepers := o.Keepers(); len(keepers) > 0 {
		r = reconcilers.Kept(o, keepers)
	}
	d.Because = append(d.Because, r)
}
