package daemonset

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/schedule"
	"github.com/stave-run/stave/reconcilers/stage"
)

var logs = stage.In(events.DaemonSets, "logs")

// set is a DaemonSet of an image. generation counts its templates, as admission does.
func set(image string, generation int, spec, pod string) string {
	return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"logs","namespace":"default","annotations":{"deprecated.daemonset.template.generation":"%d"}},"spec":{
		"selector":{"matchLabels":{"app":"logs"}},%s
		"template":{"metadata":{"labels":{"app":"logs"},"annotations":{"note":"kept"}},"spec":{%s"terminationGracePeriodSeconds":20,"containers":[{"name":"c","image":%q}]}}}}`,
		generation, spec, pod, image)
}

func rolling(surge, away int) string {
	return fmt.Sprintf(`"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":%d,"maxUnavailable":%d}},`, surge, away)
}

// test is what *testing.T and *rapid.T have in common.
type test interface {
	Helper()
	Fatal(...any)
}

func run(t test, w *stage.World) reconcilers.Decision {
	t.Helper()
	d, err := w.Run(Reconciler{}, logs)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func assign(t test, w *stage.World) {
	t.Helper()
	if _, err := w.Run(schedule.Reconciler{}, schedule.Pass); err != nil {
		t.Fatal(err)
	}
}

// up gives all pods their nodes and lets them answer.
func up(t test, w *stage.World) {
	t.Helper()
	assign(t, w)
	for _, o := range w.Pods() {
		if p := w.Row(o); p.Node != "" && p.ReadySince.IsZero() && o.Deletion == nil && p.Failed == nil {
			w.Ready(o)
		}
	}
}

// reap ends pods that are asked to go, as their nodes and the garbage collector do.
func reap(w *stage.World) {
	for _, o := range w.Pods() {
		if o.Deletion != nil {
			w.Stopped(o)
			w.Do(reconcilers.Remove(o))
		}
	}
}

// on are the living pods by the nodes that they are on or meant for.
func on(w *stage.World) map[string][]*projections.Object {
	out := map[string][]*projections.Object{}
	for _, o := range w.Pods() {
		if p := w.Row(o); o.Deletion == nil && p.Failed == nil {
			out[projections.MeantFor(o, p)] = append(out[projections.MeantFor(o, p)], o)
		}
	}
	return out
}

func nodes(w *stage.World, names ...string) {
	for _, n := range names {
		w.Node(n, "4", "8Gi")
	}
}

func image(o *projections.Object) string { return o.PodSpec().Containers[0].Image }

// images are the images on each node, "n1:a,b n2:a".
func images(w *stage.World) string {
	var out []string
	for node, pods := range on(w) {
		var of []string
		for _, o := range pods {
			of = append(of, image(o))
		}
		slices.Sort(of)
		out = append(out, node+":"+strings.Join(of, ","))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func status(w *stage.World) appsv1.DaemonSetStatus {
	return w.State.ObjectOf(w.Get(logs), w.Now).(*appsv1.DaemonSet).Status
}

func TestEachNodeGetsOne(t *testing.T) {
	w := stage.New()
	nodes(w, "n1", "n2", "n3")
	w.Apply(logs, set("a", 1, rolling(0, 1), ""))
	run(t, w)
	up(t, w)
	run(t, w)
	if got := images(w); got != "n1:a n2:a n3:a" {
		t.Fatal(got)
	}
	want := appsv1.DaemonSetStatus{ObservedGeneration: 1, CurrentNumberScheduled: 3, DesiredNumberScheduled: 3, NumberReady: 3, UpdatedNumberScheduled: 3, NumberAvailable: 3}
	if st := status(w); !reflect.DeepEqual(st, want) {
		t.Errorf("%+v", st)
	}
	pod := w.State.ObjectOf(on(w)["n2"][0], w.Now).(*corev1.Pod)
	hash := pod.Labels["controller-revision-hash"]
	if pod.Labels["app"] != "logs" || pod.Labels["pod-template-generation"] != "1" || hash == "" || pod.Annotations["note"] != "kept" ||
		pod.GenerateName != "logs-" || pod.OwnerReferences[0].Kind != "DaemonSet" || pod.Spec.NodeName != "n2" || len(pod.Spec.Tolerations) != 6 {
		t.Errorf("%+v", pod)
	}
	if w.Get(stage.In(events.Revisions, "logs-"+hash)) == nil {
		t.Errorf("no revision of hash %s", hash)
	}
	w.Node("n4", "4", "8Gi")
	w.Do(reconcilers.Remove(w.Get(stage.NodeKey("n1"))))
	run(t, w)
	if got := len(on(w)["n4"]); got != 1 {
		t.Errorf("a node that came has %d", got)
	}
}

// What a node needs for a pod, and what a pod that is there bears.
func TestNodesThatSuit(t *testing.T) {
	taint := func(effect string) string {
		return `{"metadata":{"name":"n1"},"spec":{"taints":[{"key":"gpu","value":"yes","effect":"` + effect + `"}]}}`
	}
	own := func(key, effect string) string {
		return `{"metadata":{"name":"n1"},"spec":{"unschedulable":true,"taints":[{"key":"node.kubernetes.io/` + key + `","effect":"` + effect + `"}]}}`
	}
	tolerates := `"tolerations":[{"key":"gpu","operator":"Exists"}],`
	affinity := `"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"disk","operator":"In","values":["ssd"]}]}]}}},`
	for _, c := range []struct {
		name, pod, node string
		run, stay       bool
	}{
		{"any", "", `{"metadata":{"name":"n1"}}`, true, true},
		{"another selector", `"nodeSelector":{"disk":"ssd"},`, `{"metadata":{"name":"n1","labels":{"disk":"hdd"}}}`, false, false},
		{"its selector", `"nodeSelector":{"disk":"ssd"},`, `{"metadata":{"name":"n1","labels":{"disk":"ssd"}}}`, true, true},
		{"another affinity", affinity, `{"metadata":{"name":"n1"}}`, false, false},
		{"its affinity", affinity, `{"metadata":{"name":"n1","labels":{"disk":"ssd"}}}`, true, true},
		{"a taint for new ones", "", taint("NoSchedule"), false, true},
		{"a taint that expels", "", taint("NoExecute"), false, false},
		{"advice", "", taint("PreferNoSchedule"), true, true},
		{"a tolerated taint", tolerates, taint("NoSchedule"), true, true},
		{"a tolerated taint that expels", tolerates, taint("NoExecute"), true, true},
		{"cordoned", "", own("unschedulable", "NoSchedule"), true, true},
		{"full disk", "", own("disk-pressure", "NoSchedule"), true, true},
		{"silent", "", own("unreachable", "NoExecute"), true, true},
		{"no network", "", own("network-unavailable", "NoSchedule"), false, true},
		{"no network needed", `"hostNetwork":true,`, own("network-unavailable", "NoSchedule"), true, true},
		{"another name", `"nodeName":"n2",`, `{"metadata":{"name":"n1"}}`, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stage.New()
			nodes(w, "n1")
			w.Apply(stage.NodeKey("n1"), c.node)
			w.Apply(logs, set("a", 1, rolling(0, 1), c.pod))
			run(t, w)
			if got := len(on(w)["n1"]) == 1; got != c.run {
				t.Errorf("gets one: %v", got)
			}
			w = stage.New() // and one that has it before
			nodes(w, "n1")
			w.Apply(stage.NodeKey("n1"), `{"metadata":{"name":"n1","labels":{"disk":"ssd"}}}`)
			w.Apply(logs, set("a", 1, rolling(0, 1), strings.ReplaceAll(c.pod, `"nodeName":"n2",`, "")))
			run(t, w)
			up(t, w)
			w.Apply(logs, set("a", 1, rolling(0, 1), c.pod))
			w.Apply(stage.NodeKey("n1"), c.node)
			run(t, w)
			if got := len(on(w)["n1"]) == 1; got != c.stay {
				t.Errorf("keeps it: %v", got)
			}
		})
	}
}

