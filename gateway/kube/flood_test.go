package kube_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// clients are some for one user, each with connections of its own: one alone would
// hold its requests back by itself.
func (h *house) clients(user string, n int) []*kubernetes.Clientset {
	h.Helper()
	var out []*kubernetes.Clientset
	for range n {
		c := h.as(user, "system:masters")
		c.QPS = -1
		one, err := kubernetes.NewForConfig(c)
		if err != nil {
			h.Fatal(err)
		}
		out = append(out, one)
	}
	return out
}

// One user asks as much as it can, far more than is answered at a time. The other one
// beside it is never told to come later, and half of its answers come at once.
func TestAFloodLeavesOthersRoom(t *testing.T) {
	h := open(t)
	quiet := h.clients("quiet", 1)[0]
	for i := range 200 {
		if _, err := quiet.CoreV1().ConfigMaps("default").Create(t.Context(), configMap(fmt.Sprint("c", i), map[string]string{"a": "b"}), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	var answered, refused atomic.Int64
	for _, c := range h.clients("flood", 4) {
		for range 80 {
			flood.Go(func() {
				for ctx.Err() == nil {
					// client-go would wait as it is told to: this one does not.
					err := c.CoreV1().RESTClient().Get().Resource("configmaps").Namespace("default").MaxRetries(0).Do(ctx).Error()
					switch {
					case err == nil:
						answered.Add(1)
					case apierrors.IsTooManyRequests(err):
						refused.Add(1)
					case ctx.Err() == nil:
						t.Errorf("the flood met %v", err)
					}
				}
			})
		}
	}
	eventually(t, "the flood is more than is taken", func(context.Context) bool { return refused.Load() > 0 })
	var took []time.Duration
	for i := range 40 {
		begun := time.Now()
		err := quiet.CoreV1().RESTClient().Get().Resource("configmaps").Namespace("default").Name(fmt.Sprint("c", i)).MaxRetries(0).Do(t.Context()).Into(&corev1.ConfigMap{})
		if err != nil {
			t.Errorf("beside the flood: %v", err)
		}
		took = append(took, time.Since(begun))
	}
	stop()
	flood.Wait()
	slices.Sort(took)
	t.Logf("beside %d answers and %d refusals of the flood: median %s, worst %s", answered.Load(), refused.Load(), took[len(took)/2], took[len(took)-1])
	// A request that waits behind the flood waits for hundreds of lists. The bound is
	// generous: the machine is all busy with the flood.
	if median := took[len(took)/2]; median > 5*time.Second {
		t.Errorf("half of the answers took more than %s", median)
	}
}
