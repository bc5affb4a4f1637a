package kube_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"github.com/stave-run/stave/events"
)

func statefulSet(name string, replicas int32) *appsv1.StatefulSet {
	own := map[string]string{"app": name}
	return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"kubernetes.io/change-cause": "first"}}, Spec: appsv1.StatefulSetSpec{
		Replicas: &replicas, ServiceName: name, Selector: &metav1.LabelSelector{MatchLabels: own}, PodManagementPolicy: appsv1.ParallelPodManagement,
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: own}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "nginx"}}}}}}
}

// A client sees of StatefulSets what it would see of Kubernetes': pods with identities,
// revisions that kubectl can go back to, a scale, a status, and what may not change.
func TestStatefulSets(t *testing.T) {
	h := open(t)
	apps := h.client().AppsV1()
	c := apps.StatefulSets("default")
	made, err := c.Create(t.Context(), statefulSet("web", 2), metav1.CreateOptions{})
	if err != nil || made.Generation != 1 || made.Spec.UpdateStrategy.Type != appsv1.RollingUpdateStatefulSetStrategyType || *made.Spec.UpdateStrategy.RollingUpdate.Partition != 0 ||
		*made.Spec.RevisionHistoryLimit != 10 || made.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted != appsv1.RetainPersistentVolumeClaimRetentionPolicyType {
		t.Fatalf("%+v, %v", made, err)
	}
	get := func() *appsv1.StatefulSet {
		s, err := c.Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	h.eventually("two pods", func() bool { return get().Status.Replicas == 2 })
	st := get().Status
	if st.ObservedGeneration != 1 || st.CurrentRevision == "" || st.CurrentRevision != st.UpdateRevision || st.UpdatedReplicas != 2 || st.CollisionCount == nil {
		t.Errorf("%+v", st)
	}
	pod, err := h.client().CoreV1().Pods("default").Get(t.Context(), "web-1", metav1.GetOptions{})
	if err != nil || pod.Labels["controller-revision-hash"] != st.UpdateRevision || pod.Labels["apps.kubernetes.io/pod-index"] != "1" ||
		pod.Labels["statefulset.kubernetes.io/pod-name"] != "web-1" || pod.Spec.Hostname != "web-1" || pod.Spec.Subdomain != "web" || pod.OwnerReferences[0].Kind != "StatefulSet" {
		t.Errorf("%+v, %v", pod, err)
	}
	first, err := apps.ControllerRevisions("default").Get(t.Context(), st.UpdateRevision, metav1.GetOptions{})
	if err != nil || first.Revision != 1 || first.Annotations["kubernetes.io/change-cause"] != "first" || first.OwnerReferences[0].UID != made.UID {
		t.Fatalf("%+v, %v", first, err)
	}

	scale, err := c.UpdateScale(t.Context(), "web", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: autoscalingv1.ScaleSpec{Replicas: 1}}, metav1.UpdateOptions{})
	if err != nil || scale.Spec.Replicas != 1 || scale.Status.Selector != "app=web" {
		t.Errorf("%+v, %v", scale, err)
	}
	h.eventually("one pod", func() bool { return get().Status.Replicas == 1 })

	if _, err := c.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"metadata":{"labels":{"new":"x"}},"spec":{"containers":[{"name":"c","image":"nginx:2"}]}}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	h.eventually("another revision", func() bool { s := get().Status; return s.ObservedGeneration == 3 && s.UpdateRevision != first.Name })
	// What kubectl rollout undo sends is the data of the revision.
	if _, err := c.Patch(t.Context(), "web", types.StrategicMergePatchType, first.Data.Raw, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	h.eventually("the first one again", func() bool {
		r, err := apps.ControllerRevisions("default").Get(t.Context(), first.Name, metav1.GetOptions{})
		return err == nil && r.Revision == 3 && get().Status.UpdateRevision == first.Name
	})
	if s := get(); s.Spec.Template.Spec.Containers[0].Image != "nginx" || s.Spec.Template.Labels["new"] != "" || len(s.Spec.Template.Labels) != 1 {
		t.Errorf("%+v", s.Spec.Template)
	}
	if err := c.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	h.eventually("nothing left", func() bool {
		pods, _ := h.client().CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		revisions, _ := apps.ControllerRevisions("default").List(t.Context(), metav1.ListOptions{})
		return len(pods.Items)+len(revisions.Items) == 0
	})
}

