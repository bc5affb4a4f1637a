package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

func ranked(w *stage.World, name, node, cpu string, priority int, more string) {
	said := fmt.Sprintf(`"priority":%d,"terminationGracePeriodSeconds":7`, priority)
	if more != "" {
		said += "," + more
	}
	o := w.Apply(stage.PodKey(name), strings.Replace(asking(name, cpu, "1Mi", said), `"namespace":"default"`, `"namespace":"default","labels":{"app":"`+name[:1]+`"}`, 1))
	if node != "" {
		w.Assign(o, node)
		w.Ready(w.Get(o.Key))
	}
}

// victims are those that were asked to go for a pod, by name.
func victims(w *stage.World, pod string) (out []string) {
	for _, o := range w.Pods() {
		if o.Deletion != nil && o.Deletion.For.Key == stage.PodKey(pod) {
			out = append(out, o.Key.Name)
		}
	}
	slices.Sort(out)
	return out
}

func TestPreemption(t *testing.T) {
	const never = `"preemptionPolicy":"Never"`
	apart := `"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"name","labelSelector":{"matchLabels":{"app":"l"}}}]}}`
	for _, c := range []struct {
		name    string
		there   func(w *stage.World)
		cpu     string
		more    string
		node    string // nominated
		victims []string
	}{
		{"the least important goes", func(w *stage.World) { ranked(w, "l1", "n1", "2", 1, ""); ranked(w, "m1", "n2", "2", 5, "") }, "1", "", "n1", []string{"l1"}},
		{"nobody of the same rank", func(w *stage.World) { ranked(w, "l1", "n1", "2", 10, ""); ranked(w, "m1", "n2", "2", 11, "") }, "1", "", "", nil},
		{"not by one that never does", func(w *stage.World) { ranked(w, "l1", "n1", "2", 1, ""); ranked(w, "m1", "n2", "2", 1, "") }, "1", never, "", nil},
		{"as few as it takes", func(w *stage.World) {
			for _, n := range []string{"l1", "l2", "l3", "l4"} {
				ranked(w, n, "n1", "500m", 1, "")
			}
			ranked(w, "m1", "n2", "1", 1, "")
			ranked(w, "m2", "n2", "1", 1, "")
		}, "1", "", "n2", []string{"m2"}},
		{"the important stay where some may", func(w *stage.World) {
			ranked(w, "l1", "n1", "1", 3, "")
			ranked(w, "l2", "n1", "1", 2, "")
			ranked(w, "m1", "n2", "2", 4, "")
		}, "1", "", "n1", []string{"l2"}},
		{"too large for any", func(w *stage.World) { ranked(w, "l1", "n1", "2", 1, ""); ranked(w, "m1", "n2", "2", 1, "") }, "3", "", "", nil},
		{"a budget is kept where it can be", func(w *stage.World) {
			ranked(w, "l1", "n1", "2", 1, "")
			ranked(w, "m1", "n2", "2", 5, "")
			w.Apply(stage.In(events.Budgets, "b"), `{"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"l"}}}}`)
		}, "1", "", "n2", []string{"m1"}},
		{"and broken where it cannot", func(w *stage.World) {
			ranked(w, "l1", "n1", "2", 1, "")
			ranked(w, "m1", "n2", "2", 11, "")
			w.Apply(stage.In(events.Budgets, "b"), `{"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"l"}}}}`)
		}, "1", "", "n1", []string{"l1"}},
		{"whoever it must not be beside", func(w *stage.World) {
			ranked(w, "l1", "n1", "100m", 1, "")
			ranked(w, "m1", "n1", "100m", 1, "")
			ranked(w, "m2", "n2", "2", 11, "")
		}, "1", apart, "n1", []string{"l1"}},
		{"who holds its port", func(w *stage.World) {
			for i, name := range []string{"l1", "m1"} {
				w.Apply(stage.PodKey(name), strings.Replace(withPort(name, "", "TCP", 80), `"spec":{`, fmt.Sprintf(`"spec":{"priority":%d,`, 11*i), 1))
				w.Assign(w.Get(stage.PodKey(name)), fmt.Sprint("n", i+1))
			}
			ranked(w, "l2", "n1", "100m", 1, "")
		}, "", "", "n1", []string{"l1"}},
		{"room that comes anyway is waited for", func(w *stage.World) {
			ranked(w, "l1", "n1", "2", 1, "")
			ranked(w, "m1", "n2", "2", 0, "")
			w.Delete(stage.PodKey("l1"))
		}, "1", "", "n1", nil},
		{"there is room", func(w *stage.World) { ranked(w, "l1", "n1", "1", 1, ""); ranked(w, "m1", "n2", "2", 1, "") }, "1", "", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stage.New()
			w.Node("n1", "2", "4Gi")
			w.Node("n2", "2", "4Gi")
			spec(w, "n1", `{}`)
			spec(w, "n2", `{}`)
			c.there(w)
			if c.cpu == "" {
				w.Apply(stage.PodKey("p"), strings.Replace(withPort("p", "", "TCP", 80), `"spec":{`, `"spec":{"priority":10,`, 1))
			} else {
				ranked(w, "p", "", c.cpu, 10, c.more)
			}
			schedule(t, w)
			o := w.Get(stage.PodKey("p"))
			if got := victims(w, "p"); !slices.Equal(got, c.victims) || w.State.Nominated(o) != c.node {
				t.Fatalf("nominated to %q, victims %v; want %q, %v", w.State.Nominated(o), got, c.node, c.victims)
			}
			pod := w.State.ObjectOf(o, w.Now).(*corev1.Pod)
			if pod.Status.NominatedNodeName != c.node {
				t.Errorf("status names %q", pod.Status.NominatedNodeName)
			}
			before := w.State.Seq
			if schedule(t, w); w.State.Seq != before {
				t.Error("it is decided again")
			}
			for _, name := range c.victims {
				v := w.State.ObjectOf(w.Get(stage.PodKey(name)), w.Now).(*corev1.Pod)
				if last := v.Status.Conditions[len(v.Status.Conditions)-1]; last.Type != corev1.DisruptionTarget || last.Reason != "PreemptionByScheduler" || *v.DeletionGracePeriodSeconds == 0 {
					t.Errorf("%s: %+v", name, last)
				}
			}
		})
	}
}

