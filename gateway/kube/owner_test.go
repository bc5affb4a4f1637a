package kube_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
)

func toConfigMap(o *corev1.ConfigMap, block bool) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: o.Name, UID: o.UID, BlockOwnerDeletion: &block}
}

func ownersOf(o metav1.Object) string {
	var out []string
	for _, r := range o.GetOwnerReferences() {
		out = append(out, r.Kind+"/"+r.Name)
	}
	return strings.Join(out, " ")
}

// What clients write as owners is kept, in all the ways of writing, and the
// garbage collector goes by it.
func TestOwnersThatClientsWrite(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().ConfigMaps("default")
	made := func(name string, refs ...metav1.OwnerReference) *corev1.ConfigMap {
		o := configMap(name, nil)
		o.OwnerReferences = refs
		out, err := c.Create(t.Context(), o, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	gone := func(name string) {
		t.Helper()
		until(t, name+" is gone", func() bool { _, err := c.Get(t.Context(), name, metav1.GetOptions{}); return apierrors.IsNotFound(err) })
	}
	a, b := made("a"), made("b")
	both := made("both", toConfigMap(a, true), toConfigMap(b, true))
	if got := ownersOf(both); got != "ConfigMap/a ConfigMap/b" || !*both.OwnerReferences[0].BlockOwnerDeletion || both.OwnerReferences[0].Controller != nil {
		t.Fatalf("%+v", both.OwnerReferences)
	}
	made("lost", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "a", UID: "11111111-1111-1111-1111-111111111111"})
	gone("lost")
	strange := made("strange", metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Gadget", Name: "g", UID: "11111111-1111-1111-1111-111111111111"})
	foreground := metav1.DeletePropagationForeground
	if err := c.Delete(t.Context(), "a", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		t.Fatal(err)
	}
	gone("a")
	both, err := c.Get(t.Context(), "both", metav1.GetOptions{})
	if err != nil || ownersOf(both) != "ConfigMap/b" || both.DeletionTimestamp != nil {
		t.Fatalf("%+v, %v", both, err)
	}
	if _, err := c.Patch(t.Context(), "both", types.StrategicMergePatchType, []byte(`{"metadata":{"ownerReferences":[{"$patch":"delete","uid":"`+string(b.UID)+`"}]}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	applied, err := c.Apply(t.Context(), applycore.ConfigMap("both", "default").WithOwnerReferences(applymeta.OwnerReference().
		WithAPIVersion("v1").WithKind("ConfigMap").WithName("strange").WithUID(strange.UID)), metav1.ApplyOptions{FieldManager: "tests"})
	if err != nil || ownersOf(applied) != "ConfigMap/strange" {
		t.Fatalf("%+v, %v", applied, err)
	}
	if err := c.Delete(t.Context(), "strange", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	gone("both")
	for _, bad := range []struct {
		field string
		refs  []metav1.OwnerReference
	}{
		{"metadata.ownerReferences[0].uid", []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "b"}}},
		{"metadata.ownerReferences", []metav1.OwnerReference{*metav1.NewControllerRef(a, corev1.SchemeGroupVersion.WithKind("ConfigMap")), *metav1.NewControllerRef(b, corev1.SchemeGroupVersion.WithKind("ConfigMap"))}},
		{"metadata.ownerReferences[0]", []metav1.OwnerReference{{APIVersion: "v1", Kind: "Event", Name: "b", UID: "x"}}},
	} {
		o := configMap("bad", nil)
		o.OwnerReferences = bad.refs
		_, err := c.Create(t.Context(), o, metav1.CreateOptions{})
		if !apierrors.IsInvalid(err) || err.(apierrors.APIStatus).Status().Details.Causes[0].Field != bad.field { //nolint:errorlint // it is one
			t.Errorf("%s: %v", bad.field, err)
		}
	}
}

// A workload adopts what nobody controls, beside its other owners, and lets go of
// what does not match any more; what somebody else controls it leaves alone.
func TestAdoptionKeepsOtherOwners(t *testing.T) {
	h := open(t)
	c := h.client()
	b, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), configMap("b", nil), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	pods := c.CoreV1().Pods("default")
	for name, refs := range map[string][]metav1.OwnerReference{
		"free":  {toConfigMap(b, false)},
		"taken": {{APIVersion: "example.com/v1", Kind: "Gadget", Name: "g", UID: "11111111-1111-1111-1111-111111111111", Controller: &yes}},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}, OwnerReferences: refs}, Spec: workload("web", 1).Spec.Template.Spec}
		if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	set := workload("web", 1)
	rs := c.AppsV1().ReplicaSets("default")
	if _, err := rs.Create(t.Context(), replicaSetOf(set), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	owners := func(name string) string {
		pod, err := pods.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return ownersOf(pod)
	}
	until(t, "it is adopted", func() bool { return owners("free") == "ConfigMap/b ReplicaSet/web" })
	if got := owners("taken"); got != "Gadget/g" {
		t.Errorf("what is somebody else's belongs to %s", got)
	}
	if _, err := pods.Patch(t.Context(), "free", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"other"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is released", func() bool { return owners("free") == "ConfigMap/b" })
	orphan := metav1.DeletePropagationOrphan
	if err := rs.Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
		t.Fatal(err)
	}
	until(t, "the set is gone", func() bool {
		_, err := rs.Get(t.Context(), "web", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	l, err := pods.List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil || len(l.Items) != 2 {
		t.Fatalf("%d pods, %v", len(l.Items), err)
	}
}

// replicaSetOf is a ReplicaSet that wants what a Deployment wants.
func replicaSetOf(d *appsv1.Deployment) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: d.Name}, Spec: appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas, Selector: d.Spec.Selector, Template: d.Spec.Template}}
}
