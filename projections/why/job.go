package why

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/cron"
	"github.com/stave-run/stave/projections"
)

// job says how far a Job is, and what its pods that are not at their end wait for.
func (q Question) job(a *Answer, o *projections.Object) {
	j, ok := q.State.ObjectOf(o, q.Now).(*batchv1.Job)
	if !ok {
		return
	}
	st := &j.Status
	of := "1"
	if j.Spec.Completions != nil {
		of = fmt.Sprint(*j.Spec.Completions)
	}
	done := fmt.Sprintf("%d of %s done, %d failed", st.Succeeded, of, st.Failed)
	if projections.ManagedElsewhere(j) {
		a.Verdict, a.WaitsFor = "is another controller's", *j.Spec.ManagedBy
		return
	}
	for _, t := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed, batchv1.JobFailureTarget, batchv1.JobSuccessCriteriaMet, batchv1.JobSuspended} {
		if c, ok := o.Job.Condition(t); ok {
			a.Verdict = fmt.Sprintf("%s: %s (%s)", map[batchv1.JobConditionType]string{batchv1.JobComplete: "is complete", batchv1.JobFailed: "has failed",
				batchv1.JobFailureTarget: "fails", batchv1.JobSuccessCriteriaMet: "completes", batchv1.JobSuspended: "is suspended"}[t], c.Message, done)
			q.afterEnd(a, t, o)
			return
		}
	}
	a.Verdict = fmt.Sprintf("runs %s (%s)", many(int(st.Active), "pod", "pods"), done)
	q.held(a, o)
	for _, r := range q.Because {
		a.Details = append(a.Details, r.String())
	}
	told := 0
	for pod := range q.below(o) {
		p, ok := q.State.PodOf(pod.Key)
		if !ok || !p.ReadySince.IsZero() && !p.Lost || told >= maxTold || p.Finished(pod) && p.Failed == nil && endedWell(q.State.ObjectOf(pod, q.Now)) {
			continue
		}
		told++
		q.podOf(a, pod)
	}
	if a.WaitsFor == "" {
		a.WaitsFor = "its pods to come to their end"
	}
}

func endedWell(o events.Object) bool {
	pod, ok := o.(*corev1.Pod)
	return ok && pod.Status.Phase == corev1.PodSucceeded
}

// afterEnd says what still happens to a Job of which something was decided.
func (q Question) afterEnd(a *Answer, t batchv1.JobConditionType, o *projections.Object) {
	switch t {
	case batchv1.JobFailureTarget, batchv1.JobSuccessCriteriaMet:
		a.WaitsFor = many(o.Tally.Pods+o.Tally.Terminating, "pod", "pods") + " to stop"
	case batchv1.JobSuspended:
		a.WaitsFor, a.Fix = "somebody to resume it", "set spec.suspend to false"
	case batchv1.JobFailed:
		told := 0
		for pod := range q.below(o) {
			if !endedWell(q.State.ObjectOf(pod, q.Now)) && told < maxTold {
				told++
				q.podOf(a, pod)
			}
		}
		a.WaitsFor = ""
	}
}

// jobStatus tells in Kubernetes' words what was decided about a Job.
func (t *telling) jobStatus(e events.Envelope) {
	r, err := events.Decode[events.JobReported](e)
	if err != nil {
		return
	}
	for _, c := range r.Conditions {
		if t.ill[c.Type] == c.Reason {
			continue // told before
		}
		if t.ill == nil {
			t.ill = map[string]string{}
		}
		t.ill[c.Type] = c.Reason
		switch batchv1.JobConditionType(c.Type) {
		case batchv1.JobComplete:
			t.add(e.Time, normal, "Completed", fromJob, "Job completed")
		case batchv1.JobFailed:
			t.add(e.Time, warning, c.Reason, fromJob, "%s", c.Message)
		case batchv1.JobSuspended:
			reason := "Suspended"
			if c.False {
				reason = "Resumed"
			}
			t.add(e.Time, normal, reason, fromJob, "%s", c.Message)
		}
	}
}

// jobMade tells of a Job that a CronJob made.
func (t *telling) jobMade(k events.Key, e events.Envelope) {
	t.add(e.Time, normal, "SuccessfulCreate", fromCron, "Created job %s", k.Name)
	t.goesOn(k)
}

func (t *telling) goesOn(job events.Key) {
	if t.jobs == nil {
		t.jobs = map[events.Key]bool{}
	}
	t.jobs[job] = true
}

// jobEnded tells the CronJob of a Job that is over.
func (t *telling) jobEnded(k events.Key, e events.Envelope) {
	r, err := events.Decode[events.JobReported](e)
	if err != nil {
		return
	}
	for _, c := range r.Conditions {
		if end := batchv1.JobConditionType(c.Type); !c.False && (end == batchv1.JobComplete || end == batchv1.JobFailed) {
			t.add(e.Time, normal, "SawCompletedJob", fromCron, "Saw completed job: %s, condition: %s", k.Name, c.Type)
			t.jobs[k] = false
		}
	}
}

// jobGone tells of a Job that went before its end, and whose CronJob has nothing to do with that.
func (t *telling) jobGone(k events.Key, e events.Envelope) {
	if t.jobs[k] {
		t.add(e.Time, normal, "MissingJob", fromCron, "Active job went missing: %s", k.Name)
		delete(t.jobs, k)
	}
}

// cron says when a CronJob was due and will be, as its schedule has it.
func (q Question) cron(a *Answer, o *projections.Object) {
	s := &projections.As[*batchv1.CronJob](o).Spec
	last := "it has made no Job yet"
	if o.Cron != nil && !o.Cron.Scheduled.IsZero() {
		last = "the last time was " + o.Cron.Scheduled.Format(time.RFC3339)
	}
	if s.Suspend != nil && *s.Suspend {
		a.Verdict, a.WaitsFor, a.Fix = "is suspended; "+last, "somebody to resume it", "set spec.suspend to false"
		return
	}
	zone := ""
	if s.TimeZone != nil {
		zone = *s.TimeZone
	}
	at, bad := cron.Zone(zone)
	when, err := cron.Parse(s.Schedule)
	if bad != nil || err != nil {
		a.Verdict = "its schedule cannot be read"
		return
	}
	a.Verdict = fmt.Sprintf("is due at %s; %s", when.Following(projections.CountsFrom(o), q.Now.In(at)).Format(time.RFC3339), last)
	for job := range q.State.Children(o.UID) {
		if job.Job == nil {
			continue
		}
		if _, over := job.Job.Finished(); !over {
			a.Details = append(a.Details, job.Key.Name+" goes on")
		}
	}
}
