package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// timers are the CronJobs that people have. What may not change of one is in its name.
var timers = []struct{ name, spec string }{
	{"tick", `"schedule":"* * * * *","concurrencyPolicy":"Allow","successfulJobsHistoryLimit":2,"failedJobsHistoryLimit":1`},
	{"alone", `"schedule":"* * * * *","concurrencyPolicy":"Forbid","successfulJobsHistoryLimit":1,"failedJobsHistoryLimit":2`},
	{"newest", `"schedule":"* * * * *","concurrencyPolicy":"Replace","successfulJobsHistoryLimit":0,"failedJobsHistoryLimit":1`},
	{"strict", `"schedule":"*/2 * * * *","startingDeadlineSeconds":30`},
}

func timerKey(i int) events.Key {
	return events.Key{Resource: events.CronJobs, Namespace: "default", Name: timers[i].name}
}

// timer is somebody who makes a CronJob, has it wait or go on, takes it away, or takes a Job of one away.
func (w *World) timer(r uint64, rng *rand.Rand) {
	i := rng.IntN(len(timers))
	how := []string{"background", "foreground", "orphan"}[rng.IntN(3)]
	switch rng.IntN(8) {
	case 0:
		w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Cascade: how, Items: []wire.Item{{Key: timerKey(i)}}})
	case 1:
		for o := range w.newest().List(events.Jobs, "default") {
			if o.Owner != nil && o.Owner.Resource == events.CronJobs {
				w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Cascade: how, Items: []wire.Item{{Key: o.Key}}})
				return
			}
		}
	default:
		w.setTimer(r, i, rng.IntN(5) == 0)
	}
}

func (w *World) setTimer(id uint64, i int, wait bool) {
	w.ask(id, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
		`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":%q,"namespace":"default"},"spec":{%s,"suspend":%v,"jobTemplate":{"spec":{"backoffLimit":1,
"template":{"spec":{"restartPolicy":"Never","terminationGracePeriodSeconds":20,"containers":[{"name":"c","image":%q,"resources":{"requests":{"cpu":"100m"}}}]}}}}}}`,
		timers[i].name, timers[i].spec, wait, endings[i%len(endings)]))}}})
}

// stopTimers has those wait that still go on: or nothing would ever come to rest. Before that each shall have done what it is there for.
func (w *World) stopTimers(id uint64) {
	for i := range timers {
		o := w.judge.l.objects[timerKey(i)]
		if o == nil || o.deleting || len(o.timers) == 0 || o.timers[len(o.timers)-1].Suspend {
			continue
		}
		w.judge.served(i, o)
		w.setTimer(id+uint64(i), i, true)
	}
}

// timing is a CronJob as the judges read it, from an event on.
type timing struct {
	seq      events.Seq
	Suspend  bool   `json:"suspend"`
	Policy   string `json:"concurrencyPolicy"`
	Schedule string `json:"schedule"`
	Well     *int   `json:"successfulJobsHistoryLimit"`
	Badly    *int   `json:"failedJobsHistoryLimit"`
}

// timed notes what a CronJob is from now on.
func (o *entry) timed(e events.Seq, object []byte) {
	var b struct {
		Spec timing `json:"spec"`
	}
	read(object, &b)
	b.Spec.seq = e
	o.timers = append(o.timers, b.Spec)
}

// timingAt is what a CronJob was when a decision looked at it.
func (o *entry) timingAt(at events.Seq) (timing, bool) {
	for _, t := range slices.Backward(o.timers) {
		if t.seq <= at {
			return t, true
		}
	}
	return timing{}, false
}

// limit is how many Jobs that ended in one way are kept.
func (t timing) limit(end string) int {
	n, limit := 3, t.Well
	if end == "Failed" {
		n, limit = 1, t.Badly
	}
	if limit != nil {
		n = *limit
	}
	return n
}

// siblings are the Jobs of a CronJob other than one that nobody asked to go, by how they ended; the ones that go on under "".
func (j *judge) siblings(owner events.UID, but events.UID) map[string][]*entry {
	out := map[string][]*entry{}
	for k, o := range j.l.objects { //stave:sorted: they are counted
		if k.Resource == events.Jobs && o.owner != nil && o.owner.UID == owner && o.uid != but && (o.end == "" || !o.deleting) {
			out[o.end] = append(out[o.end], o)
		}
	}
	return out
}

