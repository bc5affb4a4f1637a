package run

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers/stage"
)

// Sets that are decided on the same view take no pod's place twice.
func TestQuotaOfManySets(t *testing.T) {
	c := newCluster(t)
	const most = 7
	q := stage.In(events.Quotas, "q")
	c.Apply(q, fmt.Sprintf(`{"metadata":{"name":"q"},"spec":{"hard":{"pods":"%d"}}}`, most))
	for i := range 5 {
		name := fmt.Sprint("set", i)
		c.Apply(stage.In(events.ReplicaSets, name), fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"replicas":4,"selector":{"matchLabels":{"app":%q}},
			"template":{"metadata":{"labels":{"app":%q}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`, name, name, name))
	}
	for range 100 {
		v := c.State // all that can be is decided on it, as the loop does
		var works []Work
		for w, ok := c.step.Next(v, c.Now); ok; w, ok = c.step.Next(v, c.Now) {
			works = append(works, w)
			if len(works) > 50 {
				t.Fatal("no end of decisions on one view")
			}
			if len(w.Records) == 0 {
				c.step.Done(w, 0, nil)
			}
		}
		for _, w := range works {
			if len(w.Records) == 0 {
				continue
			}
			first := c.State.Seq + 1
			for _, r := range w.Records {
				c.Append(r.Envelope)
			}
			c.step.Done(w, first, nil)
		}
		if n := len(c.Pods()); n > most {
			t.Fatalf("%d pods of at most %d", n, most)
		}
		if len(works) == 0 {
			break
		}
	}
	if n := len(c.Pods()); n != most {
		t.Errorf("%d pods, want %d", n, most)
	}
	o, _ := c.State.Object(q, c.Now)
	if used := o.(*corev1.ResourceQuota).Status.Used["pods"]; used.Value() != most {
		t.Errorf("used %s", used.String())
	}
}
