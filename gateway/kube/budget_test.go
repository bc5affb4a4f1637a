package kube_test

import (
	"testing"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// serving lets the node of a pod say that it is ready.
func (h *house) serving(name string) {
	h.Helper()
	k := events.Key{Resource: events.Pods, Namespace: "default", Name: name}
	done, err := h.loop.Submit(h.Context(), run.Request{Actor: "test", ID: "ready " + name, Key: k, Decide: func(v projections.State, _ time.Time) ([]reconcilers.Draft, error) {
		p, _ := v.PodOf(k)
		return []reconcilers.Draft{{Subject: events.SeenSubject("n1"), Type: events.PodsSeen, Body: events.MustBody(events.Seen{Pods: []events.PodSeen{{
			Namespace: k.Namespace, Name: k.Name, UID: p.UID, Assigned: p.Assigned.Seq,
			Facts: []events.Fact{{Kind: events.FactSandbox, IP: "10.9.9.9"}, {Kind: events.FactStarted, Container: "c", Run: 1}, {Kind: events.FactReady, Container: "c", Run: 1}}}}})}}, nil
	}})
	if err != nil {
		h.Fatal(err)
	}
	if _, err := h.view.WaitDurable(h.Context(), done[0].Seq); err != nil {
		h.Fatal(err)
	}
}

// A budget says how many of its pods may go, and an eviction goes by it.
func TestEvictionsGoByBudgets(t *testing.T) {
	h := open(t)
	h.podOn("p")
	c := h.client()
	budgets, one := c.PolicyV1().PodDisruptionBudgets("default"), intstr.FromInt32(1)
	made, err := budgets.Create(t.Context(), &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "b"},
		Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{}}}, metav1.CreateOptions{})
	if err != nil || made.Generation != 1 || made.Status.ObservedGeneration != 1 || made.Status.ExpectedPods != 1 || made.Status.CurrentHealthy != 0 || made.Status.Conditions[0].Status != metav1.ConditionFalse {
		t.Fatalf("%+v, %v", made, err)
	}
	watch, err := budgets.Watch(t.Context(), metav1.ListOptions{ResourceVersion: made.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	h.serving("p")
	if e := <-watch.ResultChan(); e.Object.(*policyv1.PodDisruptionBudget).Status.CurrentHealthy != 1 {
		t.Errorf("told %+v", e.Object)
	}
	err = c.PolicyV1().Evictions("default").Evict(t.Context(), evictionOf("p", nil))
	if !apierrors.IsTooManyRequests(err) || !apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) {
		t.Fatalf("the only one: %v", err)
	}
	dry := evictionOf("p", &metav1.DeleteOptions{DryRun: []string{"All"}})
	if err := c.PolicyV1().Evictions("default").Evict(t.Context(), dry); !apierrors.IsTooManyRequests(err) {
		t.Errorf("a dry run: %v", err)
	}
	patched, err := budgets.Patch(t.Context(), "b", types.MergePatchType, []byte(`{"spec":{"minAvailable":0}}`), metav1.PatchOptions{})
	if err != nil || patched.Generation != 2 || patched.Status.DisruptionsAllowed != 1 || patched.Status.Conditions[0].Reason != policyv1.SufficientPodsReason {
		t.Fatalf("%+v, %v", patched, err)
	}
	if err := c.PolicyV1().Evictions("default").Evict(t.Context(), evictionOf("p", nil)); err != nil {
		t.Error(err)
	}
	said, err := budgets.Patch(t.Context(), "b", types.MergePatchType, []byte(`{"status":{"disruptedPods":{"p":"2026-01-01T00:00:00Z"}}}`), metav1.PatchOptions{}, "status")
	if err != nil || len(said.Status.DisruptedPods) != 1 || said.Status.DisruptionsAllowed != 0 {
		t.Errorf("%+v, %v", said, err)
	}
}
