package reconcilers

import (
	"sync"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Wooers are the objects of a kind whose selectors match an orphan's labels, a pod's or a revision's: each may adopt it.
// selector is false of those that select nothing.
func Wooers(v View, kind events.Resource, orphan *projections.Object, selector func(*projections.Object) (labels.Selector, bool)) []events.Key {
	var out []events.Key
	has := sync.OnceValue(func() labels.Set { return labelsOf(orphan) }) // most namespaces have nobody who asks
	for o := range v.List(kind, orphan.Key.Namespace) {
		if s, ok := selector(o); ok && s.Matches(has()) {
			out = append(out, o.Key)
		}
	}
	return out
}

// labelsOf are an object's labels; those of a pod need no decoding when they are its template's.
func labelsOf(o *projections.Object) labels.Set {
	if o.Key.Resource == events.Pods {
		return o.PodLabels()
	}
	return o.Typed().GetLabels()
}
