package kube_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

func scalerOf(name string, least, most int32) *autoscalingv1.HorizontalPodAutoscaler {
	half := int32(50)
	return &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}, MinReplicas: &least, MaxReplicas: most, TargetCPUUtilizationPercentage: &half}}
}

// What is written in one version is read in the other; v1 keeps in annotations what it has no fields for.
func TestAutoscalersInBothVersions(t *testing.T) {
	c := open(t).client()
	one, two := c.AutoscalingV1().HorizontalPodAutoscalers("default"), c.AutoscalingV2().HorizontalPodAutoscalers("default")
	w, err := one.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	made, err := one.Create(t.Context(), scalerOf("web", 1, 5), metav1.CreateOptions{})
	if err != nil || made.Spec.TargetCPUUtilizationPercentage == nil || *made.Spec.TargetCPUUtilizationPercentage != 50 || made.Annotations["autoscaling.alpha.kubernetes.io/metrics"] != "" {
		t.Fatalf("%+v, %v", made, err)
	}
	got, err := two.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || len(got.Spec.Metrics) != 1 || *got.Spec.Metrics[0].Resource.Target.AverageUtilization != 50 || got.Spec.Metrics[0].Resource.Name != corev1.ResourceCPU || got.Spec.ScaleTargetRef.Kind != "Deployment" {
		t.Fatalf("%+v, %v", got, err)
	}
	policies := `{"spec":{"behavior":{"scaleDown":{"selectPolicy":"Disabled"}},"metrics":[{"type":"Resource","resource":{"name":"memory","target":{"type":"AverageValue","averageValue":"1Gi"}}}]}}`
	if got, err = two.Patch(t.Context(), "web", types.MergePatchType, []byte(policies), metav1.PatchOptions{}); err != nil || got.Generation != 2 || len(got.Spec.Behavior.ScaleUp.Policies) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	old, err := one.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || old.Spec.TargetCPUUtilizationPercentage != nil || !strings.Contains(old.Annotations["autoscaling.alpha.kubernetes.io/metrics"], `"targetAverageValue":"1Gi"`) || !strings.Contains(old.Annotations["autoscaling.alpha.kubernetes.io/behavior"], `"selectPolicy":"Disabled"`) {
		t.Fatalf("%+v, %v", old, err)
	}
	if old, err = one.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(`{"spec":{"maxReplicas":7}}`), metav1.PatchOptions{}); err != nil || old.Spec.MaxReplicas != 7 {
		t.Fatalf("%+v, %v", old, err)
	}
	if got, err = two.Get(t.Context(), "web", metav1.GetOptions{}); err != nil || got.Spec.Metrics[0].Resource.Name != corev1.ResourceMemory || got.Spec.Behavior == nil || len(got.Annotations) != 0 {
		t.Errorf("an old client lost what it does not know: %+v, %v", got, err)
	}
	list, err := one.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Spec.MaxReplicas != 7 || list.ResourceVersion == "" {
		t.Errorf("%+v, %v", list, err)
	}
	if e := <-w.ResultChan(); e.Type != watch.Added {
		t.Errorf("%+v", e)
	} else if o, ok := e.Object.(*autoscalingv1.HorizontalPodAutoscaler); !ok || o.Name != "web" {
		t.Errorf("%+v", e.Object)
	}
	got.Status.CurrentReplicas = -1
	if _, err = two.UpdateStatus(t.Context(), got, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("%v", err)
	}
	if err = one.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	groups, err := c.Discovery().ServerGroups()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == "autoscaling" })
	if i < 0 || groups.Groups[i].PreferredVersion.Version != "v2" || len(groups.Groups[i].Versions) != 2 {
		t.Errorf("%+v", groups.Groups)
	}
}

