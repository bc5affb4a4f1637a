package plan

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// A pod waits for a runtime that the node does not have, and says so once; what runs
// already goes on.
func TestHandlers(t *testing.T) {
	name := "heavy"
	for _, c := range []struct {
		handler   string
		classless bool
		want      string
	}{
		{"heavy", false, `Failed to create pod sandbox: failed to get sandbox runtime: no runtime for "heavy" is configured`},
		{"", true, `Failed to create pod sandbox: runtimeclass.node.k8s.io "heavy" not found`},
	} {
		row := rowOf(corev1.RestartPolicyAlways, "a")
		row.Pod.Spec.RuntimeClassName, row.Handler, row.Classless = &name, c.handler, c.classless
		d := Decide(row, Observed{}, Node{}, t0)
		if len(d.Ops) != 1 {
			t.Fatalf("%+v: %s", c, d)
		}
		if f := d.Ops[0].(Report).Facts[0]; f.Reason != ContainerCreating || f.Message != c.want || !d.WakeAt.IsZero() {
			t.Errorf("%+v: told %+v", c, f)
		}
		if d := Decide(row, told(ready("a").Put(running("a", 1))), Node{}, t0); len(d.Ops) != 0 {
			t.Errorf("what runs: %s", d)
		}
	}
	for _, handler := range []string{"", Handler} {
		row := rowOf(corev1.RestartPolicyAlways, "a")
		row.Handler = handler
		if d := Decide(row, Observed{}, Node{}, t0).String(); d != Decide(rowOf(corev1.RestartPolicyAlways, "a"), Observed{}, Node{}, t0).String() {
			t.Errorf("%q: %s", handler, d)
		}
	}
}
