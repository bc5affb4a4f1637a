package reconcilers_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

func TestEditLeavesTheRest(t *testing.T) {
	raw := []byte(`{"spec":{"replicas":1,"big":9007199254740993,"unknown":{"a":[1,2]}},"metadata":{"name":"x"}}`)
	got := reconcilers.Edit(raw, func(object map[string]any) {
		reconcilers.Field(object, "spec")["replicas"] = 2
		reconcilers.Field(reconcilers.Field(object, "metadata"), "annotations")["k"] = "v"
	})
	want := `{"metadata":{"annotations":{"k":"v"},"name":"x"},"spec":{"big":9007199254740993,"replicas":2,"unknown":{"a":[1,2]}}}`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
}

func TestSameChangesNothing(t *testing.T) {
	w := stage.New()
	raw := []byte(`{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c"}],"terminationGracePeriodSeconds":5}}`)
	w.Do(reconcilers.StoreTemplate(raw), reconcilers.Create(stage.PodKey("p"), events.Created{Template: events.HashOf(raw),
		Object: []byte(`{"metadata":{"name":"p"}}`), Applied: []byte(`{"x":1}`), Owner: &events.Owner{Resource: events.ReplicaSets, Name: "rs", UID: "u"}}))
	before := w.Get(stage.PodKey("p"))
	w.Do(reconcilers.Change(before, reconcilers.Same(before)))
	after := w.Get(stage.PodKey("p"))
	if fmt.Sprint(after.Owner, after.Template, string(after.Raw), string(after.Applied), after.Generation) !=
		fmt.Sprint(before.Owner, before.Template, string(before.Raw), string(before.Applied), before.Generation) || after == before {
		t.Errorf("%+v became %+v", before, after)
	}
	if g := reconcilers.GraceOf(after); g != 5 {
		t.Errorf("grace %d", g)
	}
	if g := reconcilers.GraceOf(w.Apply(stage.PodKey("q"), `{}`)); g != 30 {
		t.Errorf("grace of one that does not say %d", g)
	}
}

func TestSooner(t *testing.T) {
	early, late := stage.Start, stage.Start.Add(time.Second)
	for _, c := range [][3]time.Time{{{}, {}, {}}, {early, {}, early}, {{}, late, late}, {early, late, early}, {late, early, early}} {
		if got := reconcilers.Sooner(c[0], c[1]); !got.Equal(c[2]) {
			t.Errorf("Sooner(%v, %v) = %v", c[0], c[1], got)
		}
	}
}

func TestDraftsNameTheirSubjectsAndTypes(t *testing.T) {
	w := stage.New()
	o := w.Apply(stage.PodKey("p"), `{}`)
	for _, c := range []struct {
		d    reconcilers.Draft
		subj events.Subject
		typ  events.Type
	}{
		{reconcilers.Remove(o), "log.spec.pods.default.p", "pods.removed"},
		{reconcilers.RequestDeletion(o, events.DeletionRequested{}), "log.spec.pods.default.p", "pods.deletion-requested"},
		{reconcilers.Conclude(o, nil), "log.verdict.pods.default.p", "pods.verdict-changed"},
		{reconcilers.Assign("n1", events.Assigned{}), "log.assign.n1", events.PodsAssigned},
		{reconcilers.Report(stage.NodeKey("n1"), events.NodeReported{}), "log.status.nodes.=.n1", "nodes.status-reported"},
	} {
		if c.d.Subject != c.subj || c.d.Type != c.typ {
			t.Errorf("%s %s, want %s %s", c.d.Subject, c.d.Type, c.subj, c.typ)
		}
	}
}

// What the fold keeps of a node's use is what a count of its pods gives.
func TestUsageIsTheSumOfWhatHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := stage.New()
		w.Node("n1", "4", "8Gi")
		w.Node("n2", "4", "8Gi")
		for i := range rapid.IntRange(1, 30).Draw(t, "steps") {
			if i%2 == 0 {
				name := fmt.Sprintf("p%d", i)
				w.Apply(stage.PodKey(name), fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"restartPolicy":"Never",
					"initContainers":[{"name":"i","resources":{"requests":{"memory":"2Gi"}}}],
					"containers":[{"name":"c","resources":{"requests":{"cpu":"%dm"}}},{"name":"d"}]}}`, name, 100*i))
				continue
			}
			pods := w.Pods()
			if len(pods) == 0 {
				continue
			}
			o := pods[rapid.IntRange(0, len(pods)-1).Draw(t, "pod")]
			switch rapid.IntRange(0, 6).Draw(t, "op") {
			case 0:
				w.Do(reconcilers.Remove(o))
			case 1:
				w.Stopped(o)
			case 2:
				w.See(o, events.Fact{Kind: events.FactExited, Container: "c", Run: 1}, events.Fact{Kind: events.FactExited, Container: "d", Run: 1})
			case 3:
				w.Ready(o)
			default:
				w.Assign(o, rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node"))
			}
			for _, n := range []string{"n1", "n2"} {
				var want projections.Usage
				for p := range w.State.PodsOn(n) {
					if p.Holds(w.Get(p.Key)) {
						want = want.Add(projections.Asks(w.Get(p.Key).PodSpec()), +1)
					}
				}
				if got := w.State.Used(n); got != want {
					t.Fatalf("%s: %+v, want %+v", n, got, want)
				}
			}
		}
	})
}
