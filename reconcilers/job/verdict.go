package job

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// verdict says how a Job ends that nothing was decided of yet; false while it goes on.
func (p *pass) verdict() (events.JobCondition, bool) {
	reason, message := p.failure()
	if reason != "" {
		return events.JobCondition{Type: string(batchv1.JobFailureTarget), Reason: reason, Message: message}, true
	}
	reason, message = p.success()
	return events.JobCondition{Type: string(batchv1.JobSuccessCriteriaMet), Reason: reason, Message: message}, reason != ""
}

// failure is why a Job has failed, empty when it has not.
func (p *pass) failure() (reason, message string) {
	s := &p.job.Spec
	lost := p.mem.Lost.Below(p.completions()).Len()
	switch limit := *s.BackoffLimit; {
	case p.mem.Fatal != "":
		return batchv1.JobReasonPodFailurePolicy, p.mem.Fatal
	case p.mem.Failed > int(limit) || p.restartedTooOften(int(limit)):
		return batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit"
	case s.ActiveDeadlineSeconds != nil && !projections.Suspended(p.job) && !p.deadline().After(p.now):
		return batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline"
	case s.BackoffLimitPerIndex == nil:
	case s.MaxFailedIndexes != nil && lost > int(*s.MaxFailedIndexes):
		return batchv1.JobReasonMaxFailedIndexesExceeded, "Job has exceeded the specified maximal number of failed indexes"
	case lost > 0 && lost+p.succeeded() >= p.completions():
		return batchv1.JobReasonFailedIndexes, "Job has failed indexes"
	}
	return "", ""
}

// restartedTooOften counts the restarts of pods whose containers are started again
// where they are.
func (p *pass) restartedTooOften(limit int) bool {
	if p.job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure {
		return false
	}
	return p.restarts > 0 && p.restarts >= limit
}

// deadline is when the Job may be active no more. One that waits to be resumed in
// the log counts from then.
func (p *pass) deadline() time.Time {
	from := p.mem.Started.Time
	if p.mem.Started.IsZero() {
		from = p.now
	}
	return from.Add(events.Seconds(*p.job.Spec.ActiveDeadlineSeconds))
}

// success is why a Job has done its work, empty when it has not.
func (p *pass) success() (reason, message string) {
	if s := p.job.Spec.SuccessPolicy; s != nil && projections.Indexed(p.job) {
		for i := range s.Rules {
			if p.meets(&s.Rules[i]) {
				return batchv1.JobReasonSuccessPolicy, fmt.Sprintf("Matched rules at index %d", i)
			}
		}
	}
	done := p.succeeded() > 0
	if p.job.Spec.Completions != nil {
		done = p.succeeded() >= p.completions()
	}
	if !done || len(p.active) > 0 {
		return "", ""
	}
	return batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods"
}

// meets tells whether the indexes that are done are enough for a rule.
func (p *pass) meets(r *batchv1.SuccessPolicyRule) bool {
	done := p.mem.Completed.Below(p.completions())
	if len(done) == 0 {
		return false
	}
	if r.SucceededIndexes == nil {
		return r.SucceededCount != nil && done.Len() >= int(*r.SucceededCount)
	}
	wanted, err := events.ParseIndexes(*r.SucceededIndexes)
	if err != nil || len(wanted) == 0 {
		return false // admission read it
	}
	has := done.Common(wanted)
	return has == wanted.Len() || r.SucceededCount != nil && has >= int(*r.SucceededCount)
}

func (p *pass) completions() int {
	if p.job.Spec.Completions == nil {
		return 0
	}
	return int(*p.job.Spec.Completions)
}

// succeeded is how much of the work is done: pods, or indexes that count.
func (p *pass) succeeded() int {
	if projections.Indexed(p.job) {
		return p.mem.Completed.Below(p.completions()).Len()
	}
	return p.mem.Succeeded
}

// backoff is until when a pod waits after failures in a row; zero when it does not.
func (p *pass) backoff(failures int, last projections.Mark) time.Time {
	if failures == 0 {
		return time.Time{}
	}
	if until := last.Time.Add(min(failBase<<min(failures-1, 10), failMax)); until.After(p.now) {
		return until
	}
	return time.Time{}
}

// waits writes down that pods wait after failures.
func (p *pass) waits(until time.Time, failures int) {
	p.d.Wake(until)
	if len(p.d.Because) == 0 {
		p.d.Because = []events.Reason{{Code: "BackOff", About: p.o.Key, What: "pods", Have: fmt.Sprintf("%d failed", failures),
			Need: "until " + until.UTC().Format(time.RFC3339)}}
	}
}

// barred tells whether a pod must not be made, and writes down why when that is news.
func (p *pass) barred(k events.Key, index int) bool {
	if p.desk.Open() {
		return false
	}
	said := p.desk.Bars(p.pod(k, index))
	if said == "" {
		return false
	}
	birth.Refuse(&p.d, p.v, p.o, k, said, p.now)
	return true
}

// barredJobs are the Jobs of a namespace, or of all, whom a change of what bars pods
// concerns.
func barredJobs(v reconcilers.View, namespace string) []events.Key {
	var out []events.Key
	for o := range v.List(events.Jobs, namespace) {
		if _, over := o.Job.Finished(); !over {
			out = append(out, o.Key)
		}
	}
	return out
}
