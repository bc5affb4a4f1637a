package kube_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
)

// until waits for what follows from a change by itself.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

const hold = "stave.test/hold"

// A deletion waits for an object's finalizers. They may be taken off by an
// update, a patch and an apply, and none may be added.
func TestFinalizersHoldADeletionUp(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().ConfigMaps("default")
	made := configMap("a", nil)
	made.Finalizers = []string{hold, "stave.test/second"}
	if _, err := c.Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	watch, err := c.Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=a"})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	if err := c.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	going, err := c.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || going.DeletionTimestamp == nil || going.DeletionGracePeriodSeconds == nil || *going.DeletionGracePeriodSeconds != 0 {
		t.Fatalf("%+v, %v", going, err)
	}
	if _, err := c.Create(t.Context(), configMap("a", nil), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) || !strings.Contains(err.Error(), "object is being deleted") {
		t.Errorf("a second one: %v", err)
	}
	more := going.DeepCopy()
	more.Finalizers = append(more.Finalizers, "stave.test/third")
	_, err = c.Update(t.Context(), more, metav1.UpdateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `no new finalizers can be added if the object is being deleted, found new finalizers []string{"stave.test/third"}`) {
		t.Errorf("one more: %v", err)
	}
	_, err = c.Apply(t.Context(), applycore.ConfigMap("a", "default").WithFinalizers("stave.test/third"), metav1.ApplyOptions{FieldManager: "tests", Force: true})
	if !apierrors.IsInvalid(err) {
		t.Errorf("one more by an apply: %v", err)
	}
	if _, err := c.Patch(t.Context(), "a", types.JSONPatchType, []byte(`[{"op":"remove","path":"/metadata/finalizers/1"}]`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	dry, err := c.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{DryRun: []string{"All"}})
	if err != nil || len(dry.Finalizers) > 0 {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	if going, err = c.Get(t.Context(), "a", metav1.GetOptions{}); err != nil || len(going.Finalizers) != 1 || going.Finalizers[0] != hold {
		t.Fatalf("%+v, %v", going, err)
	}
	if _, err := c.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("without finalizers: %v", err)
	}
	var told []string
	for e := range watch.ResultChan() {
		if told = append(told, string(e.Type)); e.Type == "DELETED" {
			break
		}
	}
	if got := strings.Join(told, " "); got != "ADDED MODIFIED MODIFIED DELETED" && got != "MODIFIED MODIFIED DELETED" {
		t.Errorf("told %s", got)
	}
}

// A namespace goes after its content, and says what holds it up.
func TestANamespaceSaysWhatHoldsItUp(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1()
	_, err := c.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "blue"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made := configMap("a", nil)
	made.Finalizers = []string{hold}
	if _, err := c.ConfigMaps("blue").Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ns, err := c.Namespaces().Get(t.Context(), "blue", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ns.Spec.Finalizers = append(ns.Spec.Finalizers, hold)
	ns.Labels["ignored"] = "here"
	ns, err = c.Namespaces().Finalize(t.Context(), ns, metav1.UpdateOptions{})
	if err != nil || len(ns.Spec.Finalizers) != 2 || ns.Labels["ignored"] != "" {
		t.Fatalf("%+v, %v", ns, err)
	}
	if err := c.Namespaces().Delete(t.Context(), "blue", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	says := func(kind corev1.NamespaceConditionType) string {
		if ns, err = c.Namespaces().Get(t.Context(), "blue", metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, x := range ns.Status.Conditions {
			if x.Type == kind {
				return string(x.Status) + " " + x.Reason + ": " + x.Message
			}
		}
		return ""
	}
	until(t, "nothing but what is held up is left", func() bool {
		return says(corev1.NamespaceContentRemaining) == "True SomeResourcesRemain: Some resources are remaining: configmaps. has 1 resource instances"
	})
	if got := says(corev1.NamespaceFinalizersRemaining); got != "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: "+hold+" in 1 resource instances" {
		t.Error(got)
	}
	if ns.Status.Phase != corev1.NamespaceTerminating {
		t.Error(ns.Status.Phase)
	}
	if _, err := c.ConfigMaps("blue").Patch(t.Context(), "a", types.MergePatchType, []byte(`{"metadata":{"finalizers":[]}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is empty", func() bool { return strings.HasPrefix(says(corev1.NamespaceContentRemaining), "False") })
	ns.Spec.Finalizers, ns.ResourceVersion = ns.Spec.Finalizers[:1], ""
	if _, err := c.Namespaces().Finalize(t.Context(), ns, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is gone", func() bool {
		_, err := c.Namespaces().Get(t.Context(), "blue", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

// In the foreground an owner stays until its children are gone, and says so with a
// finalizer; who takes that off lets it go.
func TestForegroundIsAFinalizer(t *testing.T) {
	h := open(t)
	h.podOn("other")
	c := h.client()
	kept := workload("web", 1)
	kept.Spec.Template.Finalizers = nil
	if _, err := c.AppsV1().Deployments("default").Create(t.Context(), kept, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	until(t, "there is a pod", func() bool {
		l, err := c.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err == nil && len(l.Items) == 1 {
			pod = l.Items[0]
		}
		return err == nil && len(l.Items) == 1
	})
	if _, err := c.CoreV1().Pods("default").Patch(t.Context(), pod.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":["`+hold+`"]}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	foreground := metav1.DeletePropagationForeground
	if err := c.AppsV1().Deployments("default").Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		t.Fatal(err)
	}
	until(t, "the pod is asked to go", func() bool {
		p, err := c.CoreV1().Pods("default").Get(t.Context(), pod.Name, metav1.GetOptions{})
		return err == nil && p.DeletionTimestamp != nil
	})
	d, err := c.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || d.DeletionTimestamp == nil || strings.Join(d.Finalizers, " ") != metav1.FinalizerDeleteDependents {
		t.Fatalf("%+v, %v", d, err)
	}
	d.Finalizers = nil
	if _, err := c.AppsV1().Deployments("default").Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("without its finalizer: %v", err)
	}
	if _, err := c.CoreV1().Pods("default").Patch(t.Context(), pod.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "the pod is gone", func() bool {
		_, err := c.CoreV1().Pods("default").Get(t.Context(), pod.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

// That an object shall go is one change more of what is wanted.
func TestDeletionIsAGeneration(t *testing.T) {
	h := open(t)
	h.podOn("a")
	pods := h.client().CoreV1().Pods("default")
	before, err := pods.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || before.Generation != 1 {
		t.Fatalf("generation %d, %v", before.Generation, err)
	}
	if err := pods.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	after, err := pods.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || after.DeletionTimestamp == nil || after.Generation != 2 {
		t.Errorf("generation %d, goes %v, %v", after.Generation, after.DeletionTimestamp, err)
	}
}
