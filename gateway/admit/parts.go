package admit

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
)

// changes is what is wrong with the step from what there was, nil for nothing: most of a living pod is changed by the part
// that it belongs to, or not at all.
func (w *writing) changes(before events.Object) field.ErrorList {
	next, isPod := w.next.(*corev1.Pod)
	old, wasPod := before.(*corev1.Pod)
	switch {
	case before == nil && isPod && len(next.Spec.EphemeralContainers) > 0:
		return field.ErrorList{field.Forbidden(field.NewPath("spec", "ephemeralContainers"), "cannot be set on create")}
	case before == nil:
		return nil
	case isPod && wasPod && w.r.Part == PartEphemeral:
		return manifest.ValidateEphemeral(old, next)
	case w.r.Part == PartResize && !(isPod && wasPod):
		return field.ErrorList{field.Forbidden(field.NewPath("spec"), "only the resources of pods are changed while they run")}
	case w.r.Part == PartResize:
		return w.resizes(old, next)
	}
	return append(manifest.ValidateUpdate(before, w.next), w.grown(before)...)
}

// resizes is what is wrong with other resources for a pod.
func (w *writing) resizes(old, next *corev1.Pod) field.ErrorList {
	errs := manifest.ValidateResize(old, next)
	if was, is := projections.QOSClass(&old.Spec), projections.QOSClass(&next.Spec); was != is {
		errs = append(errs, field.Invalid(field.NewPath("spec"), is, "Pod QOS Class may not change as a result of resizing"))
	}
	return errs
}
