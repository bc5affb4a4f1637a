package kube_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// scaling waits until a watch tells of the scaling of a Deployment; it is the event's resourceVersion.
func scaling(t *testing.T, w watch.Interface, how watch.EventType, about string) string {
	t.Helper()
	late := time.After(2 * time.Minute)
	for {
		select {
		case x, open := <-w.ResultChan():
			e, ok := x.Object.(*corev1.Event)
			if !open || !ok {
				t.Fatalf("the watch ends with %+v", x)
			}
			if x.Type == how && e.Reason == "ScalingReplicaSet" && e.InvolvedObject.Name == about {
				return e.ResourceVersion
			}
		case <-late:
			t.Fatalf("nobody tells %s of %s", how, about)
		}
	}
}

// A watch tells what the log tells, as it happens; what happens again is a change. Its place is one among the events of
// clients, from which the next watch goes on.
func TestEventsOfTheLogAreWatched(t *testing.T) {
	h := open(t)
	c := h.client()
	sets := c.AppsV1().Deployments("default")
	list, err := c.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	begin := func(from string) watch.Interface {
		t.Helper()
		w, err := c.CoreV1().Events("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: from})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Stop)
		return w
	}
	w := begin(list.ResourceVersion)
	if _, err := sets.Create(t.Context(), workload("web", 2), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	scaling(t, w, watch.Added, "web")
	for _, replicas := range []string{"0", "2", "0", "2"} {
		if _, err := sets.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"replicas":`+replicas+`}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		scaledTo(t, h, replicas)
	}
	w = begin(scaling(t, w, watch.Modified, "web"))
	if _, err := sets.Create(t.Context(), workload("shop", 2), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	scaling(t, w, watch.Added, "shop")
}

// scaledTo waits until the ReplicaSet of web is to have so many pods.
func scaledTo(t *testing.T, h *house, replicas string) {
	t.Helper()
	until(t, "its ReplicaSet follows", func() bool {
		all, err := h.client().AppsV1().ReplicaSets("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		return err == nil && len(all.Items) == 1 && (*all.Items[0].Spec.Replicas == 0) == (replicas == "0")
	})
}

// Whoever asks for what is there is told all of it.
func TestEventsOfTheLogAreShownToWatches(t *testing.T) {
	h := open(t)
	c := h.client()
	if _, err := c.AppsV1().Deployments("default").Create(t.Context(), workload("web", 2), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually := func() bool {
		all, err := c.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "reason=ScalingReplicaSet"})
		return err == nil && len(all.Items) == 1
	}
	until(t, "it is told", eventually)
	w, err := c.EventsV1().Events("").Watch(t.Context(), metav1.ListOptions{FieldSelector: "reason=ScalingReplicaSet"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	select {
	case x := <-w.ResultChan():
		if e, ok := x.Object.(*eventsv1.Event); !ok || x.Type != watch.Added || e.Regarding.Name != "web" {
			t.Errorf("told %+v", x)
		}
	case <-time.After(2 * time.Minute):
		t.Error("told nothing")
	}
}
