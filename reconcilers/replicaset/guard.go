package replicaset

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// again is when a set looks once more whether it may make its pods: what bars
// them may hang on anything that a policy reads.
const again = 10 * time.Second

// deskOf is what stands before the pods that this pass makes.
func (p *pass) deskOf() *birth.Desk {
	var guard birth.Guard
	if p.guards != nil {
		guard = p.guards(p.v, p.o.Key.Resource)
	}
	return birth.In(p.v, p.o.Key.Namespace, guard)
}

// barred tells whether a pod must not be made, and writes down why when that is news.
func (p *pass) barred(k events.Key) bool {
	if p.desk.Open() {
		return false
	}
	said := p.desk.Bars(p.pod(k))
	if said == "" {
		return false
	}
	why := []events.Reason{{Code: events.FailedCreate, About: k, Said: said}}
	p.d.Because, p.d.WakeAt = why, p.now.Add(again)
	if p.verdict() != said {
		p.emit(reconcilers.Conclude(p.o, why))
	}
	return true
}

// cleared takes a verdict of before back.
func (p *pass) cleared() {
	if p.verdict() != "" {
		p.emit(reconcilers.Conclude(p.o, nil))
	}
}

// verdict is what the log says keeps this set from making pods, "" when nothing does.
func (p *pass) verdict() string {
	v, ok := p.v.Verdict(p.o.Key)
	if !ok || v.UID != p.o.UID || len(v.Reasons) == 0 || v.Reasons[0].Code != events.FailedCreate {
		return ""
	}
	return v.Reasons[0].Said
}

// pod is what is looked at: the pod as it would be.
func (p *pass) pod(k events.Key) *corev1.Pod {
	yes := true
	kind, _ := events.KindOf(p.o.Key.Resource)
	t := p.shaped.DeepCopy()
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, Spec: t.Spec,
		ObjectMeta: metav1.ObjectMeta{Name: k.Name, GenerateName: p.prefix(), Namespace: k.Namespace, Labels: t.Labels, Annotations: t.Annotations,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: kind.APIVersion(), Kind: kind.Name, Name: p.o.Key.Name, UID: types.UID(p.o.UID),
				Controller: &yes, BlockOwnerDeletion: &yes}}}}
	manifest.Default(pod)
	return pod
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