// timely: of the times of a CronJob each has one Job at most, none before it is there, and the later ones have theirs later; none
// while it is to wait, or beside another where that is forbidden.
func (j *judge) timely(e events.Envelope) {
	if e.Type != events.TypeOf(events.Jobs, events.VerbCreated) || !strings.HasPrefix(e.Reconciler, "cronjob/") {
		return
	}
	var b wish
	read(e.Body, &b)
	var job podBody
	read(b.Object, &job)
	k, _ := e.Subject.Key()
	o := j.l.objects[events.Key{Resource: events.CronJobs, Namespace: k.Namespace, Name: b.Owner.Name}]
	at, err := time.Parse(time.RFC3339, job.Metadata.Annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"])
	if o == nil || o.uid != b.Owner.UID || err != nil {
		j.w.fail("timers", "%s is made for a CronJob that is gone, or for no time: %v", k, err)
		return
	}
	if !at.After(o.last) {
		j.w.fail("timers", "%s is for %s, and one for %s was made before", k, at, o.last)
	}
	t, _ := o.timingAt(e.Basis)
	j.pacedBy(t, o, at, k)
	o.last = at
	if at.After(e.Time.Add(mostSkew)) {
		j.w.fail("timers", "%s is for %s, which is to come", k, at)
	}
	if going := j.siblings(o.uid, b.UID)[""]; t.Suspend || t.Policy == "Forbid" && len(going) > 0 {
		j.w.fail("timers", "%s is made beside %d others (%s), suspended: %v", k, len(going), t.Policy, t.Suspend)
	}
}

// mostSkew is how far the clock of a replica may be off.
const mostSkew = time.Minute

// forgets: a CronJob takes the oldest away of those of its Jobs that are over and too many, and of those that go on only what it
// makes another for.
func (j *judge) forgets(e events.Envelope) {
	if e.Type != events.TypeOf(events.Jobs, events.VerbDeletionRequested) || !strings.HasPrefix(e.Reconciler, "cronjob/") {
		return
	}
	k, _ := e.Subject.Key()
	o := j.l.objects[k]
	if o == nil || o.owner == nil {
		return
	}
	owner := j.l.objects[events.Key{Resource: events.CronJobs, Namespace: k.Namespace, Name: o.owner.Name}]
	if owner == nil || owner.uid != o.owner.UID {
		return
	}
	t, _ := owner.timingAt(e.Basis)
	if o.end == "" || o.ended > e.Basis {
		if t.Policy != "Replace" {
			j.w.fail("timers", "%s goes on and shall go (%s)", k, t.Policy)
		}
		return
	}
	rest := j.siblings(owner.uid, o.uid)[o.end]
	older := func(x *entry) bool { return x.ended <= e.Basis && x.last.Before(o.last) }
	if len(rest) < t.limit(o.end) || slices.ContainsFunc(rest, older) {
		j.w.fail("timers", "%s shall go, and %d others like it are kept, of %d (%s)", k, len(rest), t.limit(o.end), o.end)
	}
}

// served: when nothing is broken any more, a CronJob that may have Jobs beside each other has one for the last minutes.
func (j *judge) served(i int, o *entry) {
	if t := o.timers[len(o.timers)-1]; t.Policy == "Allow" && t.Schedule == "* * * * *" && j.w.now.Sub(o.last) > 2*mostSkew+time.Minute {
		j.w.fail("timers", "%s made its last Job for %s, and it is %s", timers[i].name, o.last, j.w.now)
	}
}

// wound: nobody keeps more Jobs than wished.
func (j *judge) wound() {
	for k, o := range j.l.objects { //stave:sorted: the first that is found is told
		if k.Resource != events.CronJobs {
			continue
		}
		t := o.timers[len(o.timers)-1]
		for end, jobs := range j.siblings(o.uid, "") { //stave:sorted: there are two
			if end != "" && len(jobs) > t.limit(end) {
				j.w.fail("settle", "%s keeps %d Jobs (%s), of %d", k, len(jobs), end, t.limit(end))
			}
		}
	}
}