// Claims of a set are there before its pods, and go as its policy says.
func TestSetsThatStore(t *testing.T) {
	h := open(t)
	c := h.client().AppsV1().StatefulSets("default")
	set := statefulSet("web", 2)
	set.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: appsv1.DeletePersistentVolumeClaimRetentionPolicyType}
	set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}}
	made, err := c.Create(t.Context(), set, metav1.CreateOptions{})
	if err != nil || *made.Spec.VolumeClaimTemplates[0].Spec.VolumeMode != corev1.PersistentVolumeFilesystem {
		t.Fatalf("%+v, %v", made, err)
	}
	claims := h.client().CoreV1().PersistentVolumeClaims("default")
	h.eventually("claims", func() bool {
		l, err := claims.List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		return err == nil && len(l.Items) == 2 && l.Items[1].Name == "data-web-1" && len(l.Items[1].OwnerReferences) == 1
	})
	h.eventually("pods", func() bool {
		pod, err := h.client().CoreV1().Pods("default").Get(t.Context(), "web-1", metav1.GetOptions{})
		return err == nil && len(pod.Spec.Volumes) > 0 && pod.Spec.Volumes[0].PersistentVolumeClaim != nil && pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName == "data-web-1"
	})
	if _, err := c.Patch(t.Context(), "web", types.JSONPatchType, []byte(`[{"op":"remove","path":"/spec/volumeClaimTemplates"}]`), metav1.PatchOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.volumeClaimTemplates") {
		t.Errorf("%v", err)
	}
	if err := c.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	h.eventually("the claims go with the set", func() bool {
		l, err := claims.List(t.Context(), metav1.ListOptions{})
		return err == nil && !slices.ContainsFunc(l.Items, func(c corev1.PersistentVolumeClaim) bool { return c.DeletionTimestamp == nil })
	})
}

func TestWhatStatefulSetsAreNot(t *testing.T) {
	h := open(t)
	c := h.client().AppsV1().StatefulSets("default")
	bad := func(edit func(*appsv1.StatefulSet), want string) {
		t.Helper()
		s := statefulSet("bad", 0)
		edit(s)
		if _, err := c.Create(t.Context(), s, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	bad(func(s *appsv1.StatefulSet) { s.Spec.PodManagementPolicy = "Random" }, "spec.podManagementPolicy")
	bad(func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.Type = "Recreate" }, "must be 'RollingUpdate' or 'OnDelete'")
	bad(func(s *appsv1.StatefulSet) {
		s.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: "OnDelete", RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{}}
	}, "only allowed for updateStrategy 'RollingUpdate'")
	bad(func(s *appsv1.StatefulSet) { s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: -1} }, "spec.ordinals.start")
	bad(func(s *appsv1.StatefulSet) { s.Spec.ServiceName = "no.dots" }, "spec.serviceName")
	bad(func(s *appsv1.StatefulSet) {
		s.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}}
	}, "spec.template.metadata.labels")
	bad(func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever }, "spec.template.spec.restartPolicy")
	bad(func(s *appsv1.StatefulSet) { s.Name = strings.Repeat("a", 53) }, "no more than 52")

	if _, err := c.Create(t.Context(), statefulSet("web", 0), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for path, value := range map[string]string{"serviceName": `"other"`, "podManagementPolicy": `"OrderedReady"`, "selector": `{"matchLabels":{"app":"web","x":"y"}}`} {
		patch := fmt.Sprintf(`{"spec":{%q:%s,"template":{"metadata":{"labels":{"x":"y"}}}}}`, path, value)
		if _, err := c.Patch(t.Context(), "web", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec."+path+": Invalid value") {
			t.Errorf("%s: %v", path, err)
		}
	}
	// Who writes a status lays it over what is derived.
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error { // its controller writes too
		now, err := c.Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		now.Status.Conditions = []appsv1.StatefulSetCondition{{Type: "Mine", Status: corev1.ConditionTrue}}
		written, err := c.UpdateStatus(t.Context(), now, metav1.UpdateOptions{})
		if err == nil && len(written.Status.Conditions) != 1 {
			t.Errorf("%+v", written.Status)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, ok := events.KindNamed("sts"); !ok {
		t.Error("sts means nothing")
	}
}
