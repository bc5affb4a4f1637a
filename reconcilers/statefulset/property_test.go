package statefulset_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/gc"
	"github.com/stave-run/stave/reconcilers/stage"
)

// seen is what a test of properties knows of a set's pods by itself, from the log alone.
type seen struct {
	t       *rapid.T
	w       *stage.World
	ordered bool
	spec    *appsv1.StatefulSetSpec
}

// TestAlways: whatever nodes, people and time do, no identity is twice, order is kept
// where it is asked for, a set takes no more of its pods away for another template than
// it may, and once nothing happens any more it is what was wished.
func TestAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := begin(t, anySet(t))
		s := &seen{t, b.World, b.set.Spec.PodManagementPolicy == appsv1.OrderedReadyPodManagement, &b.set.Spec}
		b.OnFold = s.look
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			happens(t, b)
			b.decide()
		}
		b.OnFold = nil
		healed(t, b)
		kept(t, b.World)
	})
}

func anySet(t *rapid.T) func(*appsv1.StatefulSetSpec) {
	return func(s *appsv1.StatefulSetSpec) {
		s.Replicas = n(rapid.IntRange(0, 4).Draw(t, "replicas"))
		if rapid.Bool().Draw(t, "parallel") {
			s.PodManagementPolicy = appsv1.ParallelPodManagement
		}
		if first := rapid.IntRange(0, 2).Draw(t, "first"); first > 0 {
			s.Ordinals = &appsv1.StatefulSetOrdinals{Start: int32(first)}
		}
		s.MinReadySeconds = int32(rapid.SampledFrom([]int{0, 0, 20}).Draw(t, "minReady"))
		r := &appsv1.RollingUpdateStatefulSetStrategy{Partition: n(rapid.IntRange(0, 3).Draw(t, "partition"))}
		most := intstr.FromInt32(int32(rapid.IntRange(1, 3).Draw(t, "away")))
		r.MaxUnavailable = &most
		s.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: r}
	}
}

// look holds each event of the reconciler to the rules.
func (s *seen) look(e events.Envelope, changes []projections.Change) {
	if e.Actor != events.Controller("statefulset") || e.Type.Resource() != events.Pods {
		return
	}
	for _, c := range changes {
		if c.Key.Resource != events.Pods || c.After == nil {
			continue
		}
		_, ordinal, _ := projections.Ordinal(c.Key.Name)
		switch e.Type.Verb() {
		case events.VerbCreated:
			s.made(ordinal)
		case events.VerbDeletionRequested:
			s.asked(c.After, ordinal)
		}
	}
}

// made: nothing is made beyond the ordinals, and in order all before it are available.
func (s *seen) made(ordinal int) {
	first, end := s.bounds()
	if ordinal < first || ordinal >= end {
		s.t.Fatalf("web-%d is made of %d to %d", ordinal, first, end)
	}
	for i := first; s.ordered && i < ordinal; i++ {
		if !s.serves(i) {
			s.t.Fatalf("web-%d is made before web-%d serves", ordinal, i)
		}
	}
}

// asked: a pod is asked to go because it is too many, the last first; or because it is
// over; or for another template, and then no more are missing than may be.
func (s *seen) asked(o *projections.Object, ordinal int) {
	first, end := s.bounds()
	row := s.w.Row(o)
	if ordinal < first || ordinal >= end {
		for _, other := range s.w.Pods() {
			if _, i, _ := projections.Ordinal(other.Key.Name); s.ordered && i > ordinal && i >= end && ordinal >= end && other.Key != o.Key {
				s.t.Fatalf("web-%d goes before web-%d", ordinal, i)
			}
		}
		return
	}
	if !row.Stopped.IsZero() || row.Failed != nil {
		return
	}
	if ordinal < first+int(*s.spec.UpdateStrategy.RollingUpdate.Partition) {
		s.t.Fatalf("web-%d is below the partition and goes", ordinal)
	}
	away := 0
	for i := first; i < end; i++ {
		if !s.serves(i) {
			away++
		}
	}
	if most := s.spec.UpdateStrategy.RollingUpdate.MaxUnavailable.IntValue(); s.served(row) && away > most {
		s.t.Fatalf("%d of %d pods are away, %d may be", away, end-first, most)
	}
}

