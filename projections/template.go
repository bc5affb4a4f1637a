package projections

import (
	"encoding/json"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// fillTemplate puts the shared template where its kind keeps it; the row's own
// differences are decoded over it.
func (o *Object) fillTemplate(v events.Object) {
	switch v := v.(type) {
	case *corev1.Pod:
		o.fillPod(v)
	case *appsv1.ReplicaSet:
		v.Spec.Template = *o.Template.Pod().DeepCopy()
	case *appsv1.StatefulSet:
		v.Spec.Template = *o.Template.Pod().DeepCopy()
	case *appsv1.Deployment:
		v.Spec.Template = *o.Template.Pod().DeepCopy()
	}
}

// fillPod shares with the template what the row has no differences in: thousands of pods have one spec.
func (o *Object) fillPod(v *corev1.Pod) {
	t := o.Template.Pod()
	v.Labels, v.Annotations, v.Spec = t.Labels, t.Annotations, t.Spec
	if !o.sharesSpec() {
		v.Spec = *t.Spec.DeepCopy()
	}
	if !o.sharesLabels() {
		v.Labels = maps.Clone(t.Labels)
	}
	if !o.sharesAnnotations() {
		v.Annotations = maps.Clone(t.Annotations)
	}
}

// readableTemplate tells whether a stored body can be used as a pod template.
func readableTemplate(raw json.RawMessage) bool {
	return json.Unmarshal(raw, &corev1.PodTemplateSpec{}) == nil
}
