package kube_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/util/retry"

	"github.com/stave-run/stave/events"
)

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
}

func workload(name string, replicas int32) *appsv1.Deployment {
	app := map[string]string{"app": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: app},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: app}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "busybox"}}}}}}
}

// lastEvent is the newest event about an object.
func (h *house) lastEvent(k events.Key) events.Envelope {
	h.Helper()
	var last events.Envelope
	err := h.log.Read(h.Context(), 1, func(e events.Envelope) error {
		if found, err := e.Subject.Key(); err == nil && found == k && e.Subject.Class() == "spec" {
			last = e
		}
		return nil
	})
	if err != nil {
		h.Fatal(err)
	}
	return last
}

func TestWritesAreInTheLog(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().ConfigMaps("default")
	made, err := c.Create(t.Context(), configMap("a", map[string]string{"k": "1"}), metav1.CreateOptions{FieldManager: "tests"})
	if err != nil {
		t.Fatal(err)
	}
	if len(made.ManagedFields) != 1 || made.ManagedFields[0].Manager != "tests" || made.ResourceVersion == "" {
		t.Errorf("made %+v", made)
	}
	k := events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: "a"}
	if e := h.lastEvent(k); e.Actor != "user:admin" || e.Message != "tester/1: create configmaps default as tests" {
		t.Errorf("the log says %s, %q", e.Actor, e.Message)
	}
	if _, err := c.Create(t.Context(), configMap("a", nil), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("twice: %v", err)
	}
	if _, err := c.Create(t.Context(), configMap("A_b", nil), metav1.CreateOptions{}); !apierrors.IsInvalid(err) || err.(apierrors.APIStatus).Status().Details.Causes[0].Field != "metadata.name" { //nolint:errorlint // it is one
		t.Errorf("a bad name: %v", err)
	}
	stale := made.DeepCopy()
	made.Data["k"] = "2"
	if made, err = c.Update(t.Context(), made, metav1.UpdateOptions{}); err != nil || made.Data["k"] != "2" {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := c.Update(t.Context(), stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("from a stale object: %v", err)
	}
	seq := h.lastEvent(k).Seq
	if _, err := c.Update(t.Context(), made, metav1.UpdateOptions{}); err != nil || h.lastEvent(k).Seq != seq {
		t.Errorf("an update that changes nothing is an event (%v)", err)
	}
	uid := types.UID("11111111-1111-1111-1111-111111111111")
	if err := c.Delete(t.Context(), "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}); !apierrors.IsConflict(err) {
		t.Errorf("another life: %v", err)
	}
	if err := c.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(t.Context(), "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after its deletion: %v", err)
	}
}

