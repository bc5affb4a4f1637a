package schedule

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// asking is a pod with a request, and with more of its spec as JSON fields.
func asking(name, cpu, memory, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"default"},"spec":{"containers":[{"name":"c","image":"i",
		"resources":{"requests":{"cpu":%q,"memory":%q}}}]%s}}`, name, cpu, memory, more)
}

func schedule(t interface{ Fatal(...any) }, w *stage.World) reconcilers.Decision {
	d, err := w.Run(Reconciler{}, Pass)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func nodeOf(w *stage.World, pod string) string { return w.Row(w.Get(stage.PodKey(pod))).Node }

// taint sets a node's spec.
func spec(w *stage.World, node, spec string) {
	w.Apply(stage.NodeKey(node), `{"metadata":{"name":"`+node+`","labels":{"disk":"ssd","name":"`+node+`"}},"spec":`+spec+`}`)
}

func TestFirstFilterThatSaysNo(t *testing.T) {
	for _, c := range []struct {
		name     string
		node     string // spec
		cpu, mem string
		pod      string // more of its spec
		want     events.Reason
		words    string
	}{
		{"cordoned", `{"unschedulable":true}`, "100m", "1Mi", ``, events.Reason{Code: CodeCordoned, Fix: "uncordon n1"}, "1 node(s) were unschedulable"},
		{"taint", `{"taints":[{"key":"gpu","value":"yes","effect":"NoSchedule"}]}`, "100m", "1Mi", ``,
			events.Reason{Code: CodeTaint, What: "gpu", Have: "gpu=yes:NoSchedule", Fix: "tolerate gpu=yes:NoSchedule"}, "1 node(s) had untolerated taint {gpu: yes}"},
		{"wrong toleration", `{"taints":[{"key":"gpu","value":"yes","effect":"NoExecute"}]}`, "100m", "1Mi",
			`"tolerations":[{"key":"gpu","operator":"Equal","value":"no"}]`,
			events.Reason{Code: CodeTaint, What: "gpu", Have: "gpu=yes:NoExecute", Fix: "tolerate gpu=yes:NoExecute"}, "1 node(s) had untolerated taint {gpu: yes}"},
		{"selector", `{}`, "100m", "1Mi", `"nodeSelector":{"disk":"hdd"}`,
			events.Reason{Code: CodeSelector, What: "disk", Need: "hdd", Have: "ssd", Fix: "label node n1 disk=hdd"}, "1 node(s) didn't match Pod's node affinity/selector"},
		{"cpu", `{}`, "3", "1Mi", ``, events.Reason{Code: CodeInsufficient, What: "cpu", Need: "3", Have: "2",
			Fix: "ask for at most 2 cpu, or add a node with 3 cpu"}, "1 Insufficient cpu"},
		{"memory", `{}`, "1", "5Gi", ``, events.Reason{Code: CodeInsufficient, What: "memory", Need: "5Gi", Have: "4Gi",
			Fix: "ask for at most 4Gi memory, or add a node with 5Gi memory"}, "1 Insufficient memory"},
		{"named elsewhere", `{}`, "1", "1Mi", `"nodeName":"n9"`, events.Reason{Code: CodeNodeName, Need: "n9", Have: "n1", Fix: "name n1 in spec.nodeName, or none"},
			"1 node(s) didn't match the requested node name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stage.New()
			w.Node("n1", "2", "4Gi")
			spec(w, "n1", c.node)
			w.Apply(stage.PodKey("p"), asking("p", c.cpu, c.mem, c.pod))
			d := schedule(t, w)
			c.want.About = stage.NodeKey("n1")
			if len(d.Because) != 1 || d.Because[0] != c.want {
				t.Errorf("because %+v, want %+v", d.Because, c.want)
			}
			if got := Explain(w.State, stage.PodKey("p")); !slices.Equal(got, d.Because) {
				t.Errorf("explained as %v", got)
			}
			v, _ := w.State.Verdict(stage.PodKey("p"))
			if v == nil || v.Reasons[0].Said != "0/1 nodes are available: "+c.words+"." || v.Reasons[1] != c.want {
				t.Errorf("verdict %+v", v)
			}
		})
	}
}

// gpus makes a pod that asks for so many of a resource that its node's agent knows nothing of.
func gpus(name, number, more string) string {
	return strings.Replace(asking(name, "1m", "1Mi", more), `"requests":{`, `"requests":{"example.com/gpu":"`+number+`",`, 1)
}

// What a client wrote into a node's capacity is given out, and no more; room for what matters more is made of it.
func TestExtendedResourcesAreCounted(t *testing.T) {
	w := stage.New()
	w.Node("n1", "2", "4Gi")
	w.Node("n2", "2", "4Gi")
	n1 := w.Get(stage.NodeKey("n1"))
	write := func(status string) {
		w.Do(reconcilers.WriteStatus(n1, events.StatusWritten{Status: json.RawMessage(status)}))
	}
	write(`{"capacity":{"example.com/gpu":"3"}}`)
	for _, name := range []string{"a", "b"} {
		w.Apply(stage.PodKey(name), gpus(name, "2", ""))
		schedule(t, w)
	}
	if a, b := nodeOf(w, "a"), nodeOf(w, "b"); a != "n1" || b != "" {
		t.Fatalf("a is on %q, b on %q", a, b)
	}
	v, _ := w.State.Verdict(stage.PodKey("b"))
	want := events.Reason{Code: CodeInsufficient, About: stage.NodeKey("n1"), What: "example.com/gpu", Need: "2", Have: "1",
		Fix: "ask for at most 1 example.com/gpu, or free 1 example.com/gpu on n1"}
	if v == nil || len(v.Reasons) != 2 || v.Reasons[0].Said != "0/2 nodes are available: 2 Insufficient example.com/gpu." || v.Reasons[1] != want {
		t.Errorf("verdict %+v", v)
	}
	w.Apply(stage.PodKey("c"), gpus("c", "3", `"priority":7`))
	schedule(t, w)
	if got := victims(w, "c"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("%v have to go for c", got)
	}
	write(`{"capacity":{"example.com/gpu":"8"}}`)
	schedule(t, w)
	if b, c := nodeOf(w, "b"), nodeOf(w, "c"); b != "n1" || c != "n1" {
		t.Errorf("with more of them b is on %q, c on %q", b, c)
	}
}

func TestWhatLetsAPodIn(t *testing.T) {
	for _, c := range []struct{ name, node, pod string }{
		{"plain", `{}`, ``},
		{"selector", `{}`, `"nodeSelector":{"disk":"ssd"}`},
		{"tolerates by value", `{"taints":[{"key":"gpu","value":"yes","effect":"NoSchedule"}]}`, `"tolerations":[{"key":"gpu","value":"yes"}]`},
		{"tolerates by key", `{"taints":[{"key":"gpu","value":"yes","effect":"NoExecute"}]}`, `"tolerations":[{"key":"gpu","operator":"Exists"}]`},
		{"tolerates all", `{"unschedulable":true,"taints":[{"key":"a","effect":"NoSchedule"}]}`, `"tolerations":[{"operator":"Exists"}]`},
		{"preferred only", `{"taints":[{"key":"a","effect":"PreferNoSchedule"}]}`, ``},
		{"named node passes by taints", `{"unschedulable":true,"taints":[{"key":"a","effect":"NoSchedule"}]}`, `"nodeName":"n1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stage.New()
			w.Node("n1", "2", "4Gi")
			spec(w, "n1", c.node)
			w.Apply(stage.PodKey("p"), asking("p", "2", "4Gi", c.pod))
			schedule(t, w)
			if nodeOf(w, "p") != "n1" {
				t.Errorf("not placed: %v", Explain(w.State, stage.PodKey("p")))
			}
			if got := Explain(w.State, stage.PodKey("p")); got != nil {
				t.Errorf("a placed pod is explained as %v", got)
			}
		})
	}
}

