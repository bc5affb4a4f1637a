package admit

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/gateway/wire"
)

func TestPriorities(t *testing.T) {
	w := newTown(t)
	w.fold("classes", Classes(w.v))
	if again := Classes(w.v); len(again) != 0 {
		t.Errorf("once more: %v", again)
	}
	class := func(name, more string) string {
		return "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: " + name + "}\n" + more
	}
	of := func(name, fields string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec: {" + fields + "containers: [{name: a, image: nginx}]}\n"
	}
	plain := get[*corev1.Pod](w, w.must(wire.Create, pod, Created))
	if plain.Spec.Priority != nil || plain.Spec.PriorityClassName != "" {
		t.Errorf("of no class: %+v", plain.Spec)
	}
	w.must(wire.Create, class("high", "value: 1000\n"), Created)
	w.must(wire.Create, class("usual", "value: 1\nglobalDefault: true\npreemptionPolicy: Never\n"), Created)
	w.must(wire.Apply, class("usual", "value: 1\nglobalDefault: true\npreemptionPolicy: Never\ndescription: d\n"), Configured)
	w.refused(w.do(wire.Create, class("other", "value: 2\nglobalDefault: true\n")), metav1.StatusReasonForbidden,
		`priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass usual is already marked as default. Only one default can exist`)
	w.refused(w.do(wire.Create, class("system-mine", "value: 2\n")), metav1.StatusReasonInvalid,
		`PriorityClass.scheduling.k8s.io "system-mine" is invalid: metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only`)
	w.refused(w.do(wire.Create, class("huge", "value: 1000000001\n")), metav1.StatusReasonInvalid,
		`PriorityClass.scheduling.k8s.io "huge" is invalid: value: Forbidden: maximum allowed value of a user defined priority is 1000000000`)
	w.refused(w.do(wire.Apply, class("high", "value: 1001\n")), metav1.StatusReasonInvalid,
		`PriorityClass.scheduling.k8s.io "high" is invalid: value: Forbidden: may not be changed in an update.`)

	high := get[*corev1.Pod](w, w.must(wire.Create, of("high", "priorityClassName: high, "), Created))
	if *high.Spec.Priority != 1000 || *high.Spec.PreemptionPolicy != corev1.PreemptLowerPriority {
		t.Errorf("%+v", high.Spec)
	}
	w.must(wire.Apply, of("high", "priorityClassName: high, "), Unchanged)
	usual := get[*corev1.Pod](w, w.must(wire.Create, of("usual", ""), Created))
	if usual.Spec.PriorityClassName != "usual" || *usual.Spec.Priority != 1 || *usual.Spec.PreemptionPolicy != corev1.PreemptNever {
		t.Errorf("%+v", usual.Spec)
	}
	w.refused(w.do(wire.Create, of("x", "priorityClassName: none, ")), metav1.StatusReasonForbidden, `pods "x" is forbidden: no PriorityClass with name none was found`)
	w.refused(w.do(wire.Create, of("x", "priorityClassName: high, priority: 7, ")), metav1.StatusReasonForbidden,
		`pods "x" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 1000 from the given PriorityClass name`)
	w.refused(w.do(wire.Create, of("x", "priorityClassName: high, preemptionPolicy: Never, ")), metav1.StatusReasonForbidden,
		`pods "x" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name`)
}