// A node's silence or facts wake no set; a taint that matters does.
func TestWhatWakes(t *testing.T) {
	w := stage.New()
	nodes(w, "n1")
	w.Apply(logs, set("a", 1, rolling(0, 1), ""))
	woken := 0
	w.OnFold = func(_ events.Envelope, changes []projections.Change) {
		for _, c := range changes {
			woken += len(Reconciler{}.Keys(w.State, c))
		}
	}
	w.Facts("n1", map[string]string{"cpu": "8"})
	w.Report("n1", false)
	w.Apply(stage.NodeKey("n1"), `{"metadata":{"name":"n1","labels":{"a":"b"}}}`)
	if woken != 0 {
		t.Errorf("woken %d times for nothing", woken)
	}
	w.Apply(stage.NodeKey("n1"), `{"metadata":{"name":"n1"},"spec":{"taints":[{"key":"gpu","effect":"NoSchedule"}]}}`)
	if woken != 1 {
		t.Errorf("woken %d times by a taint", woken)
	}
	w.Do(reconcilers.Remove(w.Get(stage.NodeKey("n1"))))
	if woken != 2 {
		t.Errorf("woken %d times", woken)
	}
}

func TestOneNodeAfterTheOther(t *testing.T) {
	w := stage.New()
	nodes(w, "n1", "n2", "n3")
	w.Apply(logs, set("a", 1, rolling(0, 1), ""))
	run(t, w)
	up(t, w)
	w.Apply(logs, set("b", 2, rolling(0, 1), ""))
	if st := status(w); st.UpdatedNumberScheduled != 0 || st.NumberAvailable != 3 {
		t.Errorf("before anybody looked: %+v", st)
	}
	var saw []string
	for range 12 {
		run(t, w)
		saw = append(saw, images(w))
		reap(w)
		run(t, w)
		up(t, w)
	}
	got := strings.Join(slices.Compact(saw), "|")
	if got != "n2:a n3:a|n1:b n3:a|n1:b n2:b|n1:b n2:b n3:b" {
		t.Errorf("%s", got)
	}
	if st := status(w); st.UpdatedNumberScheduled != 3 || st.NumberAvailable != 3 {
		t.Errorf("%+v", st)
	}
	w.Apply(logs, set("a", 3, rolling(0, 3), "")) // back: the pods have the hash that they had
	run(t, w)
	reap(w)
	run(t, w)
	up(t, w)
	hashes := map[string]bool{}
	for _, pods := range on(w) {
		hashes[pods[0].PodLabels()["controller-revision-hash"]] = true
	}
	revisions := slices.Collect(w.State.List(events.Revisions, ""))
	if got := images(w); got != "n1:a n2:a n3:a" || len(hashes) != 1 || len(revisions) != 2 {
		t.Errorf("%s, hashes %v, %d revisions", got, hashes, len(revisions))
	}
}