func TestNoNodesAndSilentNodes(t *testing.T) {
	w := stage.New()
	w.Apply(stage.PodKey("p"), asking("p", "1", "1Gi", ""))
	schedule(t, w)
	if v, _ := w.State.Verdict(stage.PodKey("p")); v == nil || v.Reasons[0].Said != "no nodes available to schedule pods" {
		t.Fatalf("verdict %+v", v)
	}
	if got := Explain(w.State, stage.PodKey("p")); len(got) != 1 || got[0].Code != CodeNoNodes {
		t.Fatalf("explained as %v", got)
	}
	w.Apply(stage.NodeKey("n1"), `{"metadata":{"name":"n1"}}`) // admitted, never heard of
	schedule(t, w)
	if got := Explain(w.State, stage.PodKey("p")); len(got) != 1 || got[0].Code != CodeNotReady {
		t.Fatalf("explained as %v", got)
	}
	w.Facts("n1", map[string]string{"cpu": "2", "memory": "4Gi"})
	w.Report("n1", true)
	schedule(t, w)
	if nodeOf(w, "p") != "n1" {
		t.Fatal("not placed")
	}
	if v, _ := w.State.Verdict(stage.PodKey("p")); len(v.Reasons) != 0 {
		t.Errorf("the verdict stays: %v", v.Reasons)
	}
}

