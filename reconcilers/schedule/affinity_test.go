package schedule

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/stage"
)

func TestOperators(t *testing.T) {
	for _, c := range []struct {
		op     corev1.NodeSelectorOperator
		values []string
		have   string
		there  bool
		want   bool
	}{
		{corev1.NodeSelectorOpIn, []string{"a", "b"}, "b", true, true}, {corev1.NodeSelectorOpIn, []string{"a"}, "b", true, false}, {corev1.NodeSelectorOpIn, []string{""}, "", false, false},
		{corev1.NodeSelectorOpNotIn, []string{"a"}, "b", true, true}, {corev1.NodeSelectorOpNotIn, []string{"a"}, "a", true, false}, {corev1.NodeSelectorOpNotIn, []string{"a"}, "", false, true},
		{corev1.NodeSelectorOpExists, nil, "", true, true}, {corev1.NodeSelectorOpExists, nil, "", false, false},
		{corev1.NodeSelectorOpDoesNotExist, nil, "", true, false}, {corev1.NodeSelectorOpDoesNotExist, nil, "", false, true},
		{corev1.NodeSelectorOpGt, []string{"3"}, "4", true, true}, {corev1.NodeSelectorOpGt, []string{"3"}, "3", true, false}, {corev1.NodeSelectorOpGt, []string{"3"}, "x", true, false},
		{corev1.NodeSelectorOpLt, []string{"3"}, "-1", true, true}, {corev1.NodeSelectorOpLt, []string{"3"}, "", false, false}, {corev1.NodeSelectorOpLt, []string{"x"}, "1", true, false},
		{"Like", []string{"a"}, "a", true, false},
	} {
		r := corev1.NodeSelectorRequirement{Key: "k", Operator: c.op, Values: c.values}
		if got := projections.Meets(r, c.have, c.there); got != c.want {
			t.Errorf("%q there %v, %s: %v", c.have, c.there, needs(r), got)
		}
	}
}

func required(terms string) string {
	return `"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[` + terms + `]}}}`
}

func TestRequiredNodeAffinity(t *testing.T) {
	const words = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
	for _, c := range []struct {
		name, terms string
		want        events.Reason // zero: the node takes it
	}{
		{"met", `{"matchExpressions":[{"key":"disk","operator":"In","values":["hdd","ssd"]},{"key":"gpu","operator":"DoesNotExist"}]}`, events.Reason{}},
		{"the second term is met", `{"matchExpressions":[{"key":"gpu","operator":"Exists"}]},{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}`, events.Reason{}},
		{"not in the set", `{"matchExpressions":[{"key":"disk","operator":"In","values":["hdd","tape"]}]}`,
			events.Reason{What: "disk", Need: "in (hdd, tape)", Have: "ssd", Fix: "label node n1 disk=hdd"}},
		{"in the wrong set", `{"matchExpressions":[{"key":"disk","operator":"NotIn","values":["ssd"]}]}`,
			events.Reason{What: "disk", Need: "not in (ssd)", Have: "ssd", Fix: "label node n1 disk-"}},
		{"not there", `{"matchExpressions":[{"key":"gpu","operator":"Exists"}]}`, events.Reason{What: "gpu", Need: "any value", Fix: "label node n1 gpu="}},
		{"too small", `{"matchExpressions":[{"key":"cores","operator":"Gt","values":["8"]}]}`, events.Reason{What: "cores", Need: "above 8", Fix: "label node n1 cores=NUMBER"}},
		{"another node", `{"matchFields":[{"key":"metadata.name","operator":"NotIn","values":["n1"]}]}`,
			events.Reason{What: "metadata.name", Need: "not in (n1)", Have: "n1", Fix: "correct the pod's node affinity"}},
		{"the nearest of two terms", `{"matchExpressions":[{"key":"a","operator":"Exists"},{"key":"b","operator":"Exists"}]},{"matchExpressions":[{"key":"disk","operator":"Exists"},{"key":"c","operator":"Exists"}]}`,
			events.Reason{What: "c", Need: "any value", Fix: "label node n1 c="}},
		{"an empty term matches nothing", `{}`, events.Reason{Need: "a term that matches", Fix: "give the pod's node affinity a term that is not empty"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stage.New()
			w.Node("n1", "2", "4Gi")
			spec(w, "n1", `{}`)
			w.Apply(stage.PodKey("p"), asking("p", "1", "1Gi", required(c.terms)))
			d := schedule(t, w)
			if c.want == (events.Reason{}) {
				if nodeOf(w, "p") != "n1" {
					t.Fatalf("not placed: %v", d.Because)
				}
				return
			}
			c.want.Code, c.want.About = CodeAffinity, stage.NodeKey("n1")
			if len(d.Because) != 1 || d.Because[0] != c.want {
				t.Errorf("because %+v\nwant %+v", d.Because, c.want)
			}
			if v, _ := w.State.Verdict(stage.PodKey("p")); v == nil || v.Reasons[0].Said != words {
				t.Errorf("verdict %+v", v)
			}
		})
	}
}