func (s *seen) bounds() (int, int) {
	first := 0
	if s.spec.Ordinals != nil {
		first = int(s.spec.Ordinals.Start)
	}
	return first, first + int(*s.spec.Replicas)
}

// serves tells whether a pod is there, wanted, and ready for long enough.
func (s *seen) serves(ordinal int) bool {
	o := s.w.Get(stage.PodKey(fmt.Sprint("web-", ordinal)))
	return o != nil && o.Deletion == nil && s.served(s.w.Row(o))
}

func (s *seen) served(row *projections.Pod) bool {
	return row.Failed == nil && row.Stopped.IsZero() && !row.ReadySince.IsZero() && !row.Lost &&
		!row.ReadySince.Time.Add(time.Duration(s.spec.MinReadySeconds)*time.Second).After(s.w.Now)
}

// happens is something that a node, a person or time does.
func happens(t *rapid.T, b *bench) {
	pods := b.Pods()
	what := rapid.IntRange(0, 11).Draw(t, "what")
	if what < 2 || len(pods) == 0 && what < 9 {
		b.Now = b.Now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
		return
	}
	switch {
	case what < 9:
		onePod(t, b, pods[rapid.IntRange(0, len(pods)-1).Draw(t, "pod")], what)
	case what == 9:
		b.edit(func(s *appsv1.StatefulSetSpec) { s.Replicas = n(rapid.IntRange(0, 5).Draw(t, "replicas")) })
	case what == 10:
		b.edit(image(rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "image")))
	default:
		b.edit(func(s *appsv1.StatefulSetSpec) {
			s.UpdateStrategy.RollingUpdate.Partition = n(rapid.IntRange(0, 3).Draw(t, "partition"))
		})
	}
}

func onePod(t *rapid.T, b *bench, o *projections.Object, what int) {
	row := b.Row(o)
	switch {
	case o.Deletion != nil:
		if row.Node != "" {
			b.Stopped(o)
		}
		if _, err := b.Run(gc.Reconciler{}, o.Key); err != nil {
			t.Fatal(err)
		}
	case row.Node == "":
		b.Assign(o, "n1")
	case what < 6:
		b.Ready(o)
	case what == 6:
		b.See(o, events.Fact{Kind: events.FactUnready, Container: "c", Run: 1})
	case what == 7:
		b.See(o, events.Fact{Kind: events.FactFailed, Reason: "Evicted"}, events.Fact{Kind: events.FactStopped})
	default:
		b.Delete(o.Key)
	}
}

// healed: when nothing goes wrong any more, the set is what was wished, below the
// partition as it was.
func healed(t *rapid.T, b *bench) {
	for range 40 {
		b.decide()
		b.Now = b.Now.Add(time.Minute)
		for _, o := range b.Pods() {
			switch row := b.Row(o); {
			case o.Deletion != nil:
				onePod(t, b, o, 0)
			case row.Node == "":
				b.Assign(o, "n1")
			case row.ReadySince.IsZero() && row.Failed == nil && row.Stopped.IsZero():
				b.Ready(o)
			}
		}
	}
	b.decide()
	first, end := projections.Ordinals(b.set)
	want := ""
	for i := first; i < end; i++ {
		want += fmt.Sprintf("web-%d ", i)
	}
	if got := b.names() + " "; got != want && !(got == " " && want == "") {
		t.Fatalf("at last there are %q, want %q", got, want)
	}
	st := b.status()
	for _, o := range b.Pods() {
		_, i, _ := projections.Ordinal(o.Key.Name)
		if i >= first+int(*b.set.Spec.UpdateStrategy.RollingUpdate.Partition) && o.PodLabels()[appsv1.StatefulSetRevisionLabel] != st.UpdateRevision {
			t.Fatalf("%s is of %s at last, want %s", o.Key.Name, o.PodLabels()[appsv1.StatefulSetRevisionLabel], st.UpdateRevision)
		}
	}
	if int(st.AvailableReplicas) != end-first || int(st.Replicas) != end-first {
		t.Fatalf("at last: %+v", st)
	}
}

// kept: a checkpoint forgets nothing of a set.
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
