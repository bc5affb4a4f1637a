package admit

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/gateway/wire"
)

func TestRuntimeClasses(t *testing.T) {
	w := newTown(t)
	class := func(name, fields string) string {
		return "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: " + name + "}\n" + fields
	}
	of := func(name, fields string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec: {" + fields + "containers: [{name: a, image: nginx}]}\n"
	}
	w.refused(w.do(wire.Create, class("x", "handler: ''\n")), metav1.StatusReasonInvalid, `RuntimeClass.node.k8s.io "x" is invalid: handler: Required value`)
	w.refused(w.do(wire.Create, class("x", "handler: h\nscheduling: {tolerations: [{key: k, operator: Exists}, {key: k, operator: Exists}]}\n")), metav1.StatusReasonInvalid,
		`RuntimeClass.node.k8s.io "x" is invalid: scheduling.tolerations[1]: Duplicate value: {"key":"k","operator":"Exists"}`)
	w.refused(w.do(wire.Create, class("x", "handler: h\noverhead: {podFixed: {cpu: '-1'}}\n")), metav1.StatusReasonInvalid,
		`RuntimeClass.node.k8s.io "x" is invalid: overhead.podFixed[cpu]: Invalid value: "-1": must be greater than or equal to 0`)
	w.must(wire.Create, class("plain", "handler: runc\n"), Created)
	w.refused(w.do(wire.Apply, class("plain", "handler: other\n")), metav1.StatusReasonInvalid, `RuntimeClass.node.k8s.io "plain" is invalid: handler: Invalid value: "other": field is immutable`)
	const heavy = "handler: heavy\noverhead: {podFixed: {cpu: 250m, memory: 64Mi}}\nscheduling: {nodeSelector: {kind: heavy}, tolerations: [{key: heavy, operator: Exists}]}\n"
	w.must(wire.Create, class("heavy", heavy), Created)

	got := get[*corev1.Pod](w, w.must(wire.Create, of("a", "runtimeClassName: heavy, nodeSelector: {own: 'yes'}, tolerations: [{key: heavy, value: v}], "), Created)).Spec
	if got.Overhead.Cpu().String() != "250m" || got.NodeSelector["kind"] != "heavy" || got.NodeSelector["own"] != "yes" || len(got.Tolerations) != 1 || got.Tolerations[0].Operator != corev1.TolerationOpExists {
		t.Errorf("%+v", got)
	}
	w.must(wire.Apply, of("b", "runtimeClassName: heavy, "), Created)
	w.must(wire.Apply, of("b", "runtimeClassName: heavy, "), Unchanged)
	w.must(wire.Create, of("c", "runtimeClassName: plain, "), Created)
	for fields, want := range map[string]string{
		"runtimeClassName: none, ":                               `pod rejected: RuntimeClass "none" not found`,
		"overhead: {cpu: 1m}, ":                                  "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
		"runtimeClassName: plain, overhead: {cpu: 1m}, ":         "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
		"runtimeClassName: heavy, overhead: {cpu: 1m}, ":         "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
		"runtimeClassName: heavy, nodeSelector: {kind: light}, ": "conflict: runtimeClass.scheduling.nodeSelector[kind] = heavy; pod.spec.nodeSelector[kind] = light",
	} {
		w.refused(w.do(wire.Create, of("x", fields)), metav1.StatusReasonForbidden, `pods "x" is forbidden: `+want)
	}
}