func TestDryRunsLeaveNothing(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().ConfigMaps("default")
	dry := []string{metav1.DryRunAll}
	h.fill(1)
	if made, err := c.Create(t.Context(), configMap("a", nil), metav1.CreateOptions{DryRun: dry}); err != nil || made.UID == "" || made.ResourceVersion != "" {
		t.Errorf("%+v, %v", made, err)
	}
	was, err := c.Get(t.Context(), "c000", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Patch(t.Context(), "c000", types.MergePatchType, []byte(`{"data":{"x":"y"}}`), metav1.PatchOptions{DryRun: dry}); err != nil || got.Data["x"] != "y" || got.ResourceVersion != was.ResourceVersion {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.Delete(t.Context(), "c000", metav1.DeleteOptions{DryRun: dry}); err != nil {
		t.Error(err)
	}
	web, err := h.client().AppsV1().Deployments("default").Create(t.Context(), workload("web", 0), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.eventually("a status", func() bool {
		web, err = h.client().AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && web.Status.ObservedGeneration == 1
	})
	tried, err := h.client().AppsV1().Deployments("default").Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"replicas":3}}`), metav1.PatchOptions{DryRun: dry})
	if err != nil || *tried.Spec.Replicas != 3 || tried.Status.ObservedGeneration != 1 || tried.Status.UnavailableReplicas != 0 {
		t.Errorf("a dry run of a deployment's patch: %+v, %v", tried, err)
	}
}

func TestDryRunsAppendNothing(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().ConfigMaps("default")
	dry := []string{metav1.DryRunAll}
	h.fill(1)
	end := h.view.Durable().Seq
	if _, err := c.Create(t.Context(), configMap("a", nil), metav1.CreateOptions{DryRun: dry}); err != nil {
		t.Error(err)
	}
	if now := h.view.Durable().Seq; now != end {
		t.Errorf("the log went from %d to %d", end, now)
	}
}

func TestPatches(t *testing.T) {
	h := open(t)
	c := h.client()
	web := workload("web", 0)
	if _, err := c.AppsV1().Deployments("default").Create(t.Context(), web, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for how, patch := range map[types.PatchType]string{
		types.StrategicMergePatchType: `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"strategic"}]}}}}`,
		types.MergePatchType:          `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"merge"}]}}}}`,
		types.JSONPatchType:           `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"json"}]`,
	} {
		got, err := c.AppsV1().Deployments("default").Patch(t.Context(), "web", how, []byte(patch), metav1.PatchOptions{})
		if err != nil || !strings.Contains(string(how), got.Spec.Template.Spec.Containers[0].Image) {
			t.Errorf("%s: %+v, %v", how, got, err)
		}
	}
	_, err := c.AppsV1().Deployments("default").Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"replicsa":3}}`), metav1.PatchOptions{FieldValidation: "Strict"})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `unknown field "spec.replicsa"`) {
		t.Errorf("an unknown field: %v", err)
	}
	_, err = c.AppsV1().Deployments("default").Patch(t.Context(), "web", types.MergePatchType, []byte(`{"metadata":{"resourceVersion":"1"}}`), metav1.PatchOptions{})
	if !apierrors.IsConflict(err) {
		t.Errorf("a patch of an old version: %v", err)
	}
}