func TestVerdictChangesOnlyWithItsCodes(t *testing.T) {
	w := stage.New()
	w.Node("n1", "1", "4Gi")
	w.Apply(stage.PodKey("p"), asking("p", "4", "1Gi", ""))
	schedule(t, w)
	before := len(w.Log)
	w.Node("n2", "2", "4Gi") // three events; the same code
	schedule(t, w)
	if n := len(w.Log) - before; n != 3 {
		t.Errorf("%d events for other numbers", n-3)
	}
	spec(w, "n2", `{"unschedulable":true}`)
	schedule(t, w)
	v, _ := w.State.Verdict(stage.PodKey("p"))
	if got := v.Reasons[0].Said; got != "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable." {
		t.Errorf("said %q", got)
	}
}

func TestOldestFirstAndLeastLoaded(t *testing.T) {
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	w.Node("n2", "4", "8Gi")
	for i := range 8 {
		name := fmt.Sprintf("p%d", 7-i) // the oldest is p7
		w.Apply(stage.PodKey(name), asking(name, "1", "1Gi", ""))
	}
	w.Apply(stage.PodKey("late"), asking("late", "1", "1Gi", ""))
	d := Reconciler{}.Decide(w.State, Pass, w.Now)
	if len(d.Events) != 3 {
		t.Fatalf("%d events: one for each node, and a verdict", len(d.Events))
	}
	schedule(t, w)
	count := map[string]int{}
	for i := range 8 {
		count[nodeOf(w, fmt.Sprintf("p%d", i))]++
	}
	if count["n1"] != 4 || count["n2"] != 4 || nodeOf(w, "late") != "" {
		t.Errorf("placed %v, late on %q", count, nodeOf(w, "late"))
	}
}

func TestPodsThatAskNothingSpread(t *testing.T) {
	w := stage.New()
	for _, n := range []string{"n1", "n2", "n3"} {
		w.Node(n, "4", "8Gi")
	}
	for i := range 9 {
		name := fmt.Sprintf("p%d", i)
		w.Apply(stage.PodKey(name), `{"metadata":{"name":"`+name+`","namespace":"default"},"spec":{"containers":[{"name":"c"}]}}`)
	}
	schedule(t, w)
	for _, n := range []string{"n1", "n2", "n3"} {
		if u := w.State.Used(n); u.Pods != 3 {
			t.Errorf("%s has %d", n, u.Pods)
		}
	}
}

