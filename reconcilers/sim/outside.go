package sim

import (
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/run"
)

// guarded is the image about whose pods and sets somebody outside is asked first, in the namespace that has a quota.
const guarded = "three:1"

// guards are admission webhooks.
func guards(projections.State, events.Resource) birth.Guard {
	return birth.Guard{Asks: func(o events.Object) bool {
		switch o := o.(type) {
		case *corev1.Pod:
			return o.Namespace == rationed && o.Spec.Containers[0].Image == guarded
		case *appsv1.ReplicaSet:
			return o.Namespace == rationed && o.Spec.Template.Spec.Containers[0].Image == guarded
		}
		return false
	}}
}

// outside are those who are asked about controllers' pods and sets: they answer late, twice, never, or refuse.
type outside struct {
	rng   *rand.Rand // of its own: the seeds of old findings must go on meaning the same
	asked []*question
	told  int
}

// question is one that is not answered yet.
type question struct {
	by     reconcilers.Reconciler
	of     events.Key
	wish   reconcilers.Wish
	answer birth.Answer
	due    time.Time
}

// maxLate is how long an answer may take, in beats: longer than a controller waits before it wishes again.
const maxLate = 15

// wished asks about what a decision wishes for, as the control plane does: about no more of what looks alike than is wished for.
func (w *World) wished(r *replica, work run.Work) {
	open := map[events.Hash]int{}
	for _, q := range w.outside.asked {
		if q.of == work.Key {
			open[q.answer.About]++
		}
	}
	for _, wish := range work.Decision.Wishes {
		about := birth.SumOf(wish)
		if open[about]--; open[about] >= 0 {
			continue
		}
		q := &question{by: r.named(work.Reconciler), of: work.Key, wish: wish, answer: birth.Answer{About: about}, due: w.now.Add(time.Duration(w.outside.rng.IntN(maxLate)) * beat)}
		w.outside.asked = append(w.outside.asked, q)
		switch fate := w.outside.rng.IntN(8); {
		case w.calm:
		case fate == 0:
			q.answer.Said = "not now"
		case fate == 1:
			q.due = time.Time{} // whoever asked is gone, and nobody hears the answer
		case fate == 2:
			again := *q
			w.outside.asked = append(w.outside.asked, &again)
		}
		if fate := w.outside.rng.IntN(2); fate == 0 {
			q.answer.Object = wish.Object.DeepCopyObject().(events.Object)
			said := map[string]string{"outside": "was here"}
			maps.Copy(said, q.answer.Object.GetAnnotations())
			q.answer.Object.SetAnnotations(said)
		}
	}
}

// named is a reconciler of a replica by its name and version.
func (r *replica) named(version string) reconcilers.Reconciler {
	name, _, _ := strings.Cut(version, "/")
	for _, x := range r.reconcilers() {
		if x.Name() == name {
			return x
		}
	}
	panic("nobody is called " + name)
}

// reply brings the answers that are due to whoever decides now.
func (w *World) reply() {
	var due, later []*question
	for _, q := range w.outside.asked {
		switch {
		case q.due.After(w.now):
			later = append(later, q)
		case !q.due.IsZero():
			due = append(due, q)
		}
	}
	w.outside.asked = later
	for _, q := range due {
		w.outside.told++
		w.note("somebody outside says of what %s wishes for: %q", q.of, q.answer.Said)
		w.submit(run.Request{Actor: events.Controller(q.by.Name()), ID: "answer-" + itoa(w.outside.told), Key: q.of,
			Decide: func(v reconcilers.View, now time.Time) ([]reconcilers.Draft, error) {
				if w.plant.rash && q.answer.Said == "" {
					return rash(v, q), nil
				}
				return birth.Answered(q.by, v, q.of, q.answer, now), nil
			}})
	}
}

// rash makes what was wished for once, whatever is wished for now.
func rash(v reconcilers.View, q *question) []reconcilers.Draft {
	o, ok := v.Get(q.of)
	if _, taken := v.Get(q.wish.Key); !ok || taken {
		return nil
	}
	d := reconcilers.Create(q.wish.Key, q.wish.Body)
	d.Cause = o.Changed.Seq
	return []reconcilers.Draft{d}
}