// Two managers own fields of one object; who takes another's is told so.
func TestServerSideApply(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().ConfigMaps("default")
	one := applycore.ConfigMap("shared", "default").WithData(map[string]string{"a": "1"})
	two := applycore.ConfigMap("shared", "default").WithData(map[string]string{"b": "2"})
	for manager, m := range map[string]*applycore.ConfigMapApplyConfiguration{"one": one, "two": two} {
		if _, err := c.Apply(t.Context(), m, metav1.ApplyOptions{FieldManager: manager}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Get(t.Context(), "shared", metav1.GetOptions{})
	if err != nil || len(got.Data) != 2 || len(got.ManagedFields) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	steal := applycore.ConfigMap("shared", "default").WithData(map[string]string{"b": "2", "a": "3"})
	_, err = c.Apply(t.Context(), steal, metav1.ApplyOptions{FieldManager: "two"})
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "one": .data.a`) {
		t.Errorf("%v", err)
	}
	if got, err = c.Apply(t.Context(), steal, metav1.ApplyOptions{FieldManager: "two", Force: true}); err != nil || got.Data["a"] != "3" {
		t.Errorf("by force: %+v, %v", got, err)
	}
	if got, err = c.Apply(t.Context(), applycore.ConfigMap("shared", "default"), metav1.ApplyOptions{FieldManager: "two"}); err != nil || len(got.Data) != 0 {
		t.Errorf("what nobody applies any more is taken away: %+v, %v", got, err)
	}
}

// Nobody's change is lost when many change one object at once.
// Version "0" is any, as in Kubernetes: for objects and for their status.
func TestVersionZeroIsAnyVersion(t *testing.T) {
	h := open(t)
	maps, nodes := h.client().CoreV1().ConfigMaps("default"), h.client().CoreV1().Nodes()
	if _, err := maps.Create(t.Context(), configMap("a", map[string]string{"n": "1"}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	next := configMap("a", map[string]string{"n": "2"})
	next.ResourceVersion = "0"
	if got, err := maps.Update(t.Context(), next, metav1.UpdateOptions{}); err != nil || got.Data["n"] != "2" || got.ResourceVersion == "0" {
		t.Errorf("%+v, %v", got, err)
	}
	next.ResourceVersion, next.Data["n"] = "1", "3"
	if _, err := maps.Update(t.Context(), next, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("version 1: %v", err)
	}
	n, err := nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.ResourceVersion = "0"
	n.Status.Capacity = corev1.ResourceList{"example.com/seconds": resource.MustParse("1000")}
	got, err := nodes.UpdateStatus(t.Context(), n, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if has := got.Status.Capacity["example.com/seconds"]; has.String() != "1k" {
		t.Errorf("capacity %v", got.Status.Capacity)
	}
}

func TestManyWriters(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().ConfigMaps("default")
	if _, err := c.Create(t.Context(), configMap("busy", map[string]string{"n": "0"}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { // patches name no version and are made again by the server
			patch := fmt.Sprintf(`{"data":{"patch%d":"1"}}`, i)
			if _, err := c.Patch(t.Context(), "busy", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() { // updates name one and are made again by the client
			err := retry.OnError(retry.DefaultBackoff, func(err error) bool { return apierrors.IsConflict(err) }, func() error {
				got, err := c.Get(t.Context(), "busy", metav1.GetOptions{})
				if err != nil {
					return err
				}
				got.Data[fmt.Sprintf("update%d", i)] = "1"
				_, err = c.Update(t.Context(), got, metav1.UpdateOptions{})
				return err
			})
			if err != nil && !apierrors.IsConflict(err) {
				t.Error(err)
			}
			if err != nil {
				h.mu.Lock()
				h.lost++
				h.mu.Unlock()
			}
		})
	}
	all.Wait()
	got, err := c.Get(t.Context(), "busy", metav1.GetOptions{})
	if err != nil || len(got.Data) != 17-h.lost {
		t.Errorf("%d of 17 entries, %d updates gave up: %v", len(got.Data), h.lost, err)
	}
}

func TestScaleAndCollections(t *testing.T) {
	h := open(t)
	c := h.client()
	if _, err := c.AppsV1().Deployments("default").Create(t.Context(), workload("web", 1), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := c.AppsV1().Deployments("default").GetScale(t.Context(), "web", metav1.GetOptions{})
	if err != nil || got.Spec.Replicas != 1 || got.Status.Selector != "app=web" {
		t.Fatalf("%+v, %v", got, err)
	}
	got.Spec.Replicas, got.ResourceVersion = 3, ""
	if got, err = c.AppsV1().Deployments("default").UpdateScale(t.Context(), "web", got, metav1.UpdateOptions{}); err != nil || got.Spec.Replicas != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err = c.AppsV1().Deployments("default").UpdateScale(t.Context(), "web", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: autoscalingv1.ScaleSpec{Replicas: -1}}, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("less than none: %v", err)
	}
	h.eventually("three pods", func() bool {
		l, err := c.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		return err == nil && len(l.Items) == 3
	})
	if err := c.CoreV1().Pods("default").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=nothing"}); err != nil {
		t.Error(err)
	}
	foreground := metav1.DeletePropagationForeground
	if err := c.AppsV1().Deployments("default").DeleteCollection(t.Context(), metav1.DeleteOptions{PropagationPolicy: &foreground}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	h.eventually("no pods", func() bool {
		l, err := c.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		d, err2 := c.AppsV1().Deployments("default").List(t.Context(), metav1.ListOptions{})
		return err == nil && err2 == nil && len(l.Items) == 0 && len(d.Items) == 0
	})
}

// What kubectl applied before is in the annotation that it looks into.
func TestLastAppliedComesBack(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().ConfigMaps("default")
	cm := configMap("a", map[string]string{"k": "1"})
	said := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{},"name":"a","namespace":"default"},"data":{"k":"1"}}` + "\n"
	cm.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: said}
	if _, err := c.Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "a", metav1.GetOptions{}); err != nil || got.Annotations[corev1.LastAppliedConfigAnnotation] != said {
		t.Errorf("%q, %v", got.Annotations, err)
	}
	got, err := c.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"data":{"k":"2"}}`), metav1.PatchOptions{})
	if err != nil || got.Annotations[corev1.LastAppliedConfigAnnotation] != said {
		t.Errorf("after another's patch: %q, %v", got.Annotations, err)
	}
}