// Pods that do not answer go first, and count.
func TestWhatIsDownStaysDown(t *testing.T) {
	w := stage.New()
	nodes(w, "n1", "n2", "n3")
	w.Apply(logs, set("a", 1, rolling(0, 1), ""))
	run(t, w)
	up(t, w)
	o := on(w)["n3"][0]
	w.See(o, events.Fact{Kind: events.FactUnready, Container: "c", Run: 1})
	w.Apply(logs, set("b", 2, rolling(0, 1), ""))
	run(t, w)
	if got := images(w); got != "n1:a n2:a" {
		t.Fatal(got) // n3 is the one that may be down
	}
	reap(w)
	run(t, w)
	assign(t, w)
	d := run(t, w)
	if got := images(w); got != "n1:a n2:a n3:b" {
		t.Errorf("%s", got)
	}
	if len(d.Because) == 0 || d.Because[0].Code != "RolloutWaiting" {
		t.Errorf("%v", d.Because)
	}
}

func TestSurge(t *testing.T) {
	w := stage.New()
	nodes(w, "n1", "n2")
	w.Apply(logs, set("a", 1, rolling(1, 0), ""))
	run(t, w)
	up(t, w)
	w.Apply(logs, set("b", 2, rolling(1, 0), ""))
	var saw []string
	for range 8 {
		run(t, w)
		saw = append(saw, images(w))
		reap(w)
		run(t, w)
		up(t, w)
	}
	if got := strings.Join(slices.Compact(saw), "|"); got != "n1:a,b n2:a|n1:b n2:a,b|n1:b n2:b" {
		t.Error(got)
	}
}

