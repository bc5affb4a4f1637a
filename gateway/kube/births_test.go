package kube_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// ofPods are a webhook's rules for pods that are made.
func ofPods() []registrationv1.RuleWithOperations {
	return []registrationv1.RuleWithOperations{{Operations: []registrationv1.OperationType{registrationv1.Create},
		Rule: registrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}}
}

func templateFor(app string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
}

func deploy(t *testing.T, c kubernetes.Interface, app string, replicas int32) {
	t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: app}, Spec: appsv1.DeploymentSpec{Replicas: &replicas,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}, Template: templateFor(app)}}
	if _, err := c.AppsV1().Deployments("default").Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func podsOf(t *testing.T, c kubernetes.Interface, app string) []corev1.Pod {
	t.Helper()
	all, err := c.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		t.Fatal(err)
	}
	return all.Items
}

// injecting adds a container to pods, as meshes do.
func injecting(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	out, kind := allow(r), admissionv1.PatchTypeJSONPatch
	out.PatchType, out.Patch = &kind, []byte(`[{"op":"add","path":"/spec/containers/-","value":{"name":"proxy","image":"p"}},
		{"op":"add","path":"/metadata/labels/mesh","value":"in"}]`)
	return out
}

// TestWebhooksSeeWhatControllersMake: a webhook changes the pods of controllers as those of people; more of them than are
// asked about at a time, and each is made once.
func TestWebhooksSeeWhatControllersMake(t *testing.T) {
	h := open(t)
	c := h.client()
	mesh := answering(t, injecting)
	w := mesh.mutating("mesh.example.com", registrationv1.NeverReinvocationPolicy)
	w.Rules = ofPods()
	_, err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), &registrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "mesh"}, Webhooks: []registrationv1.MutatingWebhook{w}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const many = 40
	deploy(t, c, "web", many)
	one := int32(1)
	_, err = c.AppsV1().StatefulSets("default").Create(t.Context(), &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: appsv1.StatefulSetSpec{
		Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}, Template: templateFor("db")}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.eventually("pods of both sets", func() bool { return len(podsOf(t, c, "web")) == many && len(podsOf(t, c, "db")) == 1 })
	for _, p := range append(podsOf(t, c, "web"), podsOf(t, c, "db")...) {
		if len(p.Spec.Containers) != 2 || p.Spec.Containers[1].Image != "p" || p.Labels["mesh"] != "in" || len(p.OwnerReferences) != 1 || p.Name == "" {
			t.Fatalf("%s: %+v %+v", p.Name, p.ObjectMeta, p.Spec.Containers)
		}
	}
	asked := map[string]int{}
	for _, r := range mesh.calls() {
		var p corev1.Pod
		if err := json.Unmarshal(r.Object.Raw, &p); err != nil || r.Name != p.Name || len(p.OwnerReferences) != 1 {
			t.Fatalf("asked as %q about %s: %v", r.Name, r.Object.Raw, err)
		}
		asked[r.UserInfo.Username+" "+p.Name]++
	}
	const sa = "system:serviceaccount:kube-system:"
	if len(asked) != 2 || asked[sa+"replicaset-controller "] < many || asked[sa+"statefulset-controller db-0"] < 1 {
		t.Errorf("asked %v", asked)
	}
	// A set that grows and shrinks while it asks has as many as it wants in the end.
	for _, n := range []string{"60", "10", "50"} {
		if _, err := c.AppsV1().Deployments("default").Patch(t.Context(), "web", "application/merge-patch+json", []byte(`{"spec":{"replicas":`+n+`}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	h.eventually("as many pods as are wanted at last", func() bool { return len(podsOf(t, c, "web")) == 50 })
}

// failureOf is why the pods of a deployment's set are not made.
func failureOf(t *testing.T, c kubernetes.Interface, app string) string {
	t.Helper()
	sets, err := c.AppsV1().ReplicaSets("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sets.Items {
		for _, x := range s.Status.Conditions {
			if x.Type == appsv1.ReplicaSetReplicaFailure && x.Status == corev1.ConditionTrue {
				return fmt.Sprint(x.Reason, ": ", x.Message)
			}
		}
	}
	return ""
}

// TestWebhooksRefuseWhatControllersMake: a refusal is the set's condition, in the webhook's words; others' pods are made
// meanwhile. What is refused is made when nobody refuses it any more.
func TestWebhooksRefuseWhatControllersMake(t *testing.T) {
	h := open(t)
	c := h.client()
	gate := answering(t, func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		out := allow(r)
		if out.Allowed = !strings.Contains(string(r.Object.Raw), `"app":"bad"`); !out.Allowed {
			out.Result = &metav1.Status{Message: "not these"}
		}
		return out
	})
	validate(t, c, "gate", gate.webhook("gate.example.com", func(w *registrationv1.ValidatingWebhook) { w.Rules = ofPods() }))
	deploy(t, c, "bad", 3)
	deploy(t, c, "good", 3)
	h.eventually("those of the good set, and why there are none of the bad one", func() bool {
		return len(podsOf(t, c, "good")) == 3 && failureOf(t, c, "bad") == `FailedCreate: admission webhook "gate.example.com" denied the request: not these`
	})
	if n := len(podsOf(t, c, "bad")); n != 0 {
		t.Errorf("%d pods were made that are refused", n)
	}
	if err := c.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(t.Context(), "gate", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	h.eventually("those that were refused", func() bool { return len(podsOf(t, c, "bad")) == 3 && failureOf(t, c, "bad") == "" })
	// One that is not there bars what it guards, and says so; one that may be absent does not.
	gone := answering(t, allow)
	gone.Close()
	validate(t, c, "gone", gone.webhook("gone.example.com", func(w *registrationv1.ValidatingWebhook) {
		w.Rules, w.ObjectSelector = ofPods(), &metav1.LabelSelector{MatchLabels: map[string]string{"app": "held"}}
	}), gone.webhook("open.example.com", func(w *registrationv1.ValidatingWebhook) {
		ignore := registrationv1.Ignore
		w.Rules, w.FailurePolicy = ofPods(), &ignore
	}))
	deploy(t, c, "held", 1)
	deploy(t, c, "free", 1)
	h.eventually("what may be absent does not bar", func() bool {
		return len(podsOf(t, c, "free")) == 1 && strings.Contains(failureOf(t, c, "held"), `failed calling webhook "gone.example.com"`)
	})
}

// TestWebhooksSeeSetsAndClaims: what is made for a Deployment and a StatefulSet beside pods is shown, changed and refused too.
func TestWebhooksSeeSetsAndClaims(t *testing.T) {
	h := open(t)
	c := h.client()
	label := answering(t, func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		out, kind := allow(r), admissionv1.PatchTypeJSONPatch
		if out.Allowed = !strings.Contains(r.Name, "bad"); !out.Allowed {
			out.Result = &metav1.Status{Message: "not these"}
			return out
		}
		out.PatchType, out.Patch = &kind, []byte(`[{"op":"add","path":"/metadata/labels/seen","value":"yes"}]`)
		return out
	})
	w := label.mutating("label.example.com", registrationv1.NeverReinvocationPolicy)
	w.Rules = []registrationv1.RuleWithOperations{{Operations: []registrationv1.OperationType{registrationv1.Create},
		Rule: registrationv1.Rule{APIGroups: []string{"", "apps"}, APIVersions: []string{"v1"}, Resources: []string{"replicasets", "persistentvolumeclaims"}}}}
	if _, err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), &registrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "label"}, Webhooks: []registrationv1.MutatingWebhook{w}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	deploy(t, c, "web", 2)
	deploy(t, c, "bad", 2)
	one := int32(1)
	if _, err := c.AppsV1().StatefulSets("default").Create(t.Context(), &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: appsv1.StatefulSetSpec{
		Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}, Template: templateFor("db"),
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	h.eventually("pods of both", func() bool { return len(podsOf(t, c, "web")) == 2 && len(podsOf(t, c, "db")) == 1 })
	sets, err := c.AppsV1().ReplicaSets("default").List(t.Context(), metav1.ListOptions{LabelSelector: "seen=yes"})
	if err != nil || len(sets.Items) != 1 || sets.Items[0].Labels["app"] != "web" || len(sets.Items[0].OwnerReferences) != 1 {
		t.Fatalf("%+v %v", sets, err)
	}
	claim, err := c.CoreV1().PersistentVolumeClaims("default").Get(t.Context(), "data-db-0", metav1.GetOptions{})
	if err != nil || claim.Labels["seen"] != "yes" {
		t.Fatalf("%+v %v", claim, err)
	}
	asked := map[string]bool{}
	for _, r := range label.calls() {
		asked[strings.TrimPrefix(r.UserInfo.Username, "system:serviceaccount:kube-system:")+" "+r.Resource.Resource+" "+r.Name] = true
	}
	for _, want := range []string{"deployment-controller replicasets " + sets.Items[0].Name, "statefulset-controller persistentvolumeclaims data-db-0"} {
		if !asked[want] {
			t.Errorf("%q is not among %v", want, asked)
		}
	}
	h.eventually("why the bad one has no set", func() bool {
		d, err := c.AppsV1().Deployments("default").Get(t.Context(), "bad", metav1.GetOptions{})
		return err == nil && strings.Contains(fmt.Sprint(d.Status.Conditions), `admission webhook "label.example.com" denied the request: not these`)
	})
}
