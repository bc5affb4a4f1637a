package replicaset

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

var web = stage.In(events.ReplicaSets, "web")

func replicaSet(replicas int) string {
	return fmt.Sprintf(`{"metadata":{"name":"web","namespace":"default"},"spec":{"replicas":%d,
		"selector":{"matchLabels":{"app":"web"}},
		"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"nginx"}]}}}}`, replicas)
}

func pod(name, app string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"default","labels":{"app":%q}},"spec":{"containers":[{"name":"c","image":"nginx"}]}}`, name, app)
}

// test is what *testing.T and *rapid.T have in common.
type test interface {
	Helper()
	Fatal(...any)
}

// alive are the pods that the set controls and nobody wants gone.
func alive(w *stage.World) []*projections.Object {
	o := w.Get(web)
	return slices.DeleteFunc(w.Pods(), func(p *projections.Object) bool {
		return p.Deletion != nil || o == nil || p.Owner == nil || p.Owner.UID != o.UID
	})
}

func run(t test, w *stage.World) {
	t.Helper()
	if _, err := w.Run(Reconciler{}, web); err != nil {
		t.Fatal(err)
	}
}

func TestCreatesPodsOfItsTemplate(t *testing.T) {
	w := stage.New()
	w.Apply(web, replicaSet(250)) // more than one pass
	d := Reconciler{}.Decide(w.State, web, w.Now)
	if len(d.Events) != 100 || !d.More || d.Events[0].Type != events.TemplateStored {
		t.Fatalf("first pass: %d events, more %v, first %s", len(d.Events), d.More, d.Events[0].Type)
	}
	run(t, w)
	pods := alive(w)
	if len(pods) != 250 {
		t.Fatalf("%d pods", len(pods))
	}
	p := pods[0].Typed()
	if p.GetLabels()["app"] != "web" || p.GetGenerateName() != "web-" || p.GetOwnerReferences()[0].Name != "web" {
		t.Errorf("pod is %+v", p)
	}
	if w.State.Void != 0 {
		t.Errorf("%d void events", w.State.Void)
	}
	if n := len(pods[0].Raw); n > 130 {
		t.Errorf("a child is %d bytes: %s", n, pods[0].Raw)
	}
}

func TestNameOfAnotherPodIsSkipped(t *testing.T) {
	w := stage.New()
	o := w.Apply(web, replicaSet(1))
	taken := "web-" + events.ChildSuffix(o.UID, 0)
	w.Apply(stage.PodKey(taken), pod(taken, "other"))
	run(t, w)
	if pods := alive(w); len(pods) != 1 || pods[0].Key.Name != "web-"+events.ChildSuffix(o.UID, 1) {
		t.Errorf("pods %v", pods)
	}
}

func TestAdoptsAndReleasesByLabels(t *testing.T) {
	w := stage.New()
	w.Apply(stage.PodKey("loose"), pod("loose", "web"))
	w.Apply(stage.PodKey("other"), pod("other", "db"))
	w.Apply(web, replicaSet(1))
	run(t, w)
	if pods := alive(w); len(pods) != 1 || pods[0].Key.Name != "loose" {
		t.Fatalf("controls %v", pods)
	}
	w.Apply(stage.PodKey("loose"), pod("loose", "elsewhere"))
	run(t, w)
	if o := w.Get(stage.PodKey("loose")); o.Owner != nil || o.Deletion != nil {
		t.Errorf("loose is still owned or deleted: %+v", o)
	}
	if pods := alive(w); len(pods) != 1 || pods[0].Key.Name == "loose" {
		t.Errorf("no replacement: %v", pods)
	}
	w.Apply(stage.PodKey("late"), pod("late", "web"))
	c := projections.Change{Key: stage.PodKey("late"), After: w.Get(stage.PodKey("late"))}
	if keys := (Reconciler{}).Keys(w.State, c); !slices.Equal(keys, []events.Key{web}) {
		t.Errorf("an orphan wakes %v", keys)
	}
}

func TestFinishedAndTerminatingPodsDoNotCount(t *testing.T) {
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	w.Apply(web, replicaSet(2))
	run(t, w)
	first, second := alive(w)[0], alive(w)[1]
	w.Assign(first, "n1")
	w.Delete(first.Key)
	run(t, w)
	if n := len(alive(w)); n != 2 {
		t.Fatalf("beside a terminating pod: %d", n)
	}
	w.Assign(second, "n1")
	w.See(second, events.Fact{Kind: events.FactFailed, Reason: "Evicted"})
	d := Reconciler{}.Decide(w.State, web, w.Now)
	if len(d.Events) != 0 || !d.WakeAt.Equal(w.Now.Add(failBase)) || len(d.Because) == 0 {
		t.Fatalf("a failed pod was not backed off: %+v", d)
	}
	w.Now = d.WakeAt
	run(t, w)
	if n := len(alive(w)); n != 3 { // the failed one is kept to be looked at
		t.Errorf("after the back-off: %d", n)
	}
}

// A pod whose containers say of themselves that they run once comes to its end in a set, and is replaced after a pause.
func TestPodsThatComeToTheirEndWait(t *testing.T) {
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	w.Apply(web, strings.Replace(replicaSet(1), `"containers":[{`, `"containers":[{"restartPolicy":"Never",`, 1))
	run(t, w)
	for n, wait := range []time.Duration{failBase, 2 * failBase} {
		all := alive(w)
		if len(all) != n+1 { // those that ended are kept to be looked at
			t.Fatalf("%d pods, not %d", len(all), n+1)
		}
		o := all[slices.IndexFunc(all, func(o *projections.Object) bool { return w.Row(o).Node == "" })]
		w.Assign(o, "n1")
		w.See(o, events.Fact{Kind: events.FactExited, Container: o.PodSpec().Containers[0].Name, Run: 1})
		d := Reconciler{}.Decide(w.State, web, w.Now)
		if len(d.Events) != 0 || !d.WakeAt.Equal(w.Now.Add(wait)) || len(d.Because) == 0 {
			t.Fatalf("no pause of %s: %+v", wait, d)
		}
		w.Now = d.WakeAt
		run(t, w)
	}
}

func TestDeletingSetDecidesNothing(t *testing.T) {
	w := stage.New()
	w.Apply(web, replicaSet(2))
	w.Delete(web)
	if d := (Reconciler{}).Decide(w.State, web, w.Now); len(d.Events) != 0 {
		t.Errorf("decided %v", d.Events)
	}
}

func TestRankPutsTheLeastUsefulFirst(t *testing.T) {
	at := func(s int) projections.Mark {
		return projections.Mark{Seq: 1, Time: stage.Start.Add(time.Duration(s) * time.Second)}
	}
	type row struct {
		name  string
		pod   projections.Pod
		born  int
		extra string // annotations
	}
	up := func(run int) []projections.Container {
		return []projections.Container{{Name: "c", Run: run, Phase: projections.Running}}
	}
	for _, c := range []struct {
		what        string
		first, last row
	}{
		{"no node", row{name: "z"}, row{name: "a", pod: projections.Pod{Node: "n"}}},
		{"pending", row{name: "z", pod: projections.Pod{Node: "n"}}, row{name: "a", pod: projections.Pod{Node: "m", Containers: up(1)}}},
		{"not ready", row{name: "z", pod: projections.Pod{Node: "n", Containers: up(1)}}, row{name: "a", pod: projections.Pod{Node: "m", Containers: up(1), ReadySince: at(9)}}},
		{"lost", row{name: "z", pod: projections.Pod{Node: "n", Containers: up(1), ReadySince: at(1), Lost: true}}, row{name: "a", pod: projections.Pod{Node: "m", Containers: up(1), ReadySince: at(9)}}},
		{"cheap", row{name: "z", extra: `{"controller.kubernetes.io/pod-deletion-cost":"-1"}`}, row{name: "a", extra: `{}`}},
		{"ready for less", row{name: "z", pod: projections.Pod{Node: "n", Containers: up(1), ReadySince: at(9)}}, row{name: "a", pod: projections.Pod{Node: "m", Containers: up(1), ReadySince: at(1)}}},
		{"restarted", row{name: "z", pod: projections.Pod{Node: "n", Containers: up(3)}}, row{name: "a", pod: projections.Pod{Node: "m", Containers: up(1)}}},
		{"younger", row{name: "z", born: 9}, row{name: "a", born: 1}},
		{"name", row{name: "a"}, row{name: "z"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			build := func(r row) member {
				if r.extra == "" {
					r.extra = "{}"
				}
				o := &projections.Object{Key: stage.PodKey(r.name), Created: at(r.born), Extras: &projections.Extras{},
					Raw: []byte(`{"metadata":{"annotations":` + r.extra + `},"spec":{"containers":[{"name":"c"}]}}`)}
				return member{o, &r.pod}
			}
			for _, in := range [][]member{{build(c.first), build(c.last)}, {build(c.last), build(c.first)}} {
				if got := rank(in, nil); got[0].o.Key.Name != c.first.name {
					t.Errorf("%s went before %s", got[0].o.Key.Name, c.first.name)
				}
			}
		})
	}
}

func TestCrowdedNodeGivesFirst(t *testing.T) {
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	w.Node("n2", "4", "8Gi")
	w.Apply(web, replicaSet(3))
	run(t, w)
	for i, o := range alive(w) {
		w.Assign(o, []string{"n1", "n1", "n2"}[i])
		w.Ready(w.Get(o.Key))
	}
	w.Apply(web, replicaSet(2))
	run(t, w)
	nodes := map[string]int{}
	for _, o := range alive(w) {
		nodes[w.Row(o).Node]++
	}
	if nodes["n1"] != 1 || nodes["n2"] != 1 {
		t.Errorf("left %v", nodes)
	}
}

// Crowds are counted over all sets of a deployment: in a rollout the node with
// a new pod gives an old one first.
func TestCrowdsAreTheDeployments(t *testing.T) {
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	w.Node("n2", "4", "8Gi")
	d := w.Apply(stage.In(events.Deployments, "web"), replicaSet(2))
	sister := stage.In(events.ReplicaSets, "sister")
	owner := &events.Owner{Resource: events.Deployments, Name: "web", UID: d.UID}
	for _, k := range []events.Key{web, sister} {
		object := strings.ReplaceAll(replicaSet(2), "web", k.Name)
		w.Do(reconcilers.Create(k, events.Created{Owner: owner, Object: []byte(object)}))
		if _, err := w.Run(Reconciler{}, k); err != nil {
			t.Fatal(err)
		}
	}
	mine := alive(w)
	w.Assign(mine[0], "n1")
	w.Ready(mine[0])
	w.Now = w.Now.Add(time.Minute) // by age alone this one would go
	w.Assign(mine[1], "n2")
	w.Ready(mine[1])
	for _, o := range w.Pods() {
		if o.Owner.Name == "sister" {
			w.Assign(o, "n1")
			w.Ready(o)
		}
	}
	b := reconcilers.Same(w.Get(web))
	b.Object = []byte(replicaSet(1))
	w.Do(reconcilers.Change(w.Get(web), b))
	run(t, w)
	if left := alive(w); len(left) != 1 || w.Row(left[0]).Node != "n2" {
		t.Errorf("left %v", left)
	}
}

// Whatever happens to pods and wishes, the set ends at its wish, names never
// repeat, and no decision exceeds the limit.
func TestConvergesFromAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := stage.New()
		w.Node("n1", "4", "8Gi")
		want := 0
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			pods := w.Pods()
			var some *projections.Object
			if len(pods) > 0 {
				some = pods[rapid.IntRange(0, len(pods)-1).Draw(t, "pod")]
			}
			w.Now = w.Now.Add(time.Minute)
			switch op := rapid.IntRange(0, 6).Draw(t, "op"); {
			case op == 0 || w.Get(web) == nil:
				want = rapid.IntRange(0, 12).Draw(t, "replicas")
				w.Apply(web, replicaSet(want))
			case some == nil:
			case op == 1:
				w.Assign(some, "n1")
			case op == 2:
				w.Ready(some)
			case op == 3:
				w.Delete(some.Key)
			case op == 4:
				w.Stopped(some)
			case op == 5:
				w.Apply(some.Key, pod(some.Key.Name, rapid.SampledFrom([]string{"web", "db"}).Draw(t, "app")))
			case op == 6:
				run(t, w)
			}
		}
		w.Now = w.Now.Add(time.Hour)
		run(t, w)
		o := w.Get(web)
		n := 0
		for _, p := range alive(w) {
			if !over(p, w.Row(p)) {
				n++
			}
		}
		if n != want || o == nil {
			t.Fatalf("want %d, have %d", want, n)
		}
		if w.State.Unknown != 0 {
			t.Fatalf("%d unknown events", w.State.Unknown)
		}
	})
}

// A pod that the set adopts and has no room for is written once a decision: adopted, and then asked to go.
func TestAdoptsWhatItHasNoRoomFor(t *testing.T) {
	w := stage.New()
	w.Apply(web, replicaSet(1))
	run(t, w)
	w.Apply(stage.PodKey("stray"), pod("stray", "web"))
	run(t, w)
	if n := len(alive(w)); n != 1 {
		t.Errorf("%d pods", n)
	}
	stray := w.Get(stage.PodKey("stray"))
	if own := w.Get(web); stray != nil && (stray.Owner == nil || stray.Owner.UID != own.UID) {
		t.Errorf("the stray belongs to %v", stray.Owner)
	}
}
