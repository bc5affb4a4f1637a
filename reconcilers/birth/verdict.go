package birth

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Again is when a controller looks once more whether it may make its pods: what bars
// them may hang on anything that a policy reads.
const Again = 10 * time.Second

// Reads are what a controller reads by asking here, beside what is its own.
func Reads() []events.Resource {
	return []events.Resource{events.Policies, events.PolicyBindings, events.Quotas, events.LimitRanges, events.PriorityClasses, events.RuntimeClasses}
}

// Eases tells whether a change may let pods in that were barred, and in which
// namespace; an empty one means all of them.
func Eases(c projections.Change) (namespace string, ok bool) {
	switch r := c.Key.Resource; {
	case r == events.Policies, r == events.PolicyBindings, r == events.PriorityClasses, r == events.RuntimeClasses:
		return "", true
	case r == events.LimitRanges, projections.Eased(c):
		return c.Key.Namespace, true
	}
	return "", false
}

// Barred is what the log says keeps a controller from making pods, "" when nothing does.
func Barred(v reconcilers.View, o *projections.Object) string {
	x, ok := v.Verdict(o.Key)
	if !ok || x.UID != o.UID || len(x.Reasons) == 0 || x.Reasons[0].Code != events.FailedCreate {
		return ""
	}
	return x.Reasons[0].Said
}

// Held are the objects of a resource in a namespace that must not make what they are there to make.
func Held(v reconcilers.View, r events.Resource, namespace string) []events.Key {
	var out []events.Key
	for o := range v.List(r, namespace) {
		if Barred(v, o) != "" {
			out = append(out, o.Key)
		}
	}
	return out
}

// Refused are the reasons of a controller whose pod must not be made.
func Refused(pod events.Key, said string) []events.Reason {
	return []events.Reason{{Code: events.FailedCreate, About: pod, Said: said}}
}

// Pod is what is looked at: a controller's pod as it would be, of a template that is
// changed by this.
func Pod(o *projections.Object, k events.Key, prefix string, t *corev1.PodTemplateSpec) *corev1.Pod {
	owner := events.Owner{Resource: o.Key.Resource, Name: o.Key.Name, UID: o.UID}.Reference()
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, Spec: t.Spec,
		ObjectMeta: metav1.ObjectMeta{Name: k.Name, GenerateName: prefix, Namespace: k.Namespace, Labels: t.Labels, Annotations: t.Annotations,
			OwnerReferences: []metav1.OwnerReference{owner}}}
	manifest.Default(pod)
	return pod
}