// The room that is made is kept: who is less important does not get it while a
// victim still goes, and the pod gets it when they are gone.
func TestRoomIsKept(t *testing.T) {
	w := stage.New()
	w.Node("n1", "2", "4Gi")
	ranked(w, "l1", "n1", "1", 1, "")
	ranked(w, "l2", "n1", "1", 1, "")
	ranked(w, "p", "", "2", 10, "")
	schedule(t, w)
	if got := victims(w, "p"); len(got) != 2 {
		t.Fatalf("victims %v", got)
	}
	w.Stopped(w.Get(stage.PodKey("l1")))
	ranked(w, "m", "", "500m", 5, "")
	schedule(t, w)
	if nodeOf(w, "m") != "" {
		t.Error("somebody less important got the room")
	}
	w.Stopped(w.Get(stage.PodKey("l2")))
	schedule(t, w)
	if nodeOf(w, "p") != "n1" || w.State.Nominated(w.Get(stage.PodKey("p"))) != "" || nodeOf(w, "m") != "" {
		t.Errorf("p is on %q, m on %q", nodeOf(w, "p"), nodeOf(w, "m"))
	}
}

// Whatever waits and runs: nobody goes for an equal, nobody goes for a pod that would
// fit, nodes are never given more than they have, and it comes to rest.
func TestPreemptionIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := stage.New()
		const nodes, milli = 3, 2000
		for i := range nodes {
			w.Node(fmt.Sprint("n", i), "2", "4Gi")
		}
		for i := range rapid.IntRange(1, 14).Draw(t, "pods") {
			ranked(w, fmt.Sprint("p", i), "", fmt.Sprint(100*rapid.IntRange(1, 15).Draw(t, "cpu"), "m"), rapid.IntRange(0, 3).Draw(t, "priority"), "")
			w.Now = w.Now.Add(time.Second)
		}
		for range 60 {
			before := w.State
			schedule(t, w)
			for i := range nodes {
				if u := w.State.Used(fmt.Sprint("n", i)); u.CPU > milli {
					t.Fatalf("n%d has %d of %d", i, u.CPU, milli)
				}
			}
			gone := 0
			for _, o := range w.Pods() {
				if o.Deletion == nil {
					continue
				}
				gone++
				by := w.Get(o.Deletion.For.Key)
				if projections.PriorityOf(by.PodSpec()) <= projections.PriorityOf(o.PodSpec()) {
					t.Fatalf("%s goes for %s", o.Key, by.Key)
				}
				w.Stopped(o)
				w.Do(reconcilers.Remove(w.Get(o.Key)))
			}
			if gone == 0 && w.State.Seq == before.Seq {
				return
			}
		}
		t.Fatal("it does not come to rest")
	})
}

