package table

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// jobColumns are kubectl's.
var jobColumns = cols("NAME STATUS COMPLETIONS DURATION AGE", "CONTAINERS", "IMAGES", "SELECTOR")

func jobRow(o *batchv1.Job, age string, now time.Time) []string {
	names, images := containers(&o.Spec.Template.Spec)
	return []string{o.Name, jobState(o), jobCompletions(o), jobDuration(o, now), age, names, images, selectorText(o.Spec.Selector)}
}

// jobState is the last word of a Job's conditions.
func jobState(o *batchv1.Job) string {
	has := map[batchv1.JobConditionType]bool{}
	for _, c := range o.Status.Conditions {
		has[c.Type] = c.Status == corev1.ConditionTrue
	}
	switch {
	case has[batchv1.JobComplete]:
		return "Complete"
	case has[batchv1.JobFailed]:
		return "Failed"
	case o.DeletionTimestamp != nil:
		return "Terminating"
	case has[batchv1.JobSuspended]:
		return "Suspended"
	case has[batchv1.JobFailureTarget]:
		return "FailureTarget"
	case has[batchv1.JobSuccessCriteriaMet]:
		return "SuccessCriteriaMet"
	}
	return "Running"
}

func jobCompletions(o *batchv1.Job) string {
	of := "1"
	switch {
	case o.Spec.Completions != nil:
		of = fmt.Sprint(*o.Spec.Completions)
	case o.Spec.Parallelism != nil && *o.Spec.Parallelism > 1:
		of = fmt.Sprintf("1 of %d", *o.Spec.Parallelism)
	}
	return fmt.Sprintf("%d/%s", o.Status.Succeeded, of)
}

func jobDuration(o *batchv1.Job, now time.Time) string {
	st := &o.Status
	switch {
	case st.StartTime == nil:
		return ""
	case st.CompletionTime != nil:
		return Age(st.CompletionTime.Sub(st.StartTime.Time))
	}
	return since(st.StartTime.Time, now)
}

// maxIndexes is how much is told of the indexes that are done, in letters.
const maxIndexes = 50

func (p page) job(o *batchv1.Job) {
	p.line(0, "Name:\t%s", o.Name)
	p.line(0, "Namespace:\t%s", o.Namespace)
	p.line(0, "Selector:\t%s", selectorText(o.Spec.Selector))
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	controlledBy(p, o)
	s, st := &o.Spec, &o.Status
	p.line(0, "Parallelism:\t%s", numberOr(s.Parallelism))
	p.line(0, "Completions:\t%s", numberOr(s.Completions))
	if s.CompletionMode != nil {
		p.line(0, "Completion Mode:\t%s", *s.CompletionMode)
	}
	if s.Suspend != nil {
		p.line(0, "Suspend:\t%v", *s.Suspend)
	}
	p.line(0, "Backoff Limit:\t%s", numberOr(s.BackoffLimit))
	if s.TTLSecondsAfterFinished != nil {
		p.line(0, "TTL Seconds After Finished:\t%d", *s.TTLSecondsAfterFinished)
	}
	if st.StartTime != nil {
		p.line(0, "Start Time:\t%s", date(*st.StartTime))
	}
	if st.CompletionTime != nil {
		p.line(0, "Completed At:\t%s", date(*st.CompletionTime))
		p.line(0, "Duration:\t%s", jobDuration(o, p.now))
	}
	if s.ActiveDeadlineSeconds != nil {
		p.line(0, "Active Deadline Seconds:\t%ds", *s.ActiveDeadlineSeconds)
	}
	active := fmt.Sprint(st.Active, " Active")
	if st.Ready != nil {
		active += fmt.Sprintf(" (%d Ready)", *st.Ready)
	}
	p.line(0, "Pods Statuses:\t%s / %d Succeeded / %d Failed", active, st.Succeeded, st.Failed)
	if s.CompletionMode != nil && *s.CompletionMode == batchv1.IndexedCompletion {
		p.line(0, "Completed Indexes:\t%s", orNone(shortened(st.CompletedIndexes, maxIndexes)))
	}
	p.template(&s.Template)
}

func numberOr(n *int32) string {
	if n == nil {
		return unset
	}
	return fmt.Sprint(*n)
}

func shortened(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && s[cut] != ',' {
		cut--
	}
	return s[:cut] + ",..."
}