func TestALabelLetsAWaitingPodIn(t *testing.T) {
	w := stage.New()
	w.Node("n1", "2", "4Gi")
	w.Apply(stage.PodKey("p"), asking("p", "1", "1Gi", required(`{"matchExpressions":[{"key":"disk","operator":"Exists"}]}`)))
	schedule(t, w)
	if nodeOf(w, "p") != "" {
		t.Fatal("placed without the label")
	}
	spec(w, "n1", `{}`)
	schedule(t, w)
	if nodeOf(w, "p") != "n1" {
		t.Error("the label changed nothing")
	}
}

func TestPreferencesOutweighLoad(t *testing.T) {
	for _, c := range []struct{ name, more, n2, want string }{
		{"none", ``, `{}`, "n1 n2 n1 n2"},
		{"liked", `"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":10,"preference":{"matchExpressions":[{"key":"name","operator":"In","values":["n2"]}]}}]}}`, `{}`, "n2 n2 n2 n2"},
		{"advised against", ``, `{"taints":[{"key":"k","effect":"PreferNoSchedule"}]}`, "n1 n1 n1 n1"},
		{"advised against and tolerated", `"tolerations":[{"key":"k","operator":"Exists"}]`, `{"taints":[{"key":"k","effect":"PreferNoSchedule"}]}`, "n1 n2 n1 n2"},
	} {
		w := stage.New()
		for _, n := range []string{"n1", "n2"} {
			w.Node(n, "8", "16Gi")
		}
		spec(w, "n1", `{}`)
		spec(w, "n2", c.n2)
		got := ""
		for i := range 4 {
			name := fmt.Sprintf("p%d", i)
			w.Apply(stage.PodKey(name), asking(name, "1", "1Gi", c.more))
			schedule(t, w)
			got += " " + nodeOf(w, name)
		}
		if got != " "+c.want {
			t.Errorf("%s: placed on%s, want %s", c.name, got, c.want)
		}
	}
}

func withPort(name, address string, protocol string, number int) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"default"},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80,"hostPort":%d,"hostIP":%q,"protocol":%q}]}]}}`,
		name, number, address, protocol)
}

func TestHostPortsAreTakenOnce(t *testing.T) {
	for _, c := range []struct {
		address, protocol string
		number            int
		clash             bool
	}{
		{"", "TCP", 8080, true}, {"0.0.0.0", "TCP", 8080, true}, {"192.0.2.1", "TCP", 8080, true}, {"", "UDP", 8080, false}, {"", "TCP", 8081, false},
	} {
		w := stage.New()
		w.Node("n1", "2", "4Gi")
		w.Apply(stage.PodKey("first"), withPort("first", "", "TCP", 8080))
		w.Apply(stage.PodKey("second"), withPort("second", c.address, c.protocol, c.number)) // in the same pass
		schedule(t, w)
		w.Apply(stage.PodKey("third"), withPort("third", c.address, c.protocol, c.number)) // and in one after it
		schedule(t, w)
		if nodeOf(w, "first") != "n1" || (nodeOf(w, "second") == "") != c.clash || nodeOf(w, "third") != "" {
			t.Errorf("%+v: %q %q %q", c, nodeOf(w, "first"), nodeOf(w, "second"), nodeOf(w, "third"))
		}
	}
	a, b := port{number: 1, address: "192.0.2.1"}, port{number: 1, address: "192.0.2.2"}
	if a.clashes(b) || !a.clashes(a) {
		t.Error("two addresses of a node are two")
	}
}

// A sidecar holds its port as long as the others; what only comes before them holds none.
func TestSidecarsHoldPorts(t *testing.T) {
	for _, c := range []struct {
		policy string
		clash  bool
	}{{`"restartPolicy":"Always",`, true}, {"", false}} {
		w := stage.New()
		w.Node("n1", "2", "4Gi")
		for _, name := range []string{"first", "second"} {
			w.Apply(stage.PodKey(name), fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"containers":[{"name":"c"}],
				"initContainers":[{"name":"i",%s"ports":[{"containerPort":80,"hostPort":8080}]}]}}`, name, c.policy))
		}
		schedule(t, w)
		if nodeOf(w, "first") != "n1" || (nodeOf(w, "second") == "") != c.clash {
			t.Errorf("%q: %q %q", c.policy, nodeOf(w, "first"), nodeOf(w, "second"))
		}
	}
}

func TestATakenPortIsTold(t *testing.T) {
	w := stage.New()
	w.Node("n1", "2", "4Gi")
	w.Node("n2", "2", "4Gi")
	for _, name := range []string{"a", "b", "c"} {
		w.Apply(stage.PodKey(name), withPort(name, "", "TCP", 8080))
	}
	d := schedule(t, w)
	want := events.Reason{Code: CodePorts, About: stage.NodeKey("n1"), What: "TCP 8080", Have: "default/a", Fix: "ask for another host port, or add a node"}
	if len(d.Because) != 2 || d.Because[0] != want {
		t.Errorf("because %+v", d.Because)
	}
	v, _ := w.State.Verdict(stage.PodKey("c"))
	if v == nil || v.Reasons[0].Said != "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports." {
		t.Fatalf("verdict %+v", v)
	}
	w.Stopped(w.Get(stage.PodKey("a")))
	schedule(t, w)
	if nodeOf(w, "c") != "n1" {
		t.Error("the port of a pod that ended is not free")
	}
}
