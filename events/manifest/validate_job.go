package manifest

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// The bounds of indexed Jobs, which are Kubernetes'.
const (
	maxParallelIndexes = 100_000
	manyCompletions    = 100_000 // above it, failures per index cost too much for no bound
	maxFailedOfMany    = 10_000
	maxParallelOfMany  = 10_000
	maxRules           = 20
	maxExitCodes       = 255
	maxManagedBy       = 63
)

func validateJob(j *batchv1.Job) field.ErrorList {
	s, at := &j.Spec, field.NewPath("spec")
	errs := validateJobSpec(s, at)
	if n := s.Completions; indexed(s) && n != nil && *n > 0 {
		host := fmt.Sprintf("%s-%d", j.Name, *n-1)
		if bad := validation.IsDNS1123Label(host); len(bad) > 0 {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), j.Name, "will not able to create pod with invalid DNS label: "+host))
		}
	}
	if s.ManualSelector != nil && *s.ManualSelector {
		return append(errs, validateManual(s, at)...)
	}
	if s.Selector != nil {
		errs = append(errs, field.Invalid(at.Child("selector"), s.Selector, "`selector` not auto-generated"))
	}
	return append(errs, ownLabels(s.Template.Labels, at.Child("template", "metadata", "labels"))...)
}

func indexed(s *batchv1.JobSpec) bool {
	return s.CompletionMode != nil && *s.CompletionMode == batchv1.IndexedCompletion
}

// ownLabels wants that nobody wrote the labels by which a Job finds its pods.
func ownLabels(has map[string]string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, k := range []string{batchv1.ControllerUidLabel, batchv1.JobNameLabel, "controller-uid", "job-name"} {
		if v, ok := has[k]; ok {
			errs = append(errs, field.Invalid(at.Key(k), v, "it is the Job's to set: leave it out, or set spec.manualSelector"))
		}
	}
	return errs
}

// validateManual wants that a selector that a person chose finds the pods.
func validateManual(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	errs := validateSelector(s.Selector, at.Child("selector"))
	sel, err := metav1.LabelSelectorAsSelector(s.Selector)
	if len(errs) == 0 && err == nil && !sel.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(at.Child("template", "metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`"))
	}
	return errs
}

// validateJobSpec checks all but the selector.
func validateJobSpec(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, n := range []struct {
		name  string
		value *int32
	}{{"parallelism", s.Parallelism}, {"completions", s.Completions}, {"backoffLimit", s.BackoffLimit}, {"ttlSecondsAfterFinished", s.TTLSecondsAfterFinished},
		{"backoffLimitPerIndex", s.BackoffLimitPerIndex}, {"maxFailedIndexes", s.MaxFailedIndexes}} {
		errs = optionalCount(errs, at.Child(n.name), n.value)
	}
	if d := s.ActiveDeadlineSeconds; d != nil {
		errs = notNegative(errs, at.Child("activeDeadlineSeconds"), *d)
	}
	if s.MaxFailedIndexes != nil && s.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Required(at.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
	}
	if s.ManagedBy != nil {
		errs = append(errs, validation.IsDomainPrefixedPath(at.Child("managedBy"), *s.ManagedBy)...)
		if len(*s.ManagedBy) > maxManagedBy {
			errs = append(errs, field.TooLong(at.Child("managedBy"), "", maxManagedBy))
		}
	}
	errs = append(errs, validateIndexing(s, at)...)
	errs = append(errs, validateFailurePolicy(s, at.Child("podFailurePolicy"))...)
	errs = append(errs, validateSuccessPolicy(s, at.Child("successPolicy"))...)
	errs = append(errs, validateReplacement(s, at.Child("podReplacementPolicy"))...)
	return append(errs, validateJobTemplate(s, at.Child("template"))...)
}

