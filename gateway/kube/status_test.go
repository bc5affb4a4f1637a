package kube_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
)

// A status is written by its subresource, and by nothing else; a spec by all but that.
func TestStatusIsWrittenApart(t *testing.T) {
	h := open(t)
	c := h.client().AppsV1().Deployments("default")
	made := workload("web", 2)
	made.Status.ReadyReplicas = 7
	made, err := c.Create(t.Context(), made, metav1.CreateOptions{})
	if err != nil || made.Status.ReadyReplicas != 0 {
		t.Fatalf("%+v, %v", made.Status, err)
	}
	condition := func(d *appsv1.Deployment, kind string) string {
		for _, x := range d.Status.Conditions {
			if string(x.Type) == kind {
				return string(x.Status) + " " + x.Reason
			}
		}
		return ""
	}
	patched, err := c.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"metadata":{"annotations":{"patched":"yes"},"labels":{"not":"here"}},"spec":{"replicas":9},
		"status":{"readyReplicas":1,"conditions":[{"type":"Mine","status":"True","reason":"Said"}]}}`), metav1.PatchOptions{}, "status")
	if err != nil || patched.Status.ReadyReplicas != 1 || condition(patched, "Mine") != "True Said" || patched.Annotations["patched"] != "yes" {
		t.Fatalf("%+v, %v", patched, err)
	}
	if *patched.Spec.Replicas != 2 || patched.Generation != made.Generation || patched.Labels["not"] != "" {
		t.Errorf("more than a status was written: %+v", patched)
	}
	if got := condition(patched, "Available"); got != "False MinimumReplicasUnavailable" {
		t.Errorf("the derived condition is %q", got)
	}
	until(t, "its pods are made", func() bool {
		d, err := c.Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && d.Status.Replicas == 2
	})
	d, err := c.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || condition(d, "Mine") != "True Said" {
		t.Fatalf("%+v, %v", d, err)
	}
	stale := d.DeepCopy()
	until(t, "its status moves no more", func() bool {
		if d, err = c.Get(t.Context(), "web", metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{Type: "StatusUpdate", Status: corev1.ConditionTrue, Reason: "E2E"})
		d.Spec.Replicas = new(int32)
		d, err = c.UpdateStatus(t.Context(), d, metav1.UpdateOptions{})
		return !apierrors.IsConflict(err)
	})
	if err != nil || condition(d, "StatusUpdate") != "True E2E" || *d.Spec.Replicas != 2 {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := c.UpdateStatus(t.Context(), stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("from a stale object: %v", err)
	}
	d.Status.Conditions, d.Status.Replicas = nil, 5
	one := int32(1)
	d.Spec.Replicas, d.ResourceVersion = &one, ""
	if d, err = c.Update(t.Context(), d, metav1.UpdateOptions{}); err != nil || condition(d, "StatusUpdate") != "True E2E" || *d.Spec.Replicas != 1 || d.Generation != made.Generation+1 {
		t.Fatalf("%+v, %v", d, err)
	}
	until(t, "it is seen", func() bool {
		d, err := c.Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && d.Status.ObservedGeneration == made.Generation+1 && d.Status.Replicas == 1
	})
	if _, err := c.Patch(t.Context(), "nobody", types.MergePatchType, []byte(`{"status":{}}`), metav1.PatchOptions{}, "status"); !apierrors.IsNotFound(err) {
		t.Errorf("of nobody: %v", err)
	}
}

// A server-side apply of a status has managers of its own.
func TestStatusIsApplied(t *testing.T) {
	h := open(t)
	c := h.client().AppsV1().Deployments("default")
	if _, err := c.Create(t.Context(), workload("web", 0), metav1.CreateOptions{FieldManager: "maker"}); err != nil {
		t.Fatal(err)
	}
	says := func(reason string) *applyapps.DeploymentApplyConfiguration {
		return applyapps.Deployment("web", "default").WithStatus(applyapps.DeploymentStatus().WithConditions(
			applyapps.DeploymentCondition().WithType("Mine").WithStatus(corev1.ConditionTrue).WithReason(reason)))
	}
	d, err := c.ApplyStatus(t.Context(), says("One"), metav1.ApplyOptions{FieldManager: "one"})
	if err != nil {
		t.Fatal(err)
	}
	owns := false
	for _, m := range d.ManagedFields {
		owns = owns || m.Manager == "one" && m.Subresource == "status"
	}
	if !owns {
		t.Errorf("managed by %+v", d.ManagedFields)
	}
	if _, err := c.ApplyStatus(t.Context(), says("Two"), metav1.ApplyOptions{FieldManager: "two"}); !apierrors.IsConflict(err) {
		t.Errorf("a second manager: %v", err)
	}
	tried, err := c.ApplyStatus(t.Context(), says("Two"), metav1.ApplyOptions{FieldManager: "two", Force: true, DryRun: []string{"All"}})
	if err != nil || tried.Status.Conditions[len(tried.Status.Conditions)-1].Reason != "Two" {
		t.Errorf("a dry run: %+v, %v", tried, err)
	}
	if _, err := c.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{FieldManager: "maker"}); err != nil {
		t.Fatal(err)
	}
	d, err = c.ApplyStatus(t.Context(), applyapps.Deployment("web", "default").WithStatus(applyapps.DeploymentStatus()), metav1.ApplyOptions{FieldManager: "one"})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range d.Status.Conditions {
		if x.Type == "Mine" {
			t.Errorf("what its manager says no more is there: %+v", x)
		}
	}
}

// Kinds whose status is not derived, or partly, take what is written too.
func TestStatusOfOtherKinds(t *testing.T) {
	h := open(t)
	h.podOn("p")
	c := h.client().CoreV1()
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "svc"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	if _, err := c.Services("default").Create(t.Context(), svc, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	svc, err := c.Services("default").Patch(t.Context(), "svc", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"patchedstatus":"true"}},"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.1"}]}}}`), metav1.PatchOptions{}, "status")
	if err != nil || svc.Annotations["patchedstatus"] != "true" || len(svc.Status.LoadBalancer.Ingress) != 1 {
		t.Fatalf("%+v, %v", svc, err)
	}
	svc.Status.Conditions = []metav1.Condition{{Type: "StatusUpdate", Status: metav1.ConditionTrue, Reason: "E2E", LastTransitionTime: metav1.Now()}}
	if svc, err = c.Services("default").UpdateStatus(t.Context(), svc, metav1.UpdateOptions{}); err != nil || len(svc.Status.Conditions) != 1 || svc.Status.LoadBalancer.Ingress[0].IP != "203.0.113.1" {
		t.Fatalf("%+v, %v", svc, err)
	}
	svc.Labels = map[string]string{"a": "b"}
	if svc, err = c.Services("default").Update(t.Context(), svc, metav1.UpdateOptions{}); err != nil || len(svc.Status.Conditions) != 1 {
		t.Fatalf("%+v, %v", svc, err)
	}
	ns, err := c.Namespaces().Patch(t.Context(), "default", types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"StatusPatch","status":"True","reason":"E2E"}]}}`), metav1.PatchOptions{}, "status")
	if err != nil || len(ns.Status.Conditions) != 1 || ns.Status.Phase != corev1.NamespaceActive {
		t.Errorf("%+v, %v", ns, err)
	}
	node, err := c.Nodes().Patch(t.Context(), "n1", types.StrategicMergePatchType, []byte(`{"status":{"conditions":[{"type":"Mine","status":"True","reason":"E2E"}]}}`), metav1.PatchOptions{}, "status")
	if err != nil || len(node.Status.Conditions) != 2 || node.Status.Conditions[0].Type != corev1.NodeReady && node.Status.Conditions[1].Type != corev1.NodeReady {
		t.Errorf("%+v, %v", node, err)
	}
	pod, err := c.Pods("default").Patch(t.Context(), "p", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}},"status":{"message":"Patched"}}`), metav1.PatchOptions{}, "status")
	if err != nil || pod.Status.Message != "Patched" || pod.Labels["x"] != "y" || pod.Status.Phase != corev1.PodPending || pod.Spec.NodeName != "n1" {
		t.Errorf("%+v, %v", pod, err)
	}
}

