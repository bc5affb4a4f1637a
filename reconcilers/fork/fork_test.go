package fork_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/why"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/cronjob"
	"github.com/stave-run/stave/reconcilers/deployment"
	"github.com/stave-run/stave/reconcilers/fork"
	"github.com/stave-run/stave/reconcilers/gc"
	"github.com/stave-run/stave/reconcilers/job"
	"github.com/stave-run/stave/reconcilers/namespace"
	"github.com/stave-run/stave/reconcilers/nodelife"
	"github.com/stave-run/stave/reconcilers/replicaset"
	"github.com/stave-run/stave/reconcilers/schedule"
	"github.com/stave-run/stave/reconcilers/stage"
)

func everyone() []reconcilers.Reconciler {
	return []reconcilers.Reconciler{deployment.Reconciler{}, replicaset.Reconciler{}, schedule.Reconciler{},
		nodelife.Reconciler{}, gc.Reconciler{}, namespace.Reconciler{}}
}

var web = stage.In(events.Deployments, "web")

func webOf(replicas int) string {
	return fmt.Sprintf(`{"metadata":{"name":"web","namespace":"default"},"spec":{"replicas":%d,
		"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},
		"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}]}}}}`, replicas)
}

// world is two nodes of four cores each.
func world() *stage.World {
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	w.Node("n2", "4", "8Gi")
	return w
}

func settle(t *testing.T, w *stage.World, change func(*fork.Fork)) *fork.Fork {
	t.Helper()
	f, err := fork.New(w.State, w.Now, everyone())
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(f)
	}
	if err := f.Settle(); err != nil {
		t.Fatal(err)
	}
	if f.View().Void != w.State.Void {
		t.Errorf("%d void events", f.View().Void)
	}
	return f
}

// on counts the ready pods of each node; "" has those that wait for one.
func on(v projections.State) map[string]int {
	out := map[string]int{}
	for o := range v.List(events.Pods, "") {
		if p, _ := v.PodOf(o.Key); o.Deletion == nil && (p.Node == "" || !p.ReadySince.IsZero()) {
			out[p.Node]++
		}
	}
	return out
}

func create(replicas int) func(*fork.Fork) {
	return func(f *fork.Fork) {
		f.Do("user:test", "op", []reconcilers.Draft{reconcilers.Create(web, events.Created{Object: []byte(webOf(replicas))})})
	}
}

func TestForkDecidesAsTheClusterWould(t *testing.T) {
	w := world()
	end := w.State.Seq
	f := settle(t, w, create(10))
	if have := on(f.View()); !reflect.DeepEqual(have, map[string]int{"n1": 4, "n2": 4, "": 2}) {
		t.Errorf("the pods landed on %v", have)
	}
	if w.State.Seq != end || len(w.Log) != int(end) {
		t.Errorf("the world's log went from %d to %d", end, w.State.Seq)
	}
	if _, ok := w.State.Get(web); ok {
		t.Error("the fork's deployment is in the world")
	}
	again := settle(t, w, create(10))
	if !reflect.DeepEqual(on(again.View()), on(f.View())) || again.View().Seq != f.View().Seq {
		t.Errorf("the same fork again ends at %d, not %d", again.View().Seq, f.View().Seq)
	}
}

func TestNodesComeAndGo(t *testing.T) {
	w := world()
	f := settle(t, w, create(6))
	f.AddNode("n3", map[string]string{"cpu": "4", "memory": "8Gi", "pods": "110"})
	f.Lose("n1")
	began := f.Now()
	if err := f.Settle(); err != nil {
		t.Fatal(err)
	}
	have := on(f.View())
	if have["n1"] != 0 || have["n2"]+have["n3"] != 6 || have[""] != 0 {
		t.Errorf("after n1 was lost: %v", have)
	}
	if waited := f.Now().Sub(began); waited < time.Minute || waited > fork.Horizon {
		t.Errorf("a lost node is given up after %s", waited)
	}
}

// ticking looks at each deployment every minute, as some controllers do.
type ticking struct{ deployment.Reconciler }

func (t ticking) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := t.Reconciler.Decide(v, k, now)
	d.Wake(now.Add(time.Minute))
	return d
}

// What is under way for ever leaves time for what is asked about.
func TestTheHorizonBeginsAnew(t *testing.T) {
	w := world()
	rs := everyone()
	rs[0] = ticking{}
	f, err := fork.New(w.State, w.Now, rs)
	if err != nil {
		t.Fatal(err)
	}
	create(4)(f)
	for _, node := range []string{"", "n1"} {
		f.Lose(node)
		if err := f.Settle(); err != nil {
			t.Fatal(err)
		}
	}
	if have := on(f.View()); have["n2"] != 4 || have["n1"] != 0 {
		t.Errorf("after n1 was lost: %v", have)
	}
}