func validateIndexing(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	if s.CompletionMode == nil {
		return nil
	}
	errs := oneOf(nil, at.Child("completionMode"), *s.CompletionMode, batchv1.NonIndexedCompletion, batchv1.IndexedCompletion)
	if !indexed(s) {
		for _, n := range []struct {
			name  string
			value *int32
		}{{"backoffLimitPerIndex", s.BackoffLimitPerIndex}, {"maxFailedIndexes", s.MaxFailedIndexes}} {
			if n.value != nil {
				errs = append(errs, field.Invalid(at.Child(n.name), *n.value, "requires indexed completion mode"))
			}
		}
		return errs
	}
	if s.Completions == nil {
		return append(errs, field.Required(at.Child("completions"), "when completion mode is Indexed"))
	}
	errs = atMost(errs, at.Child("parallelism"), s.Parallelism, maxParallelIndexes, "when completion mode is Indexed")
	errs = atMost(errs, at.Child("maxFailedIndexes"), s.MaxFailedIndexes, maxParallelIndexes, "")
	if f := s.MaxFailedIndexes; f != nil && *f > *s.Completions {
		errs = append(errs, field.Invalid(at.Child("maxFailedIndexes"), *f, "must be less than or equal to completions"))
	}
	if *s.Completions <= manyCompletions || s.BackoffLimitPerIndex == nil {
		return errs
	}
	if s.MaxFailedIndexes == nil {
		errs = append(errs, field.Required(at.Child("maxFailedIndexes"), fmt.Sprintf("must be specified when completions is above %d", manyCompletions)))
	}
	const when = "when completions are above 100000 and used with backoff limit per index"
	errs = atMost(errs, at.Child("parallelism"), s.Parallelism, maxParallelOfMany, when)
	return atMost(errs, at.Child("maxFailedIndexes"), s.MaxFailedIndexes, maxFailedOfMany, when)
}

func atMost(errs field.ErrorList, at *field.Path, n *int32, most int32, when string) field.ErrorList {
	if n == nil || *n <= most {
		return errs
	}
	words := fmt.Sprintf("must be less than or equal to %d", most)
	if when != "" {
		words += " " + when
	}
	return append(errs, field.Invalid(at, *n, words))
}

func validateReplacement(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	switch {
	case s.PodReplacementPolicy == nil:
		return nil
	case s.PodFailurePolicy != nil:
		return oneOf(nil, at, *s.PodReplacementPolicy, batchv1.Failed)
	}
	return oneOf(nil, at, *s.PodReplacementPolicy, batchv1.Failed, batchv1.TerminatingOrFailed)
}

func validateJobTemplate(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	t, spec, meta := &s.Template, at.Child("spec"), at.Child("metadata")
	errs := validateLabels(t.Labels, meta.Child("labels"))
	errs = append(errs, validateAnnotations(t.Annotations, meta.Child("annotations"))...)
	errs = append(errs, validatePod(&t.Spec, spec)...)
	here := spec.Child("restartPolicy")
	switch p := t.Spec.RestartPolicy; {
	case p == corev1.RestartPolicyAlways:
		errs = append(errs, field.Required(here, `valid values: "OnFailure", "Never"`))
	case p == corev1.RestartPolicyOnFailure && s.PodFailurePolicy != nil:
		errs = append(errs, field.Invalid(here, p, `only "Never" is supported when podFailurePolicy is specified`))
	}
	return errs
}

func validateFailurePolicy(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	if s.PodFailurePolicy == nil {
		return nil
	}
	at = at.Child("rules")
	var errs field.ErrorList
	if n := len(s.PodFailurePolicy.Rules); n > maxRules {
		errs = append(errs, field.TooMany(at, n, maxRules))
	}
	for i := range s.PodFailurePolicy.Rules {
		errs = append(errs, validateFailureRule(s, &s.PodFailurePolicy.Rules[i], at.Index(i))...)
	}
	return errs
}

func validateFailureRule(s *batchv1.JobSpec, r *batchv1.PodFailurePolicyRule, at *field.Path) field.ErrorList {
	errs := oneOf(nil, at.Child("action"), r.Action, batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex,
		batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore)
	if r.Action == batchv1.PodFailurePolicyActionFailIndex && s.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Invalid(at.Child("action"), r.Action, "requires the backoffLimitPerIndex to be set"))
	}
	switch both := r.OnExitCodes != nil && len(r.OnPodConditions) > 0; {
	case both:
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, "specifying both OnExitCodes and OnPodConditions is not supported"))
	case r.OnExitCodes == nil && len(r.OnPodConditions) == 0:
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, "specifying one of OnExitCodes and OnPodConditions is required"))
	}
	if r.OnExitCodes != nil {
		errs = append(errs, validateExitCodes(s, r.OnExitCodes, at.Child("onExitCodes"))...)
	}
	here := at.Child("onPodConditions")
	if n := len(r.OnPodConditions); n > maxRules {
		errs = append(errs, field.TooMany(here, n, maxRules))
	}
	for i, c := range r.OnPodConditions {
		errs = invalid(errs, here.Index(i).Child("type"), c.Type, validation.IsQualifiedName(string(c.Type)))
		errs = oneOf(errs, here.Index(i).Child("status"), c.Status, corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown)
	}
	return errs
}

