package birth

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
)

// everywhere are the resources whose objects have a say about the pods of all namespaces.
var everywhere = []events.Resource{events.Policies, events.PolicyBindings, events.PriorityClasses, events.RuntimeClasses,
	events.MutatingPolicies, events.MutatingPolicyBindings, events.MutatingWebhooks, events.ValidatingWebhooks}

// Reads are what a controller reads by asking here, beside what is its own.
func Reads() []events.Resource {
	return append([]events.Resource{events.Quotas, events.LimitRanges}, everywhere...)
}

// Eases tells whether a change may let pods in that were barred, and in which
// namespace; an empty one means all of them.
func Eases(c projections.Change) (namespace string, ok bool) {
	switch r := c.Key.Resource; {
	case slices.Contains(everywhere, r):
		return "", true
	case r == events.LimitRanges, projections.Eased(c):
		return c.Key.Namespace, true
	}
	return "", false
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
