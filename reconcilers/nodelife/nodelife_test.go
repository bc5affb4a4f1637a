package nodelife

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

var n1 = stage.NodeKey("n1")

func taints(w *stage.World) []string {
	var out []string
	for _, t := range taintsOf(w.Get(n1)) {
		out = append(out, t.ToString())
	}
	return out
}

func run(t interface{ Fatal(...any) }, w *stage.World) reconcilers.Decision {
	d, err := w.Run(Reconciler{}, n1)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func pod(w *stage.World, name, tolerations string) *projections.Object {
	o := w.Apply(stage.PodKey(name), `{"metadata":{"name":"`+name+`"},"spec":{"containers":[{"name":"c"}],"terminationGracePeriodSeconds":7,"tolerations":[`+tolerations+`]}}`)
	w.Assign(o, "n1")
	return w.Get(o.Key)
}

func TestTaintsFollowTheNodesState(t *testing.T) {
	const mine = `{"metadata":{"name":"n1"},"spec":{"unschedulable":true,"podCIDR":"10.1.0.0/24","taints":[{"key":"gpu","effect":"NoSchedule"}]}}`
	w := stage.New()
	w.Apply(n1, `{"metadata":{"name":"n1"}}`)
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"never heard of", func() {}, []string{"node.kubernetes.io/not-ready:NoSchedule"}},
		{"ready", func() { w.Report("n1", true) }, nil},
		{"silent", func() { w.Report("n1", false) }, []string{"node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"}},
		{"back", func() { w.Report("n1", true) }, nil},
		{"its disk is short", func() { w.Conditions("n1", events.NodeCondition{Type: events.ConditionDisk, Status: true}) }, []string{"node.kubernetes.io/disk-pressure:NoSchedule"}},
		{"short, and silent", func() { w.Report("n1", false) },
			[]string{"node.kubernetes.io/disk-pressure:NoSchedule", "node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"}},
		{"back and in order", func() {
			w.Report("n1", true)
			w.Conditions("n1", events.NodeCondition{Type: events.ConditionDisk}, events.NodeCondition{Type: events.ConditionServices, Status: true})
		}, nil},
		{"cordoned, tainted by people", func() { w.Apply(n1, mine) }, []string{"gpu:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule"}},
		{"uncordoned", func() {
			w.Apply(n1, `{"metadata":{"name":"n1"},"spec":{"taints":[{"key":"gpu","effect":"NoSchedule"}]}}`)
		}, []string{"gpu:NoSchedule"}},
		{"says itself that it is not ready", func() {
			w.Do(reconcilers.Report(n1, events.NodeReported{UID: w.Get(n1).UID, Reason: "KubeletNotReady"}))
		}, []string{"gpu:NoSchedule", "node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"}},
	} {
		step.do()
		generation := w.Get(n1).Generation
		run(t, w)
		if got := taints(w); !slices.Equal(got, step.want) {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
		if g := w.Get(n1).Generation; g != generation {
			t.Errorf("%s: generation %d became %d", step.name, generation, g)
		}
	}
	w.Apply(n1, mine)
	run(t, w)
	if got := projections.As[*corev1.Node](w.Get(n1)).Spec.PodCIDR; got != "10.1.0.0/24" {
		t.Errorf("podCIDR became %q", got)
	}
}

func TestWhenPodsHaveToLeave(t *testing.T) {
	exists := func(key string, seconds int) string {
		s := fmt.Sprintf(`{"key":%q,"operator":"Exists","effect":"NoExecute"`, key)
		if seconds >= 0 {
			s += fmt.Sprintf(`,"tolerationSeconds":%d`, seconds)
		}
		return s + "}"
	}
	const gone = "node.kubernetes.io/unreachable"
	for _, c := range []struct {
		name        string
		tolerations string
		leaves      time.Duration // -1 never
	}{
		{"says nothing", ``, DefaultToleration},
		{"tolerates another", exists("other", -1), DefaultToleration},
		{"for a while", exists(gone, 10), 10 * time.Second},
		{"not at all", exists(gone, 0), 0},
		{"the first one counts", exists(gone, 60) + "," + exists(gone, 20), 60 * time.Second},
		{"also for ever", exists(gone, -1) + "," + exists(gone, 20), -1},
		{"of all that match", `{"operator":"Exists"},` + exists(gone, 20), -1},
		{"for ever", exists(gone, -1), -1},
		{"for longer than time can say", exists(gone, 1<<62), (1<<63 - 1) / time.Second * time.Second},
		{"everything", `{"operator":"Exists"}`, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stage.New()
			w.Node("n1", "4", "8Gi")
			o := pod(w, "p", c.tolerations)
			w.Report("n1", false)
			d := run(t, w)
			gone := func() bool { return w.Get(o.Key).Deletion != nil }
			if c.leaves < 0 {
				w.Now = w.Now.Add(1000 * time.Hour)
				if run(t, w); gone() || !d.WakeAt.IsZero() {
					t.Fatalf("left, or wakes at %v", d.WakeAt)
				}
				return
			}
			if c.leaves > 0 {
				if gone() || !d.WakeAt.Equal(stage.Start.Add(c.leaves)) {
					t.Fatalf("gone %v, wakes at %v", gone(), d.WakeAt)
				}
				w.Now = d.WakeAt.Add(-time.Second)
				if run(t, w); gone() {
					t.Fatal("left too early")
				}
				w.Now = d.WakeAt
				run(t, w)
			}
			if !gone() || w.Get(o.Key).Deletion.Grace != 7 {
				t.Errorf("deletion %+v", w.Get(o.Key).Deletion)
			}
		})
	}
}