// An hour of a schedule's Jobs, none of which ends on pretend nodes, would leave no room for what is asked about.
func TestSchedulesWait(t *testing.T) {
	w := world()
	w.Apply(stage.In(events.CronJobs, "tick"), `{"metadata":{"name":"tick","namespace":"default"},"spec":{"schedule":"* * * * *","jobTemplate":{"spec":{"parallelism":1,"completions":1,
		"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}]}}}}}}`)
	f, err := fork.New(w.State, w.Now, append(everyone(), cronjob.Reconciler{}, job.Reconciler{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Settle(); err != nil {
		t.Fatal(err)
	}
	create(8)(f)
	if err := f.Settle(); err != nil {
		t.Fatal(err)
	}
	if have := on(f.View()); have["n1"] != 4 || have["n2"] != 4 || have[""] != 0 {
		t.Errorf("the pods landed on %v", have)
	}
}

// What crashed on the live cluster is not made well by a fork, and what is on
// its way there arrives.
func TestForkKnowsNoBetterThanTheNodes(t *testing.T) {
	w := world()
	for _, name := range []string{"crash", "fresh", "leaving"} {
		o := w.Apply(stage.PodKey(name), `{"metadata":{"name":"`+name+`"},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
		w.Assign(o, "n1")
	}
	w.See(w.Get(stage.PodKey("crash")), events.Fact{Kind: events.FactStarted, Container: "c", Run: 1},
		events.Fact{Kind: events.FactExited, Container: "c", Run: 1, Code: 1},
		events.Fact{Kind: events.FactBackoff, Container: "c", Run: 2, Reason: "CrashLoopBackOff"})
	w.Delete(stage.PodKey("leaving"))
	v := settle(t, w, nil).View()
	ready := func(name string) bool {
		p, ok := v.Pod("default", name)
		return ok && !p.ReadySince.IsZero()
	}
	if ready("crash") || !ready("fresh") {
		t.Errorf("crash is ready: %v, fresh is ready: %v", ready("crash"), ready("fresh"))
	}
	if _, ok := v.Get(stage.PodKey("leaving")); ok {
		t.Error("leaving never goes")
	}
}

// A fork prepares a pod as its node would: the init container runs to its end, the sidecar goes on.
func TestPodsWithInitContainersStart(t *testing.T) {
	w := world()
	k := stage.In(events.Pods, "p")
	w.Apply(k, `{"metadata":{"name":"p","namespace":"default"},"spec":{"initContainers":[{"name":"i","image":"x"},{"name":"s","image":"x","restartPolicy":"Always"}],
		"containers":[{"name":"c","image":"x"}]}}`)
	f := settle(t, w, nil)
	if p, ok := f.View().PodOf(k); !ok || p.ReadySince.IsZero() || p.Initialized.IsZero() {
		t.Errorf("not ready: %+v", p)
	}
}

// guarded is everyone in a cluster where somebody outside is asked about each pod of a ReplicaSet first.
func guarded() []reconcilers.Reconciler {
	guard := func(projections.State, events.Resource) birth.Guard {
		return birth.Guard{Asks: func(events.Object) bool { return true }}
	}
	return []reconcilers.Reconciler{deployment.Reconciler{}, replicaset.Reconciler{Guards: guard}, schedule.Reconciler{}, gc.Reconciler{}}
}

// Pods are made as those want them who are asked, each kind of pod is asked about once, and where they refuse none is made.
func TestForkAsks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		said   string
		want   map[string]int
		barred string
	}{
		{name: "they have a sidecar", want: map[string]int{"n1": 2, "n2": 2, "": 6}},
		{name: "no", said: "unsigned image", want: map[string]int{}, barred: "unsigned image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, asked := world(), 0
			f, err := fork.New(w.State, w.Now, guarded())
			if err != nil {
				t.Fatal(err)
			}
			f.Ask(func(_ projections.State, _ events.Resource, wish reconcilers.Wish) birth.Answer {
				asked++
				pod := wish.Object.(*corev1.Pod).DeepCopy()
				sidecar := *pod.Spec.Containers[0].DeepCopy()
				sidecar.Name = "proxy"
				pod.Spec.Containers = append(pod.Spec.Containers, sidecar)
				return birth.Answer{About: birth.SumOf(wish), Object: pod, Said: tt.said}
			})
			create(10)(f)
			if err := f.Settle(); err != nil {
				t.Fatal(err)
			}
			if have := on(f.View()); !reflect.DeepEqual(have, tt.want) || asked != 1 {
				t.Errorf("the pods landed on %v, and %d questions were asked", have, asked)
			}
			d := why.Compare(w.State, f.View(), schedule.Explain)
			if got := len(d.Barred) == 1 && d.Barred[0].Said == tt.barred; got != (tt.barred != "") {
				t.Errorf("%+v", d.Barred)
			}
		})
	}
}
