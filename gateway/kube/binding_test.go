package kube_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
)

// nodeAndPod makes the node n1 and a pod that waits for a scheduler of its own.
func (h *house) nodeAndPod(name string) *corev1.Pod {
	h.Helper()
	if _, err := h.client().CoreV1().Nodes().Create(h.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		h.Fatal(err)
	}
	pod, err := h.client().CoreV1().Pods("default").Create(h.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"was": "here", "zone": "x"}},
		Spec: corev1.PodSpec{SchedulerName: "mine", Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{})
	if err != nil {
		h.Fatal(err)
	}
	return pod
}

func bindingOf(pod, node string) *corev1.Binding {
	return &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: "default"}, Target: corev1.ObjectReference{Kind: "Node", Name: node}}
}

// Nobody binds a pod that has gates; without them it is bound.
func TestGatesHoldBindingsUp(t *testing.T) {
	h := open(t)
	h.nodeAndPod("other")
	c := h.client().CoreV1().Pods("default")
	held := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{SchedulingGates: []corev1.PodSchedulingGate{{Name: "a"}},
		Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if _, err := c.Create(t.Context(), held, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Bind(t.Context(), bindingOf("p", "n1"), metav1.CreateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("it is held back: %v", err)
	}
	if _, err := c.Patch(t.Context(), "p", types.JSONPatchType, []byte(`[{"op":"remove","path":"/spec/schedulingGates"}]`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Bind(t.Context(), bindingOf("p", "n1"), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
}

// A scheduler outside gives its pod to a node, once, with what it says of it.
func TestSchedulersOutsideBindPods(t *testing.T) {
	h := open(t)
	made := h.nodeAndPod("p")
	c := h.client().CoreV1()
	b := bindingOf("p", "n1")
	b.UID, b.ResourceVersion = made.UID, made.ResourceVersion
	b.Labels, b.Annotations = map[string]string{"zone": "a"}, map[string]string{"by": "mine"}
	if err := c.Pods("default").Bind(t.Context(), b, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Pods("default").Get(t.Context(), "p", metav1.GetOptions{}); err != nil || p.Spec.NodeName != "" {
		t.Fatalf("it was a dry run: %+v, %v", p, err)
	}
	if err := c.Pods("default").Bind(t.Context(), b, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p, err := c.Pods("default").Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil || p.Spec.NodeName != "n1" || p.Labels["zone"] != "a" || p.Labels["was"] != "here" || p.Annotations["by"] != "mine" || p.Spec.SchedulerName != "mine" {
		t.Fatalf("%+v, %v", p, err)
	}
	if x := p.Status.Conditions[len(p.Status.Conditions)-1]; x.Type != corev1.PodScheduled || x.Status != corev1.ConditionTrue {
		t.Errorf("conditions %+v", p.Status.Conditions)
	}
	k := events.Key{Resource: events.Pods, Namespace: "default", Name: "p"}
	if rows := h.happened(k, "Scheduled"); len(rows) != 1 || rows[0].ReportingController != "admin" && rows[0].Source.Component != "admin" {
		t.Errorf("events %+v", rows)
	}
	err = c.Pods("default").Bind(t.Context(), bindingOf("p", "n1"), metav1.CreateOptions{})
	if !apierrors.IsConflict(err) || err.Error() != `Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"` {
		t.Errorf("bound twice: %v", err)
	}
}

// happened are the events of an object with a reason.
func (h *house) happened(k events.Key, reason string) (out []corev1.Event) {
	h.Helper()
	l, err := h.client().CoreV1().Events(k.Namespace).List(h.Context(), metav1.ListOptions{})
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range l.Items {
		if e.InvolvedObject.Name == k.Name && e.Reason == reason {
			out = append(out, e)
		}
	}
	return out
}

// The old way of saying the same is a Binding by itself.
func TestBindingsAreMade(t *testing.T) {
	h := open(t)
	h.nodeAndPod("p")
	rest := h.client().CoreV1().RESTClient()
	if err := rest.Post().Namespace("default").Resource("bindings").Body(bindingOf("p", "n1")).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	if p, err := h.client().CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{}); err != nil || p.Spec.NodeName != "n1" {
		t.Errorf("%+v, %v", p, err)
	}
	if err := rest.Get().Namespace("default").Resource("bindings").Do(t.Context()).Error(); !apierrors.IsMethodNotSupported(err) {
		t.Errorf("listed: %v", err)
	}
	l, err := h.client().Discovery().ServerResourcesForGroupVersion("v1")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, r := range l.APIResources {
		found[r.Name] = r.Kind + " " + strings.Join(r.Verbs, ",")
	}
	if found["bindings"] != "Binding create" || found["pods/binding"] != "Binding create" {
		t.Errorf("told: %q, %q", found["bindings"], found["pods/binding"])
	}
}

func TestBindingsAreRefused(t *testing.T) {
	h := open(t)
	h.nodeAndPod("p")
	c := h.client().CoreV1().Pods("default")
	bind := func(edit func(*corev1.Binding)) error {
		b := bindingOf("p", "n1")
		edit(b)
		return c.Bind(t.Context(), b, metav1.CreateOptions{})
	}
	for _, x := range []struct {
		name string
		edit func(*corev1.Binding)
		is   func(error) bool
	}{
		{"no such pod", func(b *corev1.Binding) { b.Name = "q" }, apierrors.IsNotFound},
		{"no such node", func(b *corev1.Binding) { b.Target.Name = "n2" }, apierrors.IsNotFound},
		{"no node", func(b *corev1.Binding) { b.Target.Name = "" }, apierrors.IsInvalid},
		{"to a pod", func(b *corev1.Binding) { b.Target.Kind = "Pod" }, apierrors.IsInvalid},
		{"another life", func(b *corev1.Binding) { b.UID = types.UID("11111111-1111-1111-1111-111111111111") }, apierrors.IsConflict},
		{"an old version", func(b *corev1.Binding) { b.ResourceVersion = "1" }, apierrors.IsConflict},
		{"a label that is none", func(b *corev1.Binding) { b.Labels = map[string]string{"a b": "c"} }, apierrors.IsInvalid},
	} {
		if err := bind(x.edit); !x.is(err) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	if p, err := c.Get(t.Context(), "p", metav1.GetOptions{}); err != nil || p.Spec.NodeName != "" || len(p.Labels) != 2 {
		t.Errorf("bound all the same: %+v, %v", p, err)
	}
}