// However many pods look for others to take the place of in vain, those behind them have their turn, and the pass comes to rest.
func TestManyThatFindNoRoomHoldNobodyUp(t *testing.T) {
	w := stage.New()
	w.Node("n1", "2", "8Gi")
	for i := range maxSearches + 10 {
		ranked(w, fmt.Sprintf("h%d", i), "", "4", 10, "")
	}
	ranked(w, "small", "", "1", 0, "")
	schedule(t, w)
	if n := nodeOf(w, "small"); n != "n1" {
		t.Fatalf("the one that has room is on %q", n)
	}
	for i := range maxSearches + 10 {
		if _, ok := w.State.Verdict(stage.PodKey(fmt.Sprintf("h%d", i))); !ok {
			t.Errorf("h%d was told nothing", i)
		}
	}
	for turns := 0; ; turns++ {
		d := Reconciler{}.Decide(w.State, Pass, w.Now)
		if d.More || len(d.Events) > 0 || turns > 10 {
			t.Fatalf("it goes on: %d events, more %v, after %d turns", len(d.Events), d.More, turns)
		}
		if d.WakeAt.IsZero() {
			break // all have looked
		}
		w.Now = d.WakeAt
	}
}

// Each of many that wait gets to look: the one that would find room is not behind those that do not for ever.
func TestEachGetsToLookForRoom(t *testing.T) {
	w := stage.New()
	w.Node("n1", "2", "8Gi")
	ranked(w, "l1", "n1", "2", 1, "")
	for i := range 2*maxSearches + 10 {
		ranked(w, fmt.Sprintf("h%d", i), "", "4", 10, "")
	}
	ranked(w, "fits", "", "1", 5, "")
	for range 10 {
		d := schedule(t, w)
		if len(victims(w, "fits")) > 0 {
			return
		}
		if d.WakeAt.IsZero() {
			t.Fatal("nobody looks again")
		}
		w.Now = d.WakeAt
	}
	t.Error("it never got to look")
}

// A pod for which more have to go than one decision may ask takes several: it has its room when the last is gone.
func TestVeryManyVictims(t *testing.T) {
	w := stage.New()
	w.Apply(stage.NodeKey("n1"), `{"metadata":{"name":"n1"}}`)
	w.Facts("n1", map[string]string{"cpu": "10", "memory": "4Gi", "pods": "2000"})
	w.Report("n1", true)
	const small = maxSteps + 300
	for i := range small {
		ranked(w, fmt.Sprintf("s%04d", i), "", "10m", i%3, "")
	}
	schedule(t, w)
	ranked(w, "large", "", "10", 10, "")
	schedule(t, w)
	if gone := victims(w, "large"); len(gone) != small {
		t.Fatalf("%d of %d shall go", len(gone), small)
	}
	for _, name := range victims(w, "large") {
		w.Do(reconcilers.Remove(w.Get(stage.PodKey(name))))
	}
	if schedule(t, w); nodeOf(w, "large") != "n1" {
		t.Errorf("large is on %q", nodeOf(w, "large"))
	}
}
