package kube_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func amounts(cpu, memory string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, said := range map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory} {
		if said != "" {
			out[name] = resource.MustParse(said)
		}
	}
	return out
}

// What the containers of a pod may use is written by its subresource alone, and nothing else is there.
func TestResize(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().Pods("default")
	always := corev1.ContainerRestartPolicyAlways
	pod, err := c.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "i", Image: "i", Resources: corev1.ResourceRequirements{Requests: amounts("50m", "")}},
			{Name: "s", Image: "i", RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: amounts("50m", "")}}},
		Containers: []corev1.Container{{Name: "c", Image: "i", ResizePolicy: []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceMemory, RestartPolicy: corev1.RestartContainer}},
			Resources: corev1.ResourceRequirements{Requests: amounts("100m", "64Mi"), Limits: amounts("200m", "")}}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next := pod.DeepCopy()
	next.Spec.Containers[0].Resources.Requests, next.Spec.InitContainers[1].Resources.Requests = amounts("150m", "64Mi"), amounts("60m", "1Mi")
	next.Spec.Containers[0].Image, next.Labels = "other", map[string]string{"not": "here"}
	got, err := c.UpdateResize(t.Context(), "p", next, metav1.UpdateOptions{})
	if err != nil || got.Generation != pod.Generation+1 || got.Spec.Containers[0].Image != "i" || got.Labels["not"] != "" ||
		got.Spec.Containers[0].Resources.Requests.Cpu().String() != "150m" || got.Spec.InitContainers[1].Resources.Requests.Memory().String() != "1Mi" {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, x := range []struct {
		form  types.PatchType
		patch string
		want  string
	}{
		{types.StrategicMergePatchType, `{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"300m"}}}]}}`, "300m"},
		{types.JSONPatchType, `[{"op":"replace","path":"/spec/containers/0/resources/limits/cpu","value":"400m"}]`, "400m"},
		{types.StrategicMergePatchType, `{"spec":{"containers":[{"name":"c","resources":{"limits":{"memory":"1Gi"}}}]}}`, "400m"},
	} {
		if got, err = c.Patch(t.Context(), "p", x.form, []byte(x.patch), metav1.PatchOptions{}, "resize"); err != nil || got.Spec.Containers[0].Resources.Limits.Cpu().String() != x.want {
			t.Fatalf("%s: %+v, %v", x.patch, got, err)
		}
	}
	raw, err := h.client().CoreV1().RESTClient().Get().AbsPath("/api/v1/namespaces/default/pods/p/resize").DoRaw(t.Context())
	if err != nil || !strings.Contains(string(raw), `"kind":"Pod"`) {
		t.Errorf("%s, %v", raw, err)
	}
	const apply = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"500m","memory":"1Gi"}}}]}}`
	yes := true
	if got, err = c.Patch(t.Context(), "p", types.ApplyPatchType, []byte(apply), metav1.PatchOptions{FieldManager: "sizer", Force: &yes}, "resize"); err != nil || got.Spec.Containers[0].Resources.Limits.Cpu().String() != "500m" {
		t.Fatalf("%+v, %v", got, err)
	}
	managed := false
	for _, m := range got.ManagedFields {
		managed = managed || m.Subresource == "resize" && m.Manager == "sizer" && m.Operation == metav1.ManagedFieldsOperationApply && strings.Contains(string(m.FieldsV1.Raw), "f:resources")
	}
	if !managed {
		t.Errorf("managers %+v", got.ManagedFields)
	}

	at := func(s *corev1.PodSpec) *corev1.ResourceRequirements { return &s.Containers[0].Resources }
	for _, x := range []struct {
		name string
		edit func(*corev1.PodSpec)
		says string
	}{
		{"a limit taken away", func(s *corev1.PodSpec) { delete(at(s).Limits, "memory") }, "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"},
		{"a request taken away", func(s *corev1.PodSpec) { delete(at(s).Requests, "cpu") }, ""}, // its limit becomes its request, as with a new pod
		{"more asked for than may be taken", func(s *corev1.PodSpec) { at(s).Requests = amounts("600m", "64Mi") }, "must be less than or equal to cpu limit"},
		{"another quality of service", func(s *corev1.PodSpec) {
			at(s).Requests, at(s).Limits = amounts("1", "1Gi"), amounts("1", "1Gi")
			s.InitContainers[0].Resources = *at(s)
			s.InitContainers[1].Resources = *at(s)
		}, "Pod QOS Class may not change as a result of resizing"},
		{"another policy", func(s *corev1.PodSpec) { s.Containers[0].ResizePolicy = nil }, "spec.containers[0].resizePolicy"},
		{"what prepares the pod", func(s *corev1.PodSpec) { s.InitContainers[0].Resources.Requests = amounts("70m", "") }, "resources for non-sidecar init containers are immutable"},
		{"another resource", func(s *corev1.PodSpec) { at(s).Limits["ephemeral-storage"] = resource.MustParse("1Gi") }, "only cpu and memory resources are mutable"},
		{"one more", func(s *corev1.PodSpec) { s.Containers = append(s.Containers, corev1.Container{Name: "x", Image: "i"}) }, "containers may not be added or removed on resize"},
		{"another name", func(s *corev1.PodSpec) { s.Containers[0].Name = "x" }, "containers may not be renamed or reordered on resize"},
	} {
		next := got.DeepCopy()
		next.ResourceVersion = ""
		x.edit(&next.Spec)
		_, err := c.UpdateResize(t.Context(), "p", next, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
		if x.says == "" && err != nil || x.says != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), x.says)) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	next = got.DeepCopy()
	at(&next.Spec).Limits = amounts("600m", "1Gi")
	if _, err := c.Update(t.Context(), next, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "pod updates may not change fields other than") {
		t.Errorf("written with the pod: %v", err)
	}
}

// Quotas and limit ranges hold at this door too, and a policy that cannot be kept is refused with the pod.
func TestResizeWithin(t *testing.T) {
	h := open(t)
	core := h.client().CoreV1()
	if _, err := core.ResourceQuotas("default").Create(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"requests.cpu": resource.MustParse("1")}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := core.LimitRanges("default").Create(t.Context(), &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "l"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Max: amounts("", "1Gi")}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	made := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i",
		Resources: corev1.ResourceRequirements{Requests: amounts("500m", "64Mi"), Limits: amounts("2", "64Mi")}}}}}
	pod, err := core.Pods("default").Create(t.Context(), made, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ cpu, memory, says string }{
		{"1500m", "64Mi", "exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=500m, limited: requests.cpu=1"},
		{"500m", "2Gi", "maximum memory usage per Container is 1Gi"}, {"900m", "128Mi", ""},
	} {
		next := pod.DeepCopy()
		next.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: amounts(x.cpu, x.memory), Limits: amounts("2", x.memory)}
		_, err := core.Pods("default").UpdateResize(t.Context(), "p", next, metav1.UpdateOptions{})
		if x.says == "" && err != nil || x.says != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), x.says)) {
			t.Errorf("%s, %s: %v", x.cpu, x.memory, err)
		}
	}
	made.Name, made.Spec.RestartPolicy = "never", corev1.RestartPolicyNever
	made.Spec.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceCPU, RestartPolicy: corev1.RestartContainer}}
	if _, err := core.Pods("default").Create(t.Context(), made, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "must be 'NotRequired' when pod `restartPolicy` is 'Never'") {
		t.Errorf("who is never started again: %v", err)
	}
}