func validateExitCodes(s *batchv1.JobSpec, r *batchv1.PodFailurePolicyOnExitCodesRequirement, at *field.Path) field.ErrorList {
	errs := oneOf(nil, at.Child("operator"), r.Operator, batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn)
	named := func(c corev1.Container) bool { return r.ContainerName != nil && c.Name == *r.ContainerName }
	if r.ContainerName != nil && !slices.ContainsFunc(slices.Concat(s.Template.Spec.Containers, s.Template.Spec.InitContainers), named) {
		errs = append(errs, field.Invalid(at.Child("containerName"), *r.ContainerName, "must be one of the container or initContainer names in the pod template"))
	}
	here := at.Child("values")
	switch n := len(r.Values); {
	case n == 0:
		errs = append(errs, field.Invalid(here, r.Values, "at least one value is required"))
	case n > maxExitCodes:
		errs = append(errs, field.TooMany(here, n, maxExitCodes))
	}
	for i, v := range r.Values {
		if v == 0 && r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn {
			errs = append(errs, field.Invalid(here.Index(i), v, "must not be 0 for the In operator"))
		}
		if slices.Contains(r.Values[:i], v) {
			errs = append(errs, field.Duplicate(here.Index(i), v))
		}
	}
	if !slices.IsSorted(r.Values) {
		errs = append(errs, field.Invalid(here, r.Values, "must be ordered"))
	}
	return errs
}

func validateSuccessPolicy(s *batchv1.JobSpec, at *field.Path) field.ErrorList {
	p := s.SuccessPolicy
	if p == nil {
		return nil
	}
	if !indexed(s) || s.Completions == nil {
		return field.ErrorList{field.Invalid(at, *p, "requires indexed completion mode")}
	}
	at = at.Child("rules")
	var errs field.ErrorList
	switch n := len(p.Rules); {
	case n == 0:
		errs = append(errs, field.Required(at, "at least one rules must be specified when the successPolicy is specified"))
	case n > maxRules:
		errs = append(errs, field.TooMany(at, n, maxRules))
	}
	for i := range p.Rules {
		errs = append(errs, validateSuccessRule(&p.Rules[i], int(*s.Completions), at.Index(i))...)
	}
	return errs
}

func validateSuccessRule(r *batchv1.SuccessPolicyRule, completions int, at *field.Path) field.ErrorList {
	if r.SucceededCount == nil && r.SucceededIndexes == nil {
		return field.ErrorList{field.Required(at, "at least one of succeededCount or succeededIndexes must be specified")}
	}
	var errs field.ErrorList
	of, words := completions, "the number of specified completions"
	if r.SucceededIndexes != nil {
		x, err := events.ParseIndexes(*r.SucceededIndexes)
		switch {
		case err == nil && x.Below(completions).Len() != x.Len():
			errs = append(errs, field.Invalid(at.Child("succeededIndexes"), *r.SucceededIndexes, fmt.Sprintf("error parsing succeededIndexes: too large index, limit: %d", completions)))
		case err != nil:
			errs = append(errs, field.Invalid(at.Child("succeededIndexes"), *r.SucceededIndexes, "error parsing succeededIndexes: "+err.Error()))
		default:
			of, words = x.Len(), "the number of indexes in the specified succeededIndexes field"
		}
	}
	if r.SucceededCount != nil {
		errs = notNegative(errs, at.Child("succeededCount"), int64(*r.SucceededCount))
		errs = atMost(errs, at.Child("succeededCount"), r.SucceededCount, int32(of), "("+words+")")
	}
	return errs
}
