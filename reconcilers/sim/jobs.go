package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// tasks are the Jobs that people have. What may not change of one is in its name.
var tasks = []struct{ name, spec string }{
	{"count", `"completions":5,"parallelism":%d,"backoffLimit":4`},
	{"each", `"completions":4,"parallelism":%d,"completionMode":"Indexed","backoffLimit":6`},
	{"tries", `"completions":4,"parallelism":%d,"completionMode":"Indexed","backoffLimitPerIndex":1`},
	{"queue", `"parallelism":%d,"backoffLimit":3`},
}

// endings are the images of Jobs: pods that end well, and such that fail now and then.
var endings = []string{"ends:1", "flaky:1"}

func taskKey(i int) events.Key {
	return events.Key{Resource: events.Jobs, Namespace: "default", Name: tasks[i].name}
}

// task is somebody who makes a Job, says how many of its pods may run at a time or
// that it shall wait, or takes it away.
func (w *World) task(r uint64, rng *rand.Rand) {
	i := rng.IntN(len(tasks))
	if rng.IntN(5) == 0 {
		w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Cascade: []string{"background", "foreground", "orphan"}[rng.IntN(3)], Items: []wire.Item{{Key: taskKey(i)}}})
		return
	}
	spec := fmt.Sprintf(tasks[i].spec, rng.IntN(4))
	image := endings[i%len(endings)] // it may not change
	body := fmt.Sprintf(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":%q,"namespace":"default"},"spec":{%s,"suspend":%v,
"template":{"spec":{"restartPolicy":"Never","terminationGracePeriodSeconds":20,"containers":[{"name":"c","image":%q,"resources":{"requests":{"cpu":"100m"}}}]}}}}`,
		tasks[i].name, spec, rng.IntN(5) == 0, image)
	w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(body)}}})
}

// ends lets a container come to its end as soon as it has begun, as its image says;
// half of them go on while there is trouble.
func (n *node) ends(p *pod, container string) {
	switch image := image(p, container); {
	case !strings.HasPrefix(image, "ends") && !strings.HasPrefix(image, "flaky"), n.w.fate(2) == 0:
	case strings.HasPrefix(image, "flaky") && n.w.rng.IntN(3) == 0:
		n.crash(p, 1, false)
	default:
		n.crash(p, 0, false)
	}
}

// taskSpec is a Job as the judges read it.
type taskSpec struct {
	Spec struct {
		Parallelism    int    `json:"parallelism"`
		Completions    *int   `json:"completions"`
		CompletionMode string `json:"completionMode"`
		Suspend        bool   `json:"suspend"`
	} `json:"spec"`
}

// verdictOnJob notes what was decided about a Job.
func (l *ledger) verdictOnJob(e events.Envelope) {
	if e.Type != events.TypeOf(events.Jobs, events.VerbStatus) {
		return
	}
	var b events.JobReported
	read(e.Body, &b)
	k, _ := e.Subject.Key()
	if o := l.objects[k]; o != nil && o.uid == b.UID {
		for _, c := range b.Conditions {
			o.decided = o.decided || c.Type != "Suspended"
			if c.Type == "Complete" || c.Type == "Failed" {
				o.end, o.ended = c.Type, e.Seq
			}
		}
	}
}

// fate is what a pod came to for its Job, the first time that it came to anything.
type fate int

const (
	going fate = iota
	well
	badly
	away // its Job took it away while it went on
)

// fateOf settles what a pod came to; by says who asked it to go, if somebody just did.
func (l *ledger) fateOf(p *life, by events.Actor) {
	if p.fate != going || p.task == "" {
		return
	}
	o := l.objects[events.Key{Resource: events.Jobs, Namespace: p.key.Namespace, Name: p.task}]
	good := len(p.names) > 0
	for _, c := range p.names {
		good = good && p.exited[c] && p.codes[c] == 0
	}
	switch {
	case p.over() && good:
		p.fate = well
	case by == "reconciler:job" && o != nil && !o.decided:
		p.fate = away
	case p.over() || p.deleted != 0:
		p.fate = badly
	}
}

// jobs: a pod that is made for a Job is one of those that may run at a time, the
// only one of its index, wanted, and of a Job of which nothing was decided.
func (j *judge) jobs(e events.Envelope) {
	if e.Type != events.TypeOf(events.Pods, events.VerbCreated) {
		return
	}
	var b wish
	read(e.Body, &b)
	made := j.l.pods[b.UID]
	if made == nil || made.task == "" {
		return
	}
	o := j.l.objects[events.Key{Resource: events.Jobs, Namespace: made.key.Namespace, Name: made.task}]
	if o == nil || o.uid != made.owner {
		return
	}
	var spec taskSpec
	read(o.object, &spec)
	if o.decided || o.deleting || spec.Spec.Suspend {
		j.w.fail("jobs", "%s is made for %s, which is over, on its way out or suspended", made.key, made.task)
	}
	active, done := 0, 0
	for _, p := range j.l.order {
		if p.owner != o.uid || p.uid == made.uid {
			continue
		}
		same := spec.Spec.CompletionMode == "Indexed" && p.index == made.index
		if p.counts() {
			active++
		}
		if p.fate == well {
			done++
		}
		if same && (p.counts() || p.fate == well) {
			j.w.fail("jobs", "%s is made for index %s beside %s", made.key, made.index, p.key)
		}
	}
	if active++; active > spec.Spec.Parallelism {
		j.w.fail("jobs", "%s has %d pods, at most %d at a time", made.task, active, spec.Spec.Parallelism)
	}
	if c := spec.Spec.Completions; c != nil && spec.Spec.CompletionMode != "Indexed" && active+done > *c {
		j.w.fail("jobs", "%s has %d pods and %d are done, of %d", made.task, active, done, *c)
	}
}

// resting: a Job that nothing was decided of has pods, or waits for somebody.
func (j *judge) resting() {
	for i := range tasks {
		o := j.l.objects[taskKey(i)]
		if o == nil {
			continue
		}
		var spec taskSpec
		read(o.object, &spec)
		active := 0
		for _, p := range j.l.order {
			if p.owner == o.uid && p.counts() {
				active++
			}
		}
		switch {
		case o.decided && active > 0:
			j.w.fail("settle", "%s is over and has %d pods", tasks[i].name, active)
		case !o.decided && active == 0 && !spec.Spec.Suspend && spec.Spec.Parallelism > 0:
			j.w.fail("settle", "%s is not over and has no pods", tasks[i].name)
		}
	}
}
