package manifest

import (
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events/cron"
)

// maxCronName is how long a CronJob's name may be: its Jobs' names have the minute behind it.
const maxCronName = 52

func defaultCronJob(c *batchv1.CronJob) {
	s := &c.Spec
	setTo(&s.ConcurrencyPolicy, batchv1.AllowConcurrent)
	pointTo(&s.Suspend, false)
	pointTo(&s.SuccessfulJobsHistoryLimit, 3)
	pointTo(&s.FailedJobsHistoryLimit, 1)
	defaultPod(&s.JobTemplate.Spec.Template.Spec)
}

func validateCronJob(c *batchv1.CronJob) field.ErrorList {
	s, at := &c.Spec, field.NewPath("spec")
	var errs field.ErrorList
	if len(c.Name) > maxCronName {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, "must be no more than 52 characters"))
	}
	switch _, err := cron.Parse(s.Schedule); {
	case s.Schedule == "":
		errs = append(errs, field.Required(at.Child("schedule"), ""))
	case strings.Contains(s.Schedule, "TZ"):
		errs = append(errs, field.Invalid(at.Child("schedule"), s.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
	case err != nil:
		errs = append(errs, field.Invalid(at.Child("schedule"), s.Schedule, err.Error()))
	}
	if z := s.TimeZone; z != nil {
		switch _, err := cron.Zone(*z); {
		case *z == "":
			errs = append(errs, field.Invalid(at.Child("timeZone"), *z, "timeZone must be nil or non-empty string"))
		case err != nil:
			errs = append(errs, field.Invalid(at.Child("timeZone"), *z, err.Error()))
		}
	}
	if d := s.StartingDeadlineSeconds; d != nil {
		errs = notNegative(errs, at.Child("startingDeadlineSeconds"), *d)
	}
	errs = oneOf(errs, at.Child("concurrencyPolicy"), s.ConcurrencyPolicy, batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)
	errs = optionalCount(errs, at.Child("successfulJobsHistoryLimit"), s.SuccessfulJobsHistoryLimit)
	errs = optionalCount(errs, at.Child("failedJobsHistoryLimit"), s.FailedJobsHistoryLimit)
	return append(errs, validateJobIn(&s.JobTemplate, at.Child("jobTemplate"))...)
}

func validateJobIn(t *batchv1.JobTemplateSpec, at *field.Path) field.ErrorList {
	meta, spec := at.Child("metadata"), at.Child("spec")
	errs := validateLabels(t.Labels, meta.Child("labels"))
	errs = append(errs, validateAnnotations(t.Annotations, meta.Child("annotations"))...)
	if t.Spec.Selector != nil {
		errs = append(errs, field.Invalid(spec.Child("selector"), t.Spec.Selector, "`selector` will be auto-generated"))
	}
	if m := t.Spec.ManualSelector; m != nil && *m {
		errs = append(errs, field.NotSupported(spec.Child("manualSelector"), *m, []string{"nil", "false"}))
	}
	errs = append(errs, ownLabels(t.Spec.Template.Labels, spec.Child("template", "metadata", "labels"))...)
	full := t.Spec.DeepCopy() // each Job gets its defaults when it is made
	defaultJobSpec(full)
	return append(errs, validateJobSpec(full, spec)...)
}
