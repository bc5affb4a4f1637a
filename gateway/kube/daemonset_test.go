package kube_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func daemonSet(name, image string) *appsv1.DaemonSet {
	labels := map[string]string{"app": name}
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}}}}}
}

// members are a workload's pods that nobody wants gone, by name.
func (h *house) members(app string) map[string]corev1.Pod {
	h.Helper()
	l, err := h.client().CoreV1().Pods("default").List(h.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		h.Fatal(err)
	}
	out := map[string]corev1.Pod{}
	for _, p := range l.Items {
		if p.DeletionTimestamp == nil {
			out[p.Name] = p
		}
	}
	return out
}

// A DaemonSet's pods follow nodes, its templates are counted and kept, and what kubectl
// rollout undo sends brings an earlier one back.
func TestDaemonSets(t *testing.T) {
	h := open(t)
	c := h.client()
	nodes, sets := c.CoreV1().Nodes(), c.AppsV1().DaemonSets("default")
	for _, n := range []string{"n1", "n2"} {
		if _, err := nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	made, err := sets.Create(t.Context(), daemonSet("logs", "a"), metav1.CreateOptions{})
	s := made.Spec
	if err != nil || made.Generation != 1 || made.Annotations[appsv1.DeprecatedTemplateGeneration] != "1" || *s.RevisionHistoryLimit != 10 ||
		s.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType || *s.UpdateStrategy.RollingUpdate.MaxUnavailable != intstr.FromInt32(1) {
		t.Fatalf("%+v, %v", made, err)
	}
	until(t, "both nodes have one", func() bool { return len(h.members("logs")) == 2 })
	for _, p := range h.members("logs") {
		terms := p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
		if len(terms) != 1 || terms[0].MatchFields[0].Key != "metadata.name" || p.Labels["controller-revision-hash"] == "" || p.Labels["pod-template-generation"] != "1" || p.Spec.NodeName != "" {
			t.Errorf("%+v", p)
		}
	}
	got, err := sets.Get(t.Context(), "logs", metav1.GetOptions{})
	if err != nil || got.Status.DesiredNumberScheduled != 2 || got.Status.CurrentNumberScheduled != 2 || got.Status.UpdatedNumberScheduled != 2 || got.Status.NumberReady != 0 || got.Status.NumberUnavailable != 2 {
		t.Errorf("%+v, %v", got.Status, err)
	}
	patch := func(body string) *appsv1.DaemonSet {
		t.Helper()
		out, err := sets.Patch(t.Context(), "logs", types.StrategicMergePatchType, []byte(body), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := patch(`{"metadata":{"annotations":{"deprecated.daemonset.template.generation":"7"}},"spec":{"minReadySeconds":1}}`); out.Annotations[appsv1.DeprecatedTemplateGeneration] != "1" || out.Generation != 2 {
		t.Errorf("somebody else counts templates: %+v", out.ObjectMeta)
	}
	patch(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"b"}]}}}}`)
	moved := func(image, generation string) func() bool {
		return func() bool {
			n := 0
			for _, p := range h.members("logs") {
				if p.Spec.Containers[0].Image == image && p.Labels["pod-template-generation"] == generation {
					n++
				}
			}
			return n == 2
		}
	}
	until(t, "the new template is everywhere", moved("b", "2"))
	revisions, err := c.AppsV1().ControllerRevisions("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=logs"})
	if err != nil || len(revisions.Items) != 2 {
		t.Fatalf("%+v, %v", revisions, err)
	}
	first := revisions.Items[0]
	if first.Revision != 1 {
		first = revisions.Items[1]
	}
	if out := patch(string(first.Data.Raw)); out.Spec.Template.Spec.Containers[0].Image != "a" || out.Annotations[appsv1.DeprecatedTemplateGeneration] != "3" {
		t.Errorf("%+v", out)
	}
	until(t, "the first one is back", moved("a", "3"))
	until(t, "its revision is the newest", func() bool {
		r, err := c.AppsV1().ControllerRevisions("default").Get(t.Context(), first.Name, metav1.GetOptions{})
		return err == nil && r.Revision == 3
	})
	patch(`{"spec":{"template":{"spec":{"nodeSelector":{"disk":"ssd"}}}}}`)
	until(t, "no node suits", func() bool { return len(h.members("logs")) == 0 })
	watch, err := sets.Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=logs"})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	if _, err := nodes.Patch(t.Context(), "n2", types.MergePatchType, []byte(`{"metadata":{"labels":{"disk":"ssd"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	for e := range watch.ResultChan() {
		if ds, ok := e.Object.(*appsv1.DaemonSet); ok && ds.Status.DesiredNumberScheduled == 1 {
			break // a node alone makes a new status
		}
	}
	until(t, "the node that suits has one", func() bool { return len(h.members("logs")) == 1 })
	if err := nodes.Delete(t.Context(), "n2", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "its pod goes with the node", func() bool { return len(h.members("logs")) == 0 })
	out, err := sets.Patch(t.Context(), "logs", types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"Told","status":"True"}]}}`), metav1.PatchOptions{}, "status")
	if err != nil || len(out.Status.Conditions) != 1 || out.Status.ObservedGeneration != out.Generation {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestDaemonSetsThatAreRefused(t *testing.T) {
	h := open(t)
	sets := h.client().AppsV1().DaemonSets("default")
	zero, one, many := intstr.FromInt32(0), intstr.FromInt32(1), intstr.FromString("101%")
	for what, edit := range map[string]func(*appsv1.DaemonSet){
		"`selector` does not match":                 func(d *appsv1.DaemonSet) { d.Spec.Template.Labels = nil },
		"empty selector":                            func(d *appsv1.DaemonSet) { d.Spec.Selector = &metav1.LabelSelector{} },
		`restartPolicy: Unsupported value: "Never"`: func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever },
		"activeDeadlineSeconds in DaemonSet":        func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.ActiveDeadlineSeconds = new(int64) },
		"may not be set when maxUnavailable": func(d *appsv1.DaemonSet) {
			d.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{MaxSurge: &one}
		},
		"cannot be 0 when maxSurge is 0": func(d *appsv1.DaemonSet) {
			d.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &zero}
		},
		"must not be greater than 100%": func(d *appsv1.DaemonSet) {
			d.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &many}
		},
		`updateStrategy.type: Unsupported value: "All"`: func(d *appsv1.DaemonSet) { d.Spec.UpdateStrategy.Type = "All" },
		"minReadySeconds": func(d *appsv1.DaemonSet) { d.Spec.MinReadySeconds = -1 },
	} {
		d := daemonSet("bad", "a")
		edit(d)
		if _, err := sets.Create(t.Context(), d, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := sets.Create(t.Context(), daemonSet("good", "a"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := sets.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if l, err := sets.List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) > 0 {
		t.Errorf("deleted and still there: %+v, %v", l, err)
	}
	made, err := sets.Create(t.Context(), daemonSet("good", "a"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made.ResourceVersion = "" // its controller moves it as well
	made.Spec.Selector.MatchLabels["more"], made.Spec.Template.Labels["more"] = "x", "x"
	if _, err := sets.Update(t.Context(), made, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "field is immutable") {
		t.Errorf("another selector: %v", err)
	}
}

// A ReplicationController is a ReplicaSet with a plain selector, which may change.
func TestReplicationControllers(t *testing.T) {
	h := open(t)
	c := h.client()
	rcs := c.CoreV1().ReplicationControllers("default")
	template := daemonSet("web", "a").Spec.Template
	made, err := rcs.Create(t.Context(), &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ReplicationControllerSpec{Template: &template}}, metav1.CreateOptions{})
	if err != nil || *made.Spec.Replicas != 1 || made.Spec.Selector["app"] != "web" || made.Labels["app"] != "web" || made.Generation != 1 {
		t.Fatalf("%+v, %v", made, err)
	}
	until(t, "it has its pod", func() bool { return len(h.members("web")) == 1 })
	for _, p := range h.members("web") {
		if o := p.OwnerReferences[0]; o.Kind != "ReplicationController" || o.APIVersion != "v1" || !*o.Controller || p.GenerateName != "web-" {
			t.Errorf("%+v", p)
		}
	}
	scale, err := rcs.GetScale(t.Context(), "web", metav1.GetOptions{})
	if err != nil || scale.Spec.Replicas != 1 || scale.Status.Selector != "app=web" {
		t.Fatalf("%+v, %v", scale, err)
	}
	if _, err := rcs.UpdateScale(t.Context(), "web", &autoscalingv1.Scale{ObjectMeta: scale.ObjectMeta, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it has three", func() bool {
		rc, err := rcs.Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && rc.Status.Replicas == 3 && rc.Status.FullyLabeledReplicas == 3 && rc.Status.ObservedGeneration == rc.Generation && len(h.members("web")) == 3
	})
	if _, err := rcs.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"selector":{"tier":"front"},"template":{"metadata":{"labels":{"tier":"front"}}}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "those that it selects no more are free, and it has new ones", func() bool {
		free, own := 0, 0
		for _, p := range h.members("web") {
			if len(p.OwnerReferences) == 0 {
				free++
			} else if p.Labels["tier"] == "front" {
				own++
			}
		}
		return free == 3 && own == 3
	})
	if err := rcs.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is gone", func() bool {
		_, err := rcs.Get(t.Context(), "web", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	for _, p := range h.members("web") {
		if len(p.OwnerReferences) > 0 {
			t.Errorf("%s is not free: %+v", p.Name, p.OwnerReferences)
		}
	}
}

// A quota counts ReplicationControllers, and one that cannot make its pods says why.
func TestQuotasAndReplicationControllers(t *testing.T) {
	h := open(t)
	c := h.client()
	rcs := c.CoreV1().ReplicationControllers("default")
	hard := corev1.ResourceList{"replicationcontrollers": resource.MustParse("1"), "pods": resource.MustParse("2")}
	if _, err := c.CoreV1().ResourceQuotas("default").Create(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	three, template := int32(3), daemonSet("web", "a").Spec.Template
	rc := func(name string) *corev1.ReplicationController {
		return &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ReplicationControllerSpec{Replicas: &three, Template: &template}}
	}
	if _, err := rcs.Create(t.Context(), rc("web"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := rcs.Create(t.Context(), rc("more"), metav1.CreateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "replicationcontrollers=1") {
		t.Errorf("a second one: %v", err)
	}
	failing := func() bool {
		got, err := rcs.Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && len(got.Status.Conditions) == 1 && got.Status.Conditions[0].Type == corev1.ReplicationControllerReplicaFailure && strings.Contains(got.Status.Conditions[0].Message, "exceeded quota")
	}
	until(t, "it says that it lacks one", failing)
	if _, err := rcs.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it lacks none", func() bool {
		got, err := rcs.Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && len(got.Status.Conditions) == 0
	})
}
