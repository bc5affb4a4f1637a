package daemonset

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// fleet is a DaemonSet on nodes that come, go, are tainted and labelled, and whose pods
// fail, leave and fall silent, in any order.
type fleet struct {
	t           *rapid.T
	w           *stage.World
	generation  int
	surge, away int
}

func (f *fleet) apply() {
	f.generation++
	f.w.Apply(logs, set(fmt.Sprint("v", f.generation%3), f.generation, rolling(f.surge, f.away), `"nodeSelector":{"disk":"ssd"},`))
}

func (f *fleet) node(name string) {
	label, taint := `"disk":"ssd"`, ""
	if rapid.IntRange(0, 4).Draw(f.t, "label") == 0 {
		label = `"disk":"hdd"`
	}
	if rapid.IntRange(0, 3).Draw(f.t, "taint") == 0 {
		taint = `{"key":"x","effect":"` + rapid.SampledFrom([]string{"NoSchedule", "NoExecute", "PreferNoSchedule"}).Draw(f.t, "effect") + `"}`
	}
	f.w.Apply(stage.NodeKey(name), fmt.Sprintf(`{"metadata":{"name":%q,"labels":{%s}},"spec":{"taints":[%s]}}`, name, label, taint))
}

// decide is one decision, judged.
func (f *fleet) decide() {
	d := Reconciler{}.Decide(f.w.State, logs, f.w.Now)
	before, want := f.answering()
	taken := 0
	for _, e := range d.Events {
		if e.Type == events.TypeOf(events.Pods, events.VerbDeletionRequested) {
			if k, _ := e.Subject.Key(); f.counts(f.w.Get(k)) {
				taken++
			}
		}
	}
	f.w.Do(d.Events...)
	after, _ := f.answering()
	if taken > 0 && after < before && after < want-f.allowed() {
		f.t.Fatalf("takes %d that answer: %d of %d are left", before-after, after, want)
	}
	for node, pods := range f.living() {
		most := 1
		if f.surge > 0 {
			most = 2
		}
		if len(pods) > most && f.made(d) {
			f.t.Fatalf("%d pods on %s", len(pods), node)
		}
	}
}

func (f *fleet) made(d reconcilers.Decision) bool {
	for _, e := range d.Events {
		if e.Type == events.TypeOf(events.Pods, events.VerbCreated) {
			return true
		}
	}
	return false
}

func (f *fleet) allowed() int {
	if f.surge > 0 {
		return 0
	}
	return f.away
}

// counts tells whether a pod answers on a node where it shall.
func (f *fleet) counts(o *projections.Object) bool {
	p := f.w.Row(o)
	return o.Deletion == nil && p.Failed == nil && !p.ReadySince.IsZero() && f.wanted(projections.MeantFor(o, p))
}

func (f *fleet) wanted(node string) bool {
	n := f.w.Get(stage.NodeKey(node))
	if n == nil {
		return false
	}
	text := string(n.Raw)
	return strings.Contains(text, `"disk":"ssd"`) && !strings.Contains(text, `"NoSchedule"`) && !strings.Contains(text, `"NoExecute"`)
}

// answering is on how many of the nodes that shall have one a pod answers.
func (f *fleet) answering() (have, want int) {
	at := map[string]bool{}
	for _, o := range f.w.Pods() {
		if f.counts(o) {
			at[projections.MeantFor(o, f.w.Row(o))] = true
		}
	}
	for o := range f.w.State.List(events.Nodes, "") {
		if f.wanted(o.Key.Name) {
			want++
		}
	}
	return len(at), want
}

// living are the pods that may run, those that leave too, by node.
func (f *fleet) living() map[string][]*projections.Object {
	out := map[string][]*projections.Object{}
	for _, o := range f.w.Pods() {
		p := f.w.Row(o)
		if p.Failed != nil || !p.Stopped.IsZero() || f.surge > 0 && o.Deletion != nil {
			continue
		}
		if n := projections.MeantFor(o, p); f.wanted(n) {
			out[n] = append(out[n], o)
		}
	}
	return out
}

// Whatever happens, no decision gives a node more pods than it may have or takes more of
// those that answer than may be missing; left alone, each node that suits has one, of
// the present template.
func TestFleets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &fleet{t: t, w: stage.New()}
		if f.away = rapid.IntRange(0, 2).Draw(t, "away"); f.away == 0 {
			f.surge = rapid.IntRange(1, 2).Draw(t, "surge")
		}
		names := []string{"n1", "n2", "n3", "n4", "n5"}
		for _, n := range names[:rapid.IntRange(1, 5).Draw(t, "nodes")] {
			nodes(f.w, n)
			f.node(n)
		}
		f.apply()
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			f.step(rapid.IntRange(0, 9).Draw(t, "step"), rapid.SampledFrom(names).Draw(t, "of"))
		}
		f.settle()
	})
}

func (f *fleet) step(what int, name string) {
	pods := f.w.Pods()
	var any *projections.Object
	if len(pods) > 0 {
		any = pods[rapid.IntRange(0, len(pods)-1).Draw(f.t, "pod")]
	}
	switch node := f.w.Get(stage.NodeKey(name)); {
	case what < 3:
		f.decide()
	case what == 3:
		assign(f.t, f.w)
	case what == 4:
		up(f.t, f.w)
	case what == 5:
		reap(f.w)
	case what == 6 && node == nil:
		nodes(f.w, name)
		f.node(name)
	case what == 6:
		f.node(name)
	case what == 7 && rapid.Bool().Draw(f.t, "new template"):
		f.apply()
	case what == 7 && node != nil && rapid.IntRange(0, 3).Draw(f.t, "gone") == 0:
		f.w.Do(reconcilers.Remove(node))
		f.strand(name)
	case any == nil:
	case what == 8 && any.Deletion == nil:
		f.w.Delete(any.Key)
	case what == 9 && f.w.Row(any).Failed == nil:
		f.w.See(any, events.Fact{Kind: events.FactFailed, Reason: "Evicted"}, events.Fact{Kind: events.FactStopped})
	}
}

// strand ends the pods of a node that is gone, as the garbage collector does.
func (f *fleet) strand(node string) {
	for _, o := range f.w.Pods() {
		if f.w.Row(o).Node == node {
			f.w.Do(reconcilers.Remove(o))
		}
	}
}

func (f *fleet) settle() {
	for range 60 {
		d := Reconciler{}.Decide(f.w.State, logs, f.w.Now)
		if f.decide(); len(d.Events) == 0 && !d.WakeAt.IsZero() {
			f.w.Now = d.WakeAt
		}
		reap(f.w)
		up(f.t, f.w)
	}
	living := map[string]int{}
	for node, pods := range on(f.w) {
		living[node] = len(pods)
		if !f.wanted(node) {
			continue
		}
		if len(pods) != 1 || pods[0].PodLabels()["pod-template-generation"] != fmt.Sprint(f.generation) && image(pods[0]) != fmt.Sprint("v", f.generation%3) {
			f.t.Fatalf("%s has %d pods, of %s in generation %d", node, len(pods), image(pods[0]), f.generation)
		}
	}
	for o := range f.w.State.List(events.Nodes, "") {
		if f.wanted(o.Key.Name) && living[o.Key.Name] != 1 {
			f.t.Fatalf("%s has %d pods", o.Key.Name, living[o.Key.Name])
		}
	}
	st := status(f.w)
	if _, want := f.answering(); int(st.DesiredNumberScheduled) != want || st.NumberAvailable != st.DesiredNumberScheduled || st.UpdatedNumberScheduled != st.DesiredNumberScheduled {
		f.t.Fatalf("%d nodes and %+v", want, st)
	}
}
