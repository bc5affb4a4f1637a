package schedule

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// A pod that names a node without room for it is given to the node to be failed, with the words of a kubelet; of what the node
// has it takes nothing.
func TestNamedNodesWithoutRoomFailTheirPods(t *testing.T) {
	const port = `"containers":[{"name":"c","image":"i","ports":[{"containerPort":80,"hostPort":8080}]}]`
	const noPorts = "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
	for _, c := range []struct{ name, spec, reason, message string }{
		{"ports", port, "NodePorts", noPorts},
		{"cpu", `"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1500m"}}}]`, "OutOfcpu",
			"Pod was rejected: Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"},
		{"memory", `"containers":[{"name":"c","image":"i","resources":{"requests":{"memory":"2Gi"}}}]`, "OutOfmemory",
			"Pod was rejected: Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824"},
		{"room", `"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}]`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stage.New()
			w.Node("n1", "2", "1Gi")
			w.Node("n2", "2", "1Gi")
			w.Apply(stage.PodKey("there"), `{"metadata":{"name":"there","namespace":"default"},"spec":{"nodeName":"n1","containers":[{"name":"c","image":"i",
				"ports":[{"containerPort":80,"hostPort":8080}],"resources":{"requests":{"cpu":"1"}}}]}}`)
			schedule(t, w)
			k := stage.PodKey("named")
			w.Apply(k, `{"metadata":{"name":"named","namespace":"default"},"spec":{"nodeName":"n1",`+c.spec+`}}`)
			schedule(t, w)
			row, ok := projections.DesiredRow(w.State, k)
			if !ok || row.Pod.Spec.NodeName != "n1" {
				t.Fatalf("not given to its node: %v", ok)
			}
			if c.reason == "" {
				if row.Rejected != nil {
					t.Errorf("rejected: %+v", row.Rejected)
				}
				return
			}
			if r := row.Rejected; r == nil || r.Reason != c.reason || r.Message != c.message {
				t.Fatalf("rejected: %+v", r)
			}
			w.See(w.Get(k), events.Fact{Kind: events.FactFailed, Reason: c.reason, Message: c.message})
			s := w.State.ObjectOf(w.Get(k), w.Now).(*corev1.Pod).Status
			if s.Phase != corev1.PodFailed || s.Reason != c.reason {
				t.Errorf("it is %s, %s", s.Phase, s.Reason)
			}
			before := len(w.Log)
			if schedule(t, w); len(w.Log) != before {
				t.Errorf("and then: %s", w.Log[before].Type)
			}
		})
	}
}

// While a rejected pod is not failed yet it counts as there: nobody else is rejected for what it seems to take.
func TestTheRejectedTakeNothing(t *testing.T) {
	w := stage.New()
	w.Node("n1", "2", "1Gi")
	for _, cpu := range []string{"3", "1"} {
		w.Apply(stage.PodKey("p"+cpu), fmt.Sprintf(`{"metadata":{"name":"p%s","namespace":"default"},"spec":{"nodeName":"n1","containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":%q}}}]}}`, cpu, cpu))
		schedule(t, w)
	}
	if row := w.Row(w.Get(stage.PodKey("p1"))); row.Node != "" {
		t.Fatalf("given to %s beside one that is not failed yet", row.Node)
	}
	w.See(w.Get(stage.PodKey("p3")), events.Fact{Kind: events.FactFailed, Reason: "OutOfcpu"})
	schedule(t, w)
	if row, ok := projections.DesiredRow(w.State, stage.PodKey("p1")); !ok || row.Rejected != nil {
		t.Errorf("given %v, rejected %+v", ok, row.Rejected)
	}
}

// A ReplicaSet would replace such a pod at once and forever: its pods wait, and say for what. So do those whose node says nothing.
func TestWhoWaitsForANamedNode(t *testing.T) {
	w := stage.New()
	w.Node("n1", "2", "1Gi")
	w.Node("n2", "2", "1Gi")
	w.Report("n2", false)
	spec := func(node string) []byte {
		return fmt.Appendf(nil, `{"spec":{"nodeName":%q,"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"3"}}}]}}`, node)
	}
	rs := w.Apply(stage.In(events.ReplicaSets, "web"), `{"metadata":{"name":"web","namespace":"default"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{}}}`)
	w.Do(reconcilers.Create(stage.PodKey("owned"), events.Created{Owner: &events.Owner{Resource: rs.Key.Resource, Name: rs.Key.Name, UID: rs.UID}, Object: spec("n1")}),
		reconcilers.Create(stage.PodKey("silent"), events.Created{Object: spec("n2")}))
	schedule(t, w)
	for _, name := range []string{"owned", "silent"} {
		if v, ok := w.State.Verdict(stage.PodKey(name)); w.Row(w.Get(stage.PodKey(name))).Node != "" || !ok || v.Reasons[0].Code != CodeUnschedulable {
			t.Errorf("%s does not wait: %+v", name, v)
		}
	}
}
