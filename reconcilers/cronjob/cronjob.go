// Package cronjob makes a Job at each time that a CronJob's schedule names, once,
// and takes the oldest away of those that are over.
//
// For which time a Job was made stands on it, and the fold keeps the newest of these
// times: a time whose Job is long gone does not come again.
package cronjob

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/cron"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct {
	// Guards are asked about Jobs beside quotas.
	Guards birth.Guards
}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "cronjob" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 4 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return append(birth.Reads(), events.CronJobs, events.Jobs)
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{events.TypeOf(events.Jobs, events.VerbCreated), events.TypeOf(events.Jobs, events.VerbDeletionRequested),
		events.TypeOf(events.CronJobs, events.VerbVerdict)}
}

// Keys implements reconcilers.Reconciler.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	if namespace, eases := birth.Eases(c); eases {
		return birth.Held(v, events.CronJobs, namespace)
	}
	if c.Key.Resource == events.CronJobs && c.After != nil {
		return []events.Key{c.Key}
	}
	if c.Key.Resource != events.Jobs {
		return nil
	}
	for _, o := range []*projections.Object{c.After, c.Before} {
		if o != nil && o.Owner != nil && o.Owner.Resource == events.CronJobs {
			return []events.Key{o.OwnerKey()}
		}
	}
	return nil
}

// pass is one decision under way.
type pass struct {
	v      reconcilers.View
	o      *projections.Object
	cron   *batchv1.CronJob
	now    time.Time
	guards birth.Guards
	active []*projections.Object
	over   map[batchv1.JobConditionType][]*projections.Object
	// refused is why the Job that is due must not be made; nil when nothing bars it.
	refused []events.Reason
	d       reconcilers.Decision
}

// Decide implements reconcilers.Reconciler.
func (r Reconciler) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || o.Deletion != nil {
		return reconcilers.Decision{}
	}
	p := &pass{v: v, o: o, cron: projections.As[*batchv1.CronJob](o), now: now, guards: r.Guards, over: map[batchv1.JobConditionType][]*projections.Object{}}
	for job := range v.Children(o.UID) {
		if job.Key.Resource != events.Jobs || job.Job == nil {
			continue
		}
		if end, over := job.Job.Finished(); over {
			t := batchv1.JobConditionType(end.Type)
			p.over[t] = append(p.over[t], job)
			continue
		}
		p.active = append(p.active, job)
	}
	p.forget(batchv1.JobComplete, p.cron.Spec.SuccessfulJobsHistoryLimit)
	p.forget(batchv1.JobFailed, p.cron.Spec.FailedJobsHistoryLimit)
	p.schedule()
	p.conclude()
	return p.d
}

// forget takes the oldest Jobs of one kind of end away that are too many.
func (p *pass) forget(end batchv1.JobConditionType, limit *int32) {
	list := p.over[end]
	if limit == nil || len(list) <= int(*limit) {
		return
	}
	slices.SortFunc(list, func(a, b *projections.Object) int {
		if c := a.Created.Time.Compare(b.Created.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Key.Name, b.Key.Name)
	})
	p.remove(list[:len(list)-int(*limit)])
}

// remove asks Jobs to go, as many as the decision may hold beside the Job that is due and a verdict; false when that is not all.
func (p *pass) remove(list []*projections.Object) bool {
	for _, job := range list {
		switch {
		case job.Deletion != nil:
		case len(p.d.Events) >= reconcilers.MaxSteps-2:
			p.d.More = true
			return false
		default:
			p.d.Events = append(p.d.Events, reconcilers.RequestDeletion(job, events.DeletionRequested{}))
		}
	}
	return true
}

