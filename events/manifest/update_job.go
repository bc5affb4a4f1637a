package manifest

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// updateJob allows what Kubernetes allows of a Job that is there. While it is
// suspended, what its pods ask for and where they may go can still be said.
func updateJob(old, next *batchv1.Job) field.ErrorList {
	at := field.NewPath("spec")
	a, b := &old.Spec, &next.Spec
	errs := updateCompletions(a, b, at.Child("completions"))
	errs = unchanged(errs, at.Child("selector"), a.Selector, b.Selector)
	errs = unchanged(errs, at.Child("template"), movable(a, &a.Template), movable(a, &b.Template))
	errs = unchanged(errs, at.Child("completionMode"), a.CompletionMode, b.CompletionMode)
	errs = unchanged(errs, at.Child("podFailurePolicy"), a.PodFailurePolicy, b.PodFailurePolicy)
	errs = unchanged(errs, at.Child("backoffLimitPerIndex"), a.BackoffLimitPerIndex, b.BackoffLimitPerIndex)
	errs = unchanged(errs, at.Child("managedBy"), a.ManagedBy, b.ManagedBy)
	return unchanged(errs, at.Child("successPolicy"), a.SuccessPolicy, b.SuccessPolicy)
}

// updateCompletions lets an indexed Job grow and shrink together with its parallelism.
func updateCompletions(a, b *batchv1.JobSpec, at *field.Path) field.ErrorList {
	if indexed(a) && b.Completions != nil && b.Parallelism != nil && !same(a.Completions, b.Completions) {
		if *b.Completions == *b.Parallelism {
			return nil
		}
		return field.ErrorList{field.Invalid(at, *b.Completions, "can only be modified in tandem with spec.parallelism")}
	}
	return unchanged(nil, at, a.Completions, b.Completions)
}

// movable is a template without what may still be said of it.
func movable(old *batchv1.JobSpec, t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	if old.Suspend == nil || !*old.Suspend {
		return t
	}
	t = t.DeepCopy()
	s := &t.Spec
	t.Labels, t.Annotations, s.NodeSelector, s.Tolerations, s.SchedulingGates, s.Affinity = nil, nil, nil, nil, nil, nil
	for i := range s.Containers {
		s.Containers[i].Resources = corev1.ResourceRequirements{}
	}
	for i := range s.InitContainers {
		s.InitContainers[i].Resources = corev1.ResourceRequirements{}
	}
	return t
}