// Of two pods on a node that are both of before, the one that answers stays: the older one may be down.
func TestWhoAnswersStays(t *testing.T) {
	w := stage.New()
	nodes(w, "n1")
	w.Apply(logs, set("a", 1, rolling(1, 0), ""))
	run(t, w)
	up(t, w)
	w.Apply(logs, set("b", 2, rolling(1, 0), ""))
	run(t, w)
	up(t, w)
	for _, o := range on(w)["n1"] {
		if image(o) == "a" {
			w.See(o, events.Fact{Kind: events.FactUnready, Container: "c", Run: 1})
		}
	}
	w.Apply(logs, set("c", 3, rolling(1, 0), ""))
	run(t, w)
	if got := images(w); got != "n1:b,c" {
		t.Errorf("%s: b answers, and c comes beside it", got)
	}
}

func TestOnDelete(t *testing.T) {
	w := stage.New()
	nodes(w, "n1", "n2")
	w.Apply(logs, set("a", 1, `"updateStrategy":{"type":"OnDelete"},`, ""))
	run(t, w)
	up(t, w)
	w.Apply(logs, set("b", 2, `"updateStrategy":{"type":"OnDelete"},`, ""))
	run(t, w)
	if got := images(w); got != "n1:a n2:a" {
		t.Fatal(got)
	}
	w.Delete(on(w)["n1"][0].Key)
	run(t, w)
	if got := images(w); got != "n2:a" {
		t.Fatal(got, "beside the one that leaves")
	}
	reap(w)
	run(t, w)
	if got := images(w); got != "n1:b n2:a" {
		t.Error(got)
	}
}

// A pod that fails again and again is replaced after longer and longer pauses, and one whose container runs once, too.
func TestFailuresWait(t *testing.T) {
	failed := []events.Fact{{Kind: events.FactFailed, Reason: "Evicted"}, {Kind: events.FactStopped}}
	failuresWait(t, set("a", 1, rolling(0, 1), ""), failed)
	once := strings.Replace(set("a", 1, rolling(0, 1), ""), `"containers":[{`, `"containers":[{"restartPolicy":"Never",`, 1)
	failuresWait(t, once, []events.Fact{{Kind: events.FactExited, Container: "c", Run: 1, Code: 1}})
}

func failuresWait(t *testing.T, set string, end []events.Fact) {
	t.Helper()
	w := stage.New()
	nodes(w, "n1")
	w.Apply(logs, set)
	run(t, w)
	var waits []time.Duration
	for range 6 {
		assign(t, w)
		o := on(w)["n1"][0]
		w.See(o, end...)
		began := w.Now
		for range 20 {
			d := run(t, w)
			if p := on(w)["n1"]; len(p) > 0 && p[0].UID != o.UID {
				break
			}
			if d.WakeAt.IsZero() {
				t.Fatal("waits for nothing")
			}
			w.Now = d.WakeAt
		}
		waits = append(waits, w.Now.Sub(began))
		reap(w)
	}
	if got := fmt.Sprint(waits); got != "[0s 1s 2s 4s 8s 16s]" {
		t.Error(got)
	}
	if n := len(w.Pods()); n != 1 {
		t.Errorf("%d pods are kept", n)
	}
}

// A client may say that a pod has failed: it goes, and the next one comes when it is gone.
func TestPodsThatAreSaidToHaveFailed(t *testing.T) {
	for _, strategy := range []string{rolling(0, 1), rolling(1, 0)} {
		w := stage.New()
		nodes(w, "n1")
		w.Apply(logs, set("a", 1, strategy, ""))
		run(t, w)
		up(t, w)
		o := on(w)["n1"][0]
		woken := 0
		w.OnFold = func(_ events.Envelope, changes []projections.Change) {
			for _, c := range changes {
				woken += len(Reconciler{}.Keys(w.State, c))
			}
		}
		w.Do(reconcilers.WriteStatus(o, events.StatusWritten{Status: []byte(`{"phase":"Failed"}`), Over: []byte(`{"phase":"Running"}`)}))
		if w.OnFold = nil; woken == 0 {
			t.Error("nobody is woken")
		}
		run(t, w)
		if w.Get(o.Key).Deletion == nil {
			t.Errorf("it stays: %v", on(w))
		}
		if surges := strategy == rolling(1, 0); (len(on(w)["n1"]) > 0) != surges {
			t.Errorf("beside it: %v, surges %v", on(w), surges)
		}
		reap(w)
		run(t, w)
		if len(on(w)["n1"]) != 1 || on(w)["n1"][0].Key == o.Key {
			t.Errorf("%v", on(w))
		}
	}
}