// schedule makes the Job of the newest time that is due, and says when the next one is.
func (p *pass) schedule() {
	s := &p.cron.Spec
	if s.Suspend != nil && *s.Suspend {
		p.because("Suspended", "")
		return
	}
	when, at, err := p.times()
	if err != nil {
		p.because("InvalidSchedule", err.Error())
		return
	}
	from := projections.CountsFrom(p.o).In(at)
	p.d.WakeAt = when.Following(from, p.now.In(at))
	due := when.Last(from, p.now.In(at))
	switch {
	case due.IsZero() || p.late(due):
		p.because("NotDue", "next at "+p.d.WakeAt.Format(time.RFC3339))
		return
	case s.ConcurrencyPolicy == batchv1.ForbidConcurrent && len(p.active) > 0:
		p.because("JobAlreadyActive", fmt.Sprintf("%s is due, and %s goes on", due.Format(time.RFC3339), p.active[0].Key.Name))
		return
	}
	k := events.Key{Resource: events.Jobs, Namespace: p.o.Key.Namespace, Name: fmt.Sprintf("%s-%d", p.o.Key.Name, due.Unix()/60)}
	if other, taken := p.v.Get(k); taken {
		p.because("NameTaken", other.Key.Name+" is there already")
		return
	}
	if s.ConcurrencyPolicy == batchv1.ReplaceConcurrent && !p.remove(p.active) {
		return
	}
	p.begin(k, due)
}

// begin makes a Job, or has it tried again where something bars it.
func (p *pass) begin(k events.Key, due time.Time) {
	j, body := p.job(k, due)
	whole := func() events.Object { return j.DeepCopy() }
	desk := birth.Before(p.v, p.o, p.guards)
	said := desk.Object(k, whole)
	if said == "" {
		desk.Bear(&p.d, k, body, whole, p.now)
		return
	}
	p.refused = birth.Refused(k, said)
	p.d.Because = append(p.d.Because, p.refused...)
	p.d.Wake(p.now.Add(birth.Again))
}

// conclude writes down why no Job is made, or that nothing bars one any more, when that is news. What those said who are asked
// first stands until they say otherwise.
func (p *pass) conclude() {
	if len(p.d.Wishes) > 0 {
		return
	}
	said := ""
	if p.refused != nil {
		said = p.refused[0].Said
	}
	if birth.News(p.v, p.o, said) {
		p.d.Events = append(p.d.Events, reconcilers.Conclude(p.o, p.refused))
	}
}

func (p *pass) because(code events.Code, said string) {
	p.d.Because = append(p.d.Because, events.Reason{Code: code, About: p.o.Key, Said: said})
}

// times are the schedule and the zone in which it is meant.
func (p *pass) times() (cron.Schedule, *time.Location, error) {
	zone := ""
	if z := p.cron.Spec.TimeZone; z != nil {
		zone = *z
	}
	at, err := cron.Zone(zone)
	if err != nil {
		return cron.Schedule{}, nil, err
	}
	when, err := cron.Parse(p.cron.Spec.Schedule)
	return when, at, err
}

// late tells whether a time is longer ago than its Job may begin late.
func (p *pass) late(due time.Time) bool {
	most := p.cron.Spec.StartingDeadlineSeconds
	return most != nil && !due.After(p.now.Add(-events.Seconds(*most)))
}

// job is the Job of one time.
func (p *pass) job(k events.Key, due time.Time) (*batchv1.Job, events.Created) {
	t := p.cron.Spec.JobTemplate.DeepCopy()
	j := &batchv1.Job{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, Spec: t.Spec,
		ObjectMeta: metav1.ObjectMeta{Name: k.Name, Namespace: k.Namespace, Labels: t.Labels, Annotations: maps.Clone(t.Annotations)}}
	if j.Annotations == nil {
		j.Annotations = map[string]string{}
	}
	j.Annotations[projections.ScheduledAt] = due.Format(time.RFC3339)
	manifest.Default(j)
	raw, err := manifest.Canonical(j)
	if err != nil {
		panic(fmt.Sprintf("encode %s: %v", k, err)) // it was decoded from the log
	}
	owner := &events.Owner{Resource: p.o.Key.Resource, Name: p.o.Key.Name, UID: p.o.UID}
	j.OwnerReferences = []metav1.OwnerReference{owner.Reference()}
	return j, events.Created{Object: raw, Owner: owner}
}
