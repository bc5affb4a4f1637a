package projections

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// ScheduledAt is the annotation of a CronJob's Job that says for which time it was made.
const ScheduledAt = batchv1.CronJobScheduledTimestampAnnotation

// Cron is what a CronJob's row remembers of Jobs that may be gone. It is immutable.
type Cron struct {
	Scheduled time.Time // the newest time for which a Job was made; zero while there is none
	Succeeded time.Time // when the last of its Jobs that is complete was that
}

// CountsFrom is from when on the times of a CronJob's schedule count: after the last one
// that had its Job, and after the CronJob was made.
func CountsFrom(o *Object) time.Time {
	if o.Cron != nil && o.Cron.Scheduled.After(o.Created.Time) {
		return o.Cron.Scheduled
	}
	return o.Created.Time
}

// scheduled notes for which time a Job was made: what was once is not made again.
func (f *folding) scheduled(o *Object) {
	if o.Key.Resource != events.Jobs || o.Owner == nil || o.Owner.Resource != events.CronJobs {
		return
	}
	at, err := time.Parse(time.RFC3339, o.decoded().GetAnnotations()[ScheduledAt])
	if err != nil {
		return // somebody made it by hand
	}
	f.remember(o, func(c *Cron) {
		if at.After(c.Scheduled) {
			c.Scheduled = at.UTC()
		}
	})
}

// remember changes what the CronJob of a Job remembers.
func (f *folding) remember(job *Object, edit func(*Cron)) {
	if job.Owner == nil || job.Owner.Resource != events.CronJobs {
		return
	}
	if owner, ok := f.s.Get(job.OwnerKey()); ok && owner.UID == job.Owner.UID {
		f.touchOnce(owner.Key, func(o *Object) {
			c := Cron{}
			if o.Cron != nil {
				c = *o.Cron
			}
			edit(&c)
			o.Cron = &c
		})
	}
}

// cronStatus tells of the Jobs that go on, and of the newest that were made and done.
func (s State) cronStatus(o *Object) batchv1.CronJobStatus {
	var st batchv1.CronJobStatus
	for job := range s.Children(o.UID) {
		if job.Key.Resource != events.Jobs || job.Job == nil {
			continue
		}
		if _, over := job.Job.Finished(); !over {
			st.Active = append(st.Active, corev1.ObjectReference{APIVersion: "batch/v1", Kind: "Job", Namespace: job.Key.Namespace, Name: job.Key.Name,
				UID: job.Typed().GetUID(), ResourceVersion: job.Position.String()})
		}
	}
	if c := o.Cron; c != nil {
		st.LastScheduleTime, st.LastSuccessfulTime = stampOf(c.Scheduled), stampOf(c.Succeeded)
	}
	return st
}
