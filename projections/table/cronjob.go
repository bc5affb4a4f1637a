package table

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

func cronRow(o *batchv1.CronJob, age string, now time.Time) []string {
	zone, last := none, none
	if o.Spec.TimeZone != nil {
		zone = *o.Spec.TimeZone
	}
	if t := o.Status.LastScheduleTime; t != nil {
		last = since(t.Time, now)
	}
	names, images := containers(&o.Spec.JobTemplate.Spec.Template.Spec)
	suspended := o.Spec.Suspend != nil && *o.Spec.Suspend
	return []string{o.Name, o.Spec.Schedule, zone, title(suspended), fmt.Sprint(len(o.Status.Active)), last, age, names, images, selectorText(o.Spec.JobTemplate.Spec.Selector)}
}

func (p page) cronJob(o *batchv1.CronJob) {
	p.line(0, "Name:\t%s", o.Name)
	p.line(0, "Namespace:\t%s", o.Namespace)
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	s, st := &o.Spec, &o.Status
	p.line(0, "Schedule:\t%s", s.Schedule)
	if s.TimeZone != nil {
		p.line(0, "Time Zone:\t%s", *s.TimeZone)
	}
	p.line(0, "Concurrency Policy:\t%s", s.ConcurrencyPolicy)
	p.line(0, "Suspend:\t%v", s.Suspend != nil && *s.Suspend)
	p.line(0, "Successful Job History Limit:\t%s", numberOr(s.SuccessfulJobsHistoryLimit))
	p.line(0, "Failed Job History Limit:\t%s", numberOr(s.FailedJobsHistoryLimit))
	deadline := unset
	if s.StartingDeadlineSeconds != nil {
		deadline = fmt.Sprintf("%ds", *s.StartingDeadlineSeconds)
	}
	p.line(0, "Starting Deadline Seconds:\t%s", deadline)
	p.line(0, "Parallelism:\t%s", numberOr(s.JobTemplate.Spec.Parallelism))
	p.line(0, "Completions:\t%s", numberOr(s.JobTemplate.Spec.Completions))
	p.template(&s.JobTemplate.Spec.Template)
	if st.LastScheduleTime != nil {
		p.line(0, "Last Schedule Time:\t%s", date(*st.LastScheduleTime))
	}
	var names []string
	for _, a := range st.Active {
		names = append(names, a.Name)
	}
	p.line(0, "Active Jobs:\t%s", orNone(strings.Join(names, ", ")))
}
