package reconcilers

import (
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Wooers are the objects of a kind whose selectors match an orphaned pod's labels: each may adopt it. selector is false of
// those that select nothing.
func Wooers(v View, kind events.Resource, pod *projections.Object, selector func(*projections.Object) (labels.Selector, bool)) []events.Key {
	var out []events.Key
	for o := range v.List(kind, pod.Key.Namespace) {
		if s, ok := selector(o); ok && s.Matches(labels.Set(pod.PodLabels())) {
			out = append(out, o.Key)
		}
	}
	return out
}
