// Package definition takes away the objects of a CustomResourceDefinition that
// shall go, pass by pass, and then the definition itself: while there is one
// object left, somebody has to know what it is.
package definition

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
func (Reconciler) Name() string { return "definition" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 1 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return []events.Resource{events.Definitions, events.CustomResources}
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{events.TypeOf(events.Definitions, events.VerbRemoved),
		events.TypeOf(events.CustomResources, events.VerbDeletionRequested), events.TypeOf(events.CustomResources, events.VerbRemoved)}
}

// Keys implements reconcilers.Reconciler: the definition that shall go, also when
// an object of its comes or goes.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	k := c.Key
	if k.Resource != events.Definitions {
		o, ok := v.Definition(k.Resource)
		if !ok {
			return nil
		}
		k = o.Key
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
	left := 0
	for child := range v.List(events.Resource(k.Name), "") {
		left++
		if child.Deletion != nil {
			if len(d.Because) < maxNamed {
				d.Because = append(d.Because, events.Reason{Code: "InstanceLeft", About: child.Key, What: k.Name})
			}
			continue
		}
		if len(d.Events) >= reconcilers.MaxSteps {
			d.More = true
			return d
		}
		d.Events = append(d.Events, reconcilers.Leave(child))
	}
	if keepers := o.Keepers(); left == 0 && len(keepers) > 0 {
		d.Because = []events.Reason{reconcilers.Kept(o, keepers)}
	} else if left == 0 {
		d.Events = append(d.Events, reconcilers.Remove(o))
	}
	return d
}