// A target is brought within its bounds, by an event that names the autoscaler; what no node measures is told.
func TestAutoscalersScale(t *testing.T) {
	h := open(t)
	c := h.client()
	one := int32(1)
	web := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}}}
	if _, err := c.AppsV1().Deployments("default").Create(t.Context(), web, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AutoscalingV1().HorizontalPodAutoscalers("default").Create(t.Context(), scalerOf("web", 2, 5), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has as many as it must", func(ctx context.Context) bool {
		d, err := c.AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{})
		return err == nil && *d.Spec.Replicas == 2
	})
	eventually(t, "nobody measures its pods", func(ctx context.Context) bool {
		s, err := c.AutoscalingV2().HorizontalPodAutoscalers("default").Get(ctx, "web", metav1.GetOptions{})
		return err == nil && s.Status.CurrentReplicas == 2 && s.Status.LastScaleTime != nil && slices.ContainsFunc(s.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
			return c.Type == autoscalingv2.ScalingActive && c.Status == corev1.ConditionFalse && c.Reason == "FailedGetResourceMetric" &&
				c.Message == "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API"
		})
	})
	eventually(t, "it is told", func(ctx context.Context) bool {
		found, err := c.CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=HorizontalPodAutoscaler"})
		return err == nil && slices.ContainsFunc(found.Items, func(e corev1.Event) bool {
			return e.Reason == "SuccessfulRescale" && e.Message == "New size: 2; reason: Current number of replicas below Spec.MinReplicas"
		}) && slices.ContainsFunc(found.Items, func(e corev1.Event) bool {
			return e.Reason == "FailedGetResourceMetric" && e.Type == corev1.EventTypeWarning
		})
	})
	if _, err := c.AutoscalingV1().HorizontalPodAutoscalers("default").Create(t.Context(), scalerOf("bad", 3, 2), metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "must be greater than or equal to `minReplicas`") {
		t.Errorf("%v", err)
	}
}

// A webhook whose rules name one version is asked about objects of the other in the one that it knows, unless it wants requests of
// that version alone; what it changes there is changed.
func TestWebhooksOfAnotherVersion(t *testing.T) {
	h := open(t)
	c := h.client()
	caps := answering(t, func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		out := allow(r)
		var o autoscalingv1.HorizontalPodAutoscaler
		if json.Unmarshal(r.Object.Raw, &o) == nil && o.Spec.MaxReplicas > 5 && o.APIVersion == "autoscaling/v1" && o.Spec.TargetCPUUtilizationPercentage != nil {
			kind := admissionv1.PatchTypeJSONPatch
			out.PatchType, out.Patch = &kind, []byte(`[{"op":"replace","path":"/spec/maxReplicas","value":5},{"op":"replace","path":"/spec/targetCPUUtilizationPercentage","value":60}]`)
		}
		return out
	})
	looks := answering(t, allow)
	rules := func(version string) []registrationv1.RuleWithOperations {
		return []registrationv1.RuleWithOperations{{Operations: []registrationv1.OperationType{registrationv1.OperationAll},
			Rule: registrationv1.Rule{APIGroups: []string{"autoscaling"}, APIVersions: []string{version}, Resources: []string{"horizontalpodautoscalers"}}}}
	}
	m := caps.mutating("caps.stave.test", registrationv1.NeverReinvocationPolicy)
	m.Rules = rules("v1")
	if _, err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(),
		&registrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "caps"}, Webhooks: []registrationv1.MutatingWebhook{m}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	exact := registrationv1.Exact
	validate(t, c, "looks", looks.webhook("exact.stave.test", func(w *registrationv1.ValidatingWebhook) { w.Rules, w.MatchPolicy = rules("v1"), &exact }),
		looks.webhook("both.stave.test", func(w *registrationv1.ValidatingWebhook) { w.Rules = rules("v2") }))
	two := c.AutoscalingV2().HorizontalPodAutoscalers("default")
	sixty := func(name string) {
		t.Helper()
		got, err := two.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || got.Spec.MaxReplicas != 5 || *got.Spec.Metrics[0].Resource.Target.AverageUtilization != 60 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	half := int32(50)
	made := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "new"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 9,
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "x"},
		Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &half}}}}}}
	if _, err := two.Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	sixty("new")
	asked := caps.calls()[0]
	if asked.Kind.Version != "v1" || asked.Resource.Version != "v1" || asked.RequestKind.Version != "v2" || asked.RequestResource.Version != "v2" {
		t.Errorf("%+v", asked)
	}
	if seen := looks.calls(); len(seen) != 1 || seen[0].Kind.Version != "v2" || !strings.Contains(string(seen[0].Object.Raw), `"apiVersion":"autoscaling/v2"`) {
		t.Errorf("%+v", seen)
	}
	if _, err := c.AutoscalingV1().HorizontalPodAutoscalers("default").Create(t.Context(), scalerOf("old", 1, 9), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	sixty("old")
	seen := looks.calls()[1:]
	slices.SortFunc(seen, func(a, b *admissionv1.AdmissionRequest) int { return strings.Compare(a.Kind.Version, b.Kind.Version) })
	if len(seen) != 2 || seen[0].Kind.Version != "v1" || !strings.Contains(string(seen[0].Object.Raw), `"apiVersion":"autoscaling/v1"`) ||
		seen[1].Kind.Version != "v2" || seen[1].RequestKind.Version != "v1" || !strings.Contains(string(seen[1].Object.Raw), `"apiVersion":"autoscaling/v2"`) {
		t.Errorf("%+v", seen)
	}
}
