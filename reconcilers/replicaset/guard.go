package replicaset

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// barred tells whether a pod must not be made, and writes down why when that is news.
func (p *pass) barred(k events.Key) bool {
	if p.desk.Open() {
		return false
	}
	said := p.desk.Bars(p.pod(k))
	if said == "" {
		return false
	}
	birth.Refuse(&p.d, p.v, p.o, k, said, p.now)
	return true
}

// pod is what is looked at: the pod as it would be.
func (p *pass) pod(k events.Key) *corev1.Pod {
	return birth.Pod(p.o, k, p.prefix(), p.shaped.DeepCopy())
}

// short are the sets of a namespace, or of all, that lack pods: those whom a change
// of what bars pods concerns.
func short(v reconcilers.View, namespace string) []events.Key {
	var out []events.Key
	for _, kind := range []events.Resource{events.ReplicaSets, events.Controllers} {
		for o := range v.List(kind, namespace) {
			if o.Tally.Pods < setOf(o).want {
				out = append(out, o.Key)
			}
		}
	}
	return out
}