func TestAdoptsAndReleases(t *testing.T) {
	w := stage.New()
	nodes(w, "n1", "n2")
	w.Apply(stage.PodKey("mine"), `{"metadata":{"name":"mine","namespace":"default","labels":{"app":"logs"}},"spec":{"containers":[{"name":"c","image":"old"}]}}`)
	w.Assign(w.Get(stage.PodKey("mine")), "n1")
	w.Ready(w.Get(stage.PodKey("mine")))
	w.Apply(logs, set("a", 1, `"updateStrategy":{"type":"OnDelete"},`, ""))
	run(t, w)
	if got := images(w); got != "n1:old n2:a" {
		t.Fatal(got)
	}
	w.Apply(stage.PodKey("mine"), `{"metadata":{"name":"mine","namespace":"default","labels":{"app":"free"}},"spec":{"containers":[{"name":"c","image":"old"}]}}`)
	run(t, w)
	if o := w.Get(stage.PodKey("mine")); o.Owner != nil || o.Deletion != nil {
		t.Errorf("%+v", o)
	}
	if got := images(w); got != "n1:a,old n2:a" {
		t.Error(got)
	}
}

// The pods that an earlier set of the name left are of its first template, and not of the first one of this set.
func TestWhatAnEarlierSetLeftIsReplaced(t *testing.T) {
	w := stage.New()
	nodes(w, "n1")
	w.Apply(stage.PodKey("left"), `{"metadata":{"name":"left","namespace":"default","labels":{"app":"logs","pod-template-generation":"1","controller-revision-hash":"old"}},
		"spec":{"containers":[{"name":"c","image":"old"}]}}`)
	w.Assign(w.Get(stage.PodKey("left")), "n1")
	w.Ready(w.Get(stage.PodKey("left")))
	w.Apply(logs, set("a", 1, rolling(0, 1), ""))
	for range 3 {
		run(t, w)
		reap(w)
	}
	if got := images(w); got != "n1:a" {
		t.Error(got)
	}
}

// A pod for a node that is gone goes before it has a node.
func TestPodsForNodesThatAreGone(t *testing.T) {
	w := stage.New()
	nodes(w, "n1", "n2")
	w.Apply(logs, set("a", 1, rolling(0, 1), ""))
	run(t, w)
	w.Do(reconcilers.Remove(w.Get(stage.NodeKey("n2"))))
	run(t, w)
	if got := images(w); got != "n1:a" {
		t.Error(got)
	}
}

func TestHistoryIsKeptToItsLimit(t *testing.T) {
	w := stage.New()
	nodes(w, "n1")
	for i := range 6 {
		w.Apply(logs, set(fmt.Sprint("v", i), i+1, `"revisionHistoryLimit":2,`+rolling(0, 1), ""))
		for range 3 {
			run(t, w)
			reap(w)
			run(t, w)
			up(t, w)
		}
	}
	if n := len(slices.Collect(w.State.List(events.Revisions, ""))); n != 3 {
		t.Errorf("%d revisions", n)
	}
}

func TestDeletedSetsAreLeftAlone(t *testing.T) {
	w := stage.New()
	nodes(w, "n1")
	w.Apply(logs, set("a", 1, rolling(0, 1), ""))
	w.DeleteWith(logs, events.DeletionRequested{Foreground: true})
	if d := (Reconciler{}).Decide(w.State, logs, w.Now); len(d.Events) > 0 {
		t.Errorf("%v", d.Events)
	}
}
