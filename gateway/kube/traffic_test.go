package kube_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A load balancer asks nodes on the healthCheckNodePort of a service whose policy is Local: it is given out with the
// policy, stays through updates that do not name it, cannot be changed, and goes with the policy or the type. What the
// balancer writes into the status stays, and goes too.
func TestHealthCheckNodePorts(t *testing.T) {
	c := open(t).client().CoreV1().Services("default")
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer,
		ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, Ports: []corev1.ServicePort{{Port: 80}}}}
	made, err := c.Create(t.Context(), svc, metav1.CreateOptions{})
	if err != nil || made.Spec.HealthCheckNodePort < 30000 || made.Spec.HealthCheckNodePort > 32767 {
		t.Fatalf("%+v, %v", made, err)
	}
	port := made.Spec.HealthCheckNodePort
	again := svc.DeepCopy() // as a client does that knows only its own manifest
	again.ResourceVersion = made.ResourceVersion
	again.Spec.Ports[0].Port = 81
	kept, err := c.Update(t.Context(), again, metav1.UpdateOptions{})
	if err != nil || kept.Spec.HealthCheckNodePort != port {
		t.Fatalf("kept %+v, %v", kept, err)
	}
	moved := kept.DeepCopy()
	moved.Spec.HealthCheckNodePort = 30000
	if _, err = c.Update(t.Context(), moved, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.healthCheckNodePort: Forbidden: field is immutable") {
		t.Errorf("moved: %v", err)
	}
	other := svc.DeepCopy()
	other.Name, other.Spec.HealthCheckNodePort = "other", port
	if _, err = c.Create(t.Context(), other, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "provided port is already allocated") {
		t.Errorf("taken: %v", err)
	}
	kept.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.7"}}
	served, err := c.UpdateStatus(t.Context(), kept, metav1.UpdateOptions{})
	if err != nil || len(served.Status.LoadBalancer.Ingress) != 1 || served.Status.LoadBalancer.Ingress[0].IP != "203.0.113.7" || served.Spec.HealthCheckNodePort != port {
		t.Fatalf("served %+v, %v", served, err)
	}
	open, err := c.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"externalTrafficPolicy":"Cluster"}}`), metav1.PatchOptions{})
	if err != nil || open.Spec.HealthCheckNodePort != 0 {
		t.Fatalf("open %+v, %v", open, err)
	}
	if _, err = c.Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
		t.Errorf("given back: %v", err)
	}
	closed, err := c.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(`{"spec":{"externalTrafficPolicy":"Local"}}`), metav1.PatchOptions{})
	if err != nil || closed.Spec.HealthCheckNodePort == 0 || closed.Spec.HealthCheckNodePort == port {
		t.Fatalf("again local %+v, %v", closed, err)
	}
	inner, err := c.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"type":"ClusterIP"}}`), metav1.PatchOptions{})
	if err != nil || inner.Spec.HealthCheckNodePort != 0 || inner.Spec.ExternalTrafficPolicy != "" {
		t.Fatalf("inside %+v, %v", inner, err)
	}
	wrong := svc.DeepCopy()
	wrong.Name, wrong.Spec.Type, wrong.Spec.HealthCheckNodePort = "wrong", corev1.ServiceTypeNodePort, 30001
	if _, err = c.Create(t.Context(), wrong, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'") {
		t.Errorf("wrong: %v", err)
	}
}