func TestPodLimitOfANode(t *testing.T) {
	w := stage.New()
	w.Node("n1", "100", "800Gi")
	for i := range 111 {
		name := fmt.Sprintf("p%03d", i)
		w.Apply(stage.PodKey(name), `{"metadata":{"name":"`+name+`","namespace":"default"},"spec":{"containers":[{"name":"c"}]}}`)
	}
	d := schedule(t, w)
	if u := w.State.Used("n1"); u.Pods != 110 {
		t.Errorf("%d pods", u.Pods)
	}
	if len(d.Because) != 1 || d.Because[0].What != "pods" || d.Because[0].Fix != "add a node" {
		t.Errorf("because %v", d.Because)
	}
	if v, _ := w.State.Verdict(stage.PodKey("p110")); v == nil || v.Reasons[0].Said != "0/1 nodes are available: 1 Too many pods." {
		t.Errorf("verdict %v", v)
	}
}

func TestKeysAskOnlyWhenItMatters(t *testing.T) {
	w := stage.New()
	var asked bool
	w.OnFold = func(_ events.Envelope, changes []projections.Change) {
		asked = slices.ContainsFunc(changes, func(c projections.Change) bool { return len((Reconciler{}).Keys(w.State, c)) > 0 })
	}
	expect := func(what string, want bool) {
		t.Helper()
		if asked != want {
			t.Errorf("%s: asked %v", what, asked)
		}
	}
	w.Node("n1", "2", "4Gi")
	expect("a node while nobody waits", false)
	w.Apply(stage.PodKey("p"), asking("p", "2", "1Gi", ""))
	expect("a pod", true)
	schedule(t, w)
	w.Apply(stage.PodKey("q"), asking("q", "1", "1Gi", ""))
	schedule(t, w)
	expect("a verdict", false)
	w.Ready(w.Get(stage.PodKey("p")))
	expect("a ready pod", false)
	w.Apply(stage.PodKey("p"), asking("p", "2", "1Gi", ""))
	expect("other labels, maybe", true)
	w.Apply(events.Key{Resource: events.Namespaces, Name: "default"}, `{"metadata":{"name":"default","labels":{"a":"b"}}}`)
	expect("other labels of a namespace", true)
	w.Delete(stage.PodKey("p"))
	expect("a pod that leaves", true)
	w.Stopped(w.Get(stage.PodKey("p")))
	expect("room", true)
	w.Report("n1", true)
	expect("a node while q waits", true)
	w.Apply(stage.PodKey("theirs"), asking("theirs", "1", "1Gi", `"schedulerName":"other"`))
	expect("a pod for another scheduler", false)
	w.Assign(w.Get(stage.PodKey("theirs")), "n1")
	expect("a pod that another scheduler gave a node: q may have to be beside it", true)
}

// No node is ever over what it has, what is placed fits its node, what waits
// fits nowhere, and the same view gives the same decision.
func TestPlacementIsSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := stage.New()
		nodes := rapid.IntRange(1, 6).Draw(t, "nodes")
		for i := range nodes {
			name := fmt.Sprintf("n%d", i)
			w.Node(name, fmt.Sprint(rapid.IntRange(1, 4).Draw(t, "cpu")), "8Gi")
			spec(w, name, rapid.SampledFrom([]string{`{}`, `{"unschedulable":true}`, `{"taints":[{"key":"k","effect":"NoSchedule"}]}`}).Draw(t, "spec"))
		}
		for i := range rapid.IntRange(0, 30).Draw(t, "pods") {
			name := fmt.Sprintf("p%d", i)
			w.Apply(stage.PodKey(name), asking(name, rapid.SampledFrom([]string{"100m", "1", "3"}).Draw(t, "ask"), "1Gi",
				rapid.SampledFrom([]string{``, `"nodeSelector":{"name":"n0"}`, `"tolerations":[{"key":"k","operator":"Exists"}]`}).Draw(t, "more")))
		}
		a, b := Reconciler{}.Decide(w.State, Pass, w.Now), Reconciler{}.Decide(w.State, Pass, w.Now)
		if fmt.Sprint(a) != fmt.Sprint(b) || len(a.Events) > maxSteps {
			t.Fatal("not the same twice, or too much")
		}
		schedule(t, w)
		for _, n := range nodesOf(w.State) {
			if n.used.CPU > n.has.CPU || n.used.Memory > n.has.Memory {
				t.Fatalf("%s holds %+v of %+v", n.name, n.used, n.has)
			}
		}
		for _, o := range w.Pods() {
			if waits := w.Row(o).Node == ""; waits != (len(Explain(w.State, o.Key)) == nodes) || waits != blamed(w.State, o) {
				t.Fatalf("%s: waits %v, explained %v", o.Key, waits, Explain(w.State, o.Key))
			}
		}
		if w.State.Void != 0 {
			t.Fatal("void events")
		}
	})
}