// What a client writes of a node's extended resources is shown as a kubelet shows it, until it is taken back; parts of one are refused.
func TestExtendedResourcesOfNodes(t *testing.T) {
	h := open(t)
	h.podOn("p")
	c := h.client().CoreV1().Nodes()
	const gpu, path = corev1.ResourceName("example.com/gpu"), "/status/capacity"
	patch := func(body string) (*corev1.Node, error) {
		return c.Patch(t.Context(), "n1", types.StrategicMergePatchType, []byte(`{"status":`+body+`}`), metav1.PatchOptions{}, "status")
	}
	n, err := patch(`{"capacity":{"example.com/gpu":"5"}}`)
	if err != nil || n.Status.Capacity[gpu] != n.Status.Allocatable[gpu] || n.Status.Capacity.Name(gpu, "").Value() != 5 {
		t.Fatalf("%+v, %v", n.Status, err)
	}
	if _, err := patch(`{"capacity":{"example.com/gpu":"1500m"}}`); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "must be an integer") {
		t.Errorf("one and a half: %v", err)
	}
	n, err = c.Patch(t.Context(), "n1", types.JSONPatchType, []byte(`[{"op":"replace","path":"`+path+`/example.com~1gpu","value":"2"}]`), metav1.PatchOptions{}, "status")
	if err != nil || n.Status.Allocatable.Name(gpu, "").Value() != 2 {
		t.Errorf("%+v, %v", n.Status, err)
	}
	delete(n.Status.Capacity, gpu)
	if n, err = c.UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, there := n.Status.Allocatable[gpu]; there {
		t.Errorf("taken back, and there is %v", n.Status.Allocatable)
	}
}
