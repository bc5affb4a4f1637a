package admit

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/ration"
)

// secure holds a pod to what its namespace wants of it, and warns of what a namespace only warns of, in what makes pods too.
// The labels by which a namespace wants it have to mean something.
func (w *writing) secure(before events.Object) *refusal {
	switch next := w.next.(type) {
	case *corev1.Namespace:
		return w.meant(before, next)
	case *corev1.Pod:
		if was, ok := before.(*corev1.Pod); ok && !ration.Resecured(&was.Spec, &next.Spec) {
			return nil
		}
	}
	t := podsOf(w.next)
	if t == nil {
		return nil
	}
	wants := w.v.Security(w.key.Namespace)
	if w.key.Resource == events.Pods {
		if said := wants.Enforced(t.Annotations, &t.Spec); said != "" {
			return forbidden(w.key, said)
		}
	}
	if said := wants.Warned(t.Annotations, &t.Spec); said != "" {
		w.warnings = append(w.warnings, said)
	}
	return nil
}

// meant refuses labels that nobody can read, unless they were there before.
func (w *writing) meant(before events.Object, next *corev1.Namespace) *refusal {
	_, errs := ration.SecurityOf(next.Labels)
	if was, ok := before.(*corev1.Namespace); ok {
		_, had := ration.SecurityOf(was.Labels)
		errs = slices.DeleteFunc(errs, func(e *field.Error) bool {
			return slices.ContainsFunc(had, func(o *field.Error) bool { return o.Error() == e.Error() })
		})
	}
	if len(errs) == 0 {
		return nil
	}
	return invalid(w.key, errs)
}

// podsOf is what the pods are that an object is or makes; nil when it makes none.
func podsOf(o events.Object) *corev1.PodTemplateSpec {
	switch o := o.(type) {
	case *corev1.Pod:
		return &corev1.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec}
	case *corev1.PodTemplate:
		return &o.Template
	case *corev1.ReplicationController:
		return o.Spec.Template
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.ReplicaSet:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *appsv1.DaemonSet:
		return &o.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template
	}
	return nil
}
