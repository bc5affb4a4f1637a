package kube_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
)

func evictionOf(pod string, opts *metav1.DeleteOptions) *policyv1.Eviction {
	return &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: "default"}, DeleteOptions: opts}
}

// An evicted pod goes as a deleted one: it gets its grace, and the log says who
// evicted it.
func TestEvictionsDeleteWithGrace(t *testing.T) {
	h := open(t)
	h.podOn("p")
	c := h.client()
	evictions := c.PolicyV1().Evictions("default")
	pod, err := c.CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil || pod.DeletionTimestamp != nil {
		t.Fatalf("%+v, %v", pod, err)
	}
	grace := int64(7)
	for range 2 { // a second one changes nothing
		if err := evictions.Evict(t.Context(), evictionOf("p", &metav1.DeleteOptions{GracePeriodSeconds: &grace})); err != nil {
			t.Fatal(err)
		}
	}
	going, err := c.CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil || going.DeletionTimestamp == nil || going.DeletionGracePeriodSeconds == nil || *going.DeletionGracePeriodSeconds != grace {
		t.Errorf("the node has not said that it stopped: %+v, %v", going, err)
	}
	k := events.Key{Resource: events.Pods, Namespace: "default", Name: "p"}
	if e := h.lastEvent(k); e.Actor != "user:admin" || e.Message != "tester/1: create pods/eviction default/p" {
		t.Errorf("the log says %s, %q", e.Actor, e.Message)
	}
	none := int64(0)
	if err := evictions.Evict(t.Context(), evictionOf("p", &metav1.DeleteOptions{GracePeriodSeconds: &none})); err != nil {
		t.Error(err)
	}
	if _, err := c.CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("without any grace it is still there: %v", err)
	}
}

func TestEvictionsAreRefused(t *testing.T) {
	h := open(t)
	h.podOn("p")
	c := h.client()
	evict := func(e *policyv1.Eviction) error { return c.PolicyV1().Evictions("default").Evict(t.Context(), e) }
	uid, version := types.UID("11111111-1111-1111-1111-111111111111"), "1"
	policy := metav1.DeletionPropagation("Sideways")
	if err := evict(evictionOf("q", nil)); !apierrors.IsNotFound(err) {
		t.Errorf("no such pod: %v", err)
	}
	if err := evict(evictionOf("p", &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})); !apierrors.IsConflict(err) {
		t.Errorf("another life: %v", err)
	}
	if err := evict(evictionOf("p", &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &version}})); !apierrors.IsConflict(err) {
		t.Errorf("an old version: %v", err)
	}
	if err := evict(evictionOf("p", &metav1.DeleteOptions{PropagationPolicy: &policy})); !apierrors.IsInvalid(err) {
		t.Errorf("a policy that there is not: %v", err)
	}
	err := c.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("p").SubResource("eviction").Body(evictionOf("r", nil)).Do(t.Context()).Error()
	if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), "name in URL does not match") {
		t.Errorf("two names: %v", err)
	}
	err = c.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("p").SubResource("eviction").Body(&corev1.ConfigMap{}).Do(t.Context()).Error()
	if !apierrors.IsBadRequest(err) {
		t.Errorf("no eviction: %v", err)
	}
	if got, err := c.CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{}); err != nil || got.DeletionTimestamp != nil {
		t.Errorf("it was evicted all the same: %+v, %v", got, err)
	}
}

// A dry run is asked for in the query or in the body.
func TestEvictionsCanBeTried(t *testing.T) {
	h := open(t)
	h.podOn("p")
	c := h.client().CoreV1()
	dry := []string{metav1.DryRunAll}
	if err := h.client().PolicyV1().Evictions("default").Evict(t.Context(), evictionOf("p", &metav1.DeleteOptions{DryRun: dry})); err != nil {
		t.Error(err)
	}
	st := &metav1.Status{}
	err := c.RESTClient().Post().Namespace("default").Resource("pods").Name("p").SubResource("eviction").Param("dryRun", "All").Body(evictionOf("p", nil)).Do(t.Context()).Into(st)
	if err != nil || st.Status != metav1.StatusSuccess || st.Code != 201 {
		t.Errorf("%+v, %v", st, err)
	}
	if got, err := c.Pods("default").Get(t.Context(), "p", metav1.GetOptions{}); err != nil || got.DeletionTimestamp != nil {
		t.Errorf("it was no dry run: %+v, %v", got, err)
	}
}

// An evicted pod says so while it ends: the rules of Jobs go by that.
func TestTheEvictedSaySo(t *testing.T) {
	h := open(t)
	h.podOn("p")
	if err := h.client().PolicyV1().Evictions("default").Evict(t.Context(), evictionOf("p", nil)); err != nil {
		t.Fatal(err)
	}
	says := func() string {
		t.Helper()
		got, err := h.client().CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{})
		if err != nil || got.DeletionTimestamp == nil {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, c := range got.Status.Conditions {
			if c.Type == corev1.DisruptionTarget {
				return string(c.Status) + " " + c.Reason + " " + c.Message
			}
		}
		return ""
	}
	const want = "True EvictionByEvictionAPI Eviction API: evicting"
	if got := says(); got != want {
		t.Errorf("it says %q", got)
	}
	one := int64(1)
	if err := h.client().CoreV1().Pods("default").Delete(t.Context(), "p", metav1.DeleteOptions{GracePeriodSeconds: &one}); err != nil {
		t.Fatal(err)
	}
	if got := says(); got != want {
		t.Errorf("hurried it says %q", got)
	}
}

// What kubectl looks for before it evicts rather than deletes.
func TestEvictionsAreDiscovered(t *testing.T) {
	h := open(t)
	l, err := h.client().Discovery().ServerResourcesForGroupVersion("v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range l.APIResources {
		if r.Name == "pods/eviction" {
			if r.Kind != "Eviction" || r.Group != "policy" || r.Version != "v1" {
				t.Errorf("%+v", r)
			}
			return
		}
	}
	t.Error("no pods/eviction")
}
