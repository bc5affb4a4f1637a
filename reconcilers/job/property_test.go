package job

import (
	"bytes"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// anyJob is a Job of any kind.
func anyJob(t *rapid.T) *batchv1.Job {
	return job(func(s *batchv1.JobSpec) {
		s.Parallelism = n(int32(rapid.IntRange(0, 4).Draw(t, "parallelism")))
		s.BackoffLimit = n(int32(rapid.IntRange(0, 5).Draw(t, "backoffLimit")))
		if rapid.Bool().Draw(t, "counted") {
			s.Completions = n(int32(rapid.IntRange(0, 6).Draw(t, "completions")))
		}
		if s.Completions != nil && rapid.Bool().Draw(t, "indexed") {
			s.CompletionMode = mode(batchv1.IndexedCompletion)
			if rapid.Bool().Draw(t, "perIndex") {
				s.BackoffLimit, s.BackoffLimitPerIndex = nil, n(int32(rapid.IntRange(0, 2).Draw(t, "limit")))
			}
		}
		if rapid.Bool().Draw(t, "waits") {
			failed := batchv1.Failed
			s.PodReplacementPolicy = &failed
		}
	})
}

// TestAlways: whatever happens to its pods, a Job has no more of them than it may,
// one an index, and none once it is over; and every end is counted once.
func TestAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := stage.New()
		w.Node("n1", "64", "64Gi")
		k := stage.In(events.Jobs, "pi")
		j := anyJob(t)
		raw, err := manifest.Canonical(j)
		if err != nil {
			t.Fatal(err)
		}
		w.Apply(k, string(raw))
		counted := 0
		w.OnFold = func(e events.Envelope, _ []projections.Change) {
			o, ok := w.State.Get(k)
			if !ok || o.Job == nil {
				return
			}
			if e.Type == events.TypeOf(events.Pods, events.VerbCreated) {
				allowed(t, w, o, j)
			}
			if now := o.Job.Succeeded + o.Job.Failed; now < counted {
				t.Fatalf("%d ends were counted, now %d", counted, now)
			} else {
				counted = now
			}
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			happens(t, w, k, raw)
			decides(t, w, k)
		}
		balanced(t, w, k)
		kept(t, w)
	})
}

// decides lets the reconciler do one thing, or all that it wants.
func decides(t *rapid.T, w *stage.World, k events.Key) {
	if _, err := w.Run(Reconciler{}, k); err != nil {
		t.Fatal(err)
	}
	for _, o := range w.Pods() {
		if w.Row(o).Node == "" && rapid.Bool().Draw(t, "assigned") {
			w.Assign(o, "n1")
		}
	}
}

// allowed holds a Job to its rules when a pod of its was just made.
func allowed(t *rapid.T, w *stage.World, o *projections.Object, j *batchv1.Job) {
	active, waiting := 0, 0
	index := map[int]int{}
	for pod := range w.State.Children(o.UID) {
		row, _ := w.State.PodOf(pod.Key)
		if over(pod, row) {
			continue
		}
		if pod.Deletion != nil {
			waiting++
			continue
		}
		active++
		if i, ok := projections.IndexOf(pod); ok {
			index[i]++
		}
	}
	if _, over := o.Job.Target(); over {
		t.Fatalf("a pod is made of a Job of which is decided: %+v", o.Job.Conditions)
	}
	if *j.Spec.PodReplacementPolicy == batchv1.Failed {
		active += waiting
	}
	if active > int(*j.Spec.Parallelism) {
		t.Fatalf("%d pods of %d at a time", active, *j.Spec.Parallelism)
	}
	if c := j.Spec.Completions; c != nil && !projections.Indexed(j) && active+o.Job.Succeeded > int(*c) {
		t.Fatalf("%d pods run and %d are done of %d", active, o.Job.Succeeded, *c)
	}
	for i, count := range index {
		if count > 1 || o.Job.Completed.Has(i) || o.Job.Lost.Has(i) {
			t.Fatalf("index %d has %d pods: done %s, lost %s", i, count, o.Job.Completed, o.Job.Lost)
		}
	}
}

// happens is something that a node, a person or time does.
func happens(t *rapid.T, w *stage.World, k events.Key, raw []byte) {
	pods := w.Pods()
	switch what := rapid.IntRange(0, 9).Draw(t, "what"); {
	case what < 2 || len(pods) == 0:
		w.Now = w.Now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "seconds")) * time.Second)
	case what < 7:
		o := pods[rapid.IntRange(0, len(pods)-1).Draw(t, "pod")]
		code := rapid.IntRange(0, 1).Draw(t, "code")
		facts := []events.Fact{{Kind: events.FactExited, Container: "c", Run: 1, Code: code}}
		if o.Deletion != nil || rapid.Bool().Draw(t, "stopped") {
			facts = append(facts, events.Fact{Kind: events.FactStopped})
		}
		w.See(o, facts...)
	case what == 7:
		w.Delete(pods[rapid.IntRange(0, len(pods)-1).Draw(t, "pod")].Key)
	case what == 8:
		w.Do(reconcilers.Remove(pods[rapid.IntRange(0, len(pods)-1).Draw(t, "pod")]))
	default:
		suspended := rapid.Bool().Draw(t, "suspend")
		w.Apply(k, string(reconcilers.Edit(raw, func(o map[string]any) { reconcilers.Field(o, "spec")["suspend"] = suspended })))
	}
}

// balanced: what was ever made runs, or is counted, or was taken away by the Job itself.
func balanced(t *rapid.T, w *stage.World, k events.Key) {
	o := w.Get(k)
	if o == nil {
		return
	}
	ended, taken := 0, map[events.UID]bool{}
	made, gone := 0, map[events.UID]bool{}
	for _, e := range w.Log {
		if e.Type.Resource() != events.Pods || e.Subject.Class() != "spec" {
			continue
		}
		switch e.Type.Verb() {
		case events.VerbCreated:
			made++
		case events.VerbDeletionRequested:
			b, _ := events.Decode[events.DeletionRequested](e)
			taken[b.UID] = taken[b.UID] || e.Actor == events.Controller(projections.JobController)
		case events.VerbRemoved:
			b, _ := events.Decode[events.Removed](e)
			gone[b.UID] = true
		}
	}
	runs, leaving := 0, 0
	for _, pod := range w.Pods() {
		switch {
		case over(pod, w.Row(pod)):
		case pod.Deletion != nil:
			leaving++
		default:
			runs++
		}
	}
	ended = o.Job.Succeeded + o.Job.Failed
	if ended+runs > made || ended+runs+leaving+len(taken)+len(gone) < made && !projections.Indexed(projections.As[*batchv1.Job](o)) {
		t.Fatalf("%d made, %d run, %d counted, %d taken away, %d removed", made, runs, ended, len(taken), len(gone))
	}
}

// kept: a checkpoint forgets nothing of a Job.
func kept(t *rapid.T, w *stage.World) {
	var b bytes.Buffer
	if err := w.State.Keep(&b); err != nil {
		t.Fatal(err)
	}
	s, err := projections.Restore(projections.KeptVersion, &b)
	if err != nil || !bytes.Equal(s.Dump(), w.State.Dump()) {
		t.Fatalf("the checkpoint is another state: %v", err)
	}
}