func TestPeoplesTaintEvictsAtOnce(t *testing.T) {
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	stays, leaves := pod(w, "stays", `{"key":"drain","operator":"Exists"}`), pod(w, "leaves", ``)
	w.Apply(n1, `{"metadata":{"name":"n1"},"spec":{"taints":[{"key":"drain","effect":"NoExecute"}]}}`)
	run(t, w)
	if w.Get(stays.Key).Deletion != nil || w.Get(leaves.Key).Deletion == nil {
		t.Error("the wrong pod left")
	}
	late := pod(w, "late", ``)
	c := projections.Change{Key: late.Key, After: late, PodBefore: &projections.Pod{PodExtras: &projections.PodExtras{}}, PodAfter: w.Row(late)}
	if keys := (Reconciler{}).Keys(w.State, c); !slices.Equal(keys, []events.Key{n1}) {
		t.Errorf("a pod that arrives wakes %v", keys)
	}
}

// A taint's time runs on while other things happen to its node.
func TestTimeOfATaintIsItsOwn(t *testing.T) {
	const tainted = `{"metadata":{"name":"n1"},"spec":{%s"taints":[{"key":"drain","effect":"NoExecute"}]}}`
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	o := pod(w, "p", `{"key":"drain","operator":"Exists","tolerationSeconds":60}`)
	w.Apply(n1, fmt.Sprintf(tainted, ""))
	run(t, w)
	w.Now = w.Now.Add(40 * time.Second)
	b := reconcilers.Same(w.Get(n1))
	b.Object = reconcilers.Edit(b.Object, func(object map[string]any) { reconcilers.Field(object, "spec")["unschedulable"] = true })
	w.Do(reconcilers.Change(w.Get(n1), b))
	if d := run(t, w); !d.WakeAt.Equal(stage.Start.Add(60 * time.Second)) {
		t.Errorf("wakes at %v", d.WakeAt)
	}
	w.Now = stage.Start.Add(60 * time.Second)
	if run(t, w); w.Get(o.Key).Deletion == nil {
		t.Error("stays for longer than it tolerates")
	}
}

func TestReturnInTimeKeepsThePods(t *testing.T) {
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	o := pod(w, "p", ``)
	w.Report("n1", false)
	run(t, w)
	w.Now = w.Now.Add(DefaultToleration - time.Second)
	w.Report("n1", true)
	run(t, w)
	w.Now = w.Now.Add(time.Hour)
	if d := run(t, w); w.Get(o.Key).Deletion != nil || !d.WakeAt.IsZero() {
		t.Errorf("left, or wakes at %v", d.WakeAt)
	}
}

// Whatever is reported when, no pod leaves before its node was silent for as
// long as it tolerates in one go, and every pod has left by then.
func TestEvictionNeitherEarlyNorLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := stage.New()
		w.Node("n1", "100", "100Gi")
		pods := rapid.IntRange(0, 130).Draw(t, "pods") // more than one pass
		for i := range pods {
			pod(w, fmt.Sprintf("p%d", i), ``)
		}
		ready, since, over := true, w.Now, false
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			w.Now = w.Now.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "seconds")) * time.Second)
			if r := rapid.Bool().Draw(t, "ready"); r != ready {
				run(t, w) // time passes before the report does
				over = over || !ready && w.Now.Sub(since) >= DefaultToleration
				ready, since = r, w.Now
				w.Report("n1", r)
			}
			run(t, w)
			over = over || !ready && w.Now.Sub(since) >= DefaultToleration
			for _, o := range w.Pods() {
				if left := o.Deletion != nil; left != over {
					t.Fatalf("%s left %v, silent for %s", o.Key, left, w.Now.Sub(since))
				}
			}
		}
	})
}