// A pod that asks for another scheduler is that one's to bind: ours neither takes it nor says why it waits.
func TestPodsOfOtherSchedulersAreLeft(t *testing.T) {
	w := stage.New()
	w.Node("n1", "2", "4Gi")
	w.Apply(stage.PodKey("theirs"), asking("theirs", "9", "1Mi", `"schedulerName":"mine"`))
	w.Apply(stage.PodKey("ours"), asking("ours", "1", "1Mi", `"schedulerName":"default-scheduler"`))
	if d := schedule(t, w); len(d.Because) != 0 || nodeOf(w, "theirs") != "" || nodeOf(w, "ours") != "n1" {
		t.Errorf("because %v; theirs is on %q, ours on %q", d.Because, nodeOf(w, "theirs"), nodeOf(w, "ours"))
	}
	if v, ok := w.State.Verdict(stage.PodKey("theirs")); ok {
		t.Errorf("verdict %+v", v)
	}
	if why := Explain(w.State, stage.PodKey("theirs")); len(why) != 0 {
		t.Errorf("explained as %v", why)
	}
}

// What is more than any node could have stays that: it is no less than nothing, whatever numbers it takes.
func TestNobodyHasRoomForTheImpossible(t *testing.T) {
	for _, requests := range []string{`"cpu":"10000000000000000"`, `"memory":"5Ei"`, `"memory":"9223372036854775807"`, `"cpu":"9Ei"`, `"example.com/gpu":"9223372036854775807"`} {
		w := stage.New()
		w.Node("n1", "2", "4Gi")
		c := `{"name":%q,"resources":{"requests":{` + requests + `}}}`
		w.Apply(stage.PodKey("p"), fmt.Sprintf(`{"metadata":{"name":"p"},"spec":{"containers":[`+c+`,`+c+`,`+c+`],"overhead":{"cpu":"9Ei"}}}`, "a", "b", "d"))
		w.Apply(stage.PodKey("q"), asking("q", "3", "1Gi", ""))
		schedule(t, w)
		if p, q := nodeOf(w, "p"), nodeOf(w, "q"); p != "" || q != "" {
			t.Errorf("%s: on %q, and beside it one of three cores on %q", requests, p, q)
		}
	}
}

// A pod with gates is nobody's until the last one is taken off.
func TestGatesHoldPodsBack(t *testing.T) {
	w := stage.New()
	w.Node("n1", "2", "4Gi")
	gated := func(gates string) string {
		return asking("p", "1", "1Mi", `"schedulerName":"default-scheduler","schedulingGates":[`+gates+`]`)
	}
	o := w.Apply(stage.PodKey("p"), gated(`{"name":"a"},{"name":"b"}`))
	if d := schedule(t, w); len(d.Because) != 0 || nodeOf(w, "p") != "" || len(Explain(w.State, o.Key)) != 0 {
		t.Errorf("because %v; it is on %q", d.Because, nodeOf(w, "p"))
	}
	if c := w.State.ObjectOf(o, w.Now).(*corev1.Pod).Status.Conditions; len(c) != 1 || c[0].Type != corev1.PodScheduled || c[0].Status != corev1.ConditionFalse || c[0].Reason != corev1.PodReasonSchedulingGated {
		t.Errorf("conditions %+v", c)
	}
	w.Apply(o.Key, gated(`{"name":"b"}`))
	if schedule(t, w); nodeOf(w, "p") != "" {
		t.Errorf("one gate is left, and it is on %q", nodeOf(w, "p"))
	}
	w.Apply(o.Key, gated(""))
	if schedule(t, w); nodeOf(w, "p") != "n1" {
		t.Errorf("it is on %q", nodeOf(w, "p"))
	}
}
