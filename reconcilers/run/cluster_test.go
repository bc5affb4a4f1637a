package run

import (
	"fmt"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/deployment"
	"github.com/stave-run/stave/reconcilers/gc"
	"github.com/stave-run/stave/reconcilers/namespace"
	"github.com/stave-run/stave/reconcilers/nodelife"
	"github.com/stave-run/stave/reconcilers/replicaset"
	"github.com/stave-run/stave/reconcilers/schedule"
	"github.com/stave-run/stave/reconcilers/stage"
)

func everyone() []reconcilers.Reconciler {
	return []reconcilers.Reconciler{deployment.Reconciler{}, replicaset.Reconciler{}, schedule.Reconciler{},
		nodelife.Reconciler{}, gc.Reconciler{}, namespace.Reconciler{}}
}

// test is what *testing.T, *testing.B and *rapid.T have in common.
type test interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// cluster is a world whose decisions a Step makes.
type cluster struct {
	*stage.World
	t     test
	step  *Step
	fail  func(round int) error // fate of an append, may be nil
	round int
	check func() // after each event, may be nil
}

func newCluster(t test) *cluster {
	step, err := NewStep("test", everyone()...)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{World: stage.New(), t: t, step: step}
	c.OnFold = func(e events.Envelope, changes []projections.Change) {
		step.Changed(c.State, e, changes)
		if c.check != nil {
			c.check()
		}
	}
	c.lease()
	return c
}

func (c *cluster) lease() {
	c.step.Lease(c.Append(events.Envelope{Subject: events.LeaseSubject, Type: events.LeaseTaken,
		Body: events.MustBody(events.Lease{Holder: "test"})}))
}

// decide lets the step work until it is idle at the present time.
func (c *cluster) decide() {
	c.t.Helper()
	for range 100000 {
		if c.step.Doubtful() {
			c.lease()
		}
		w, ok := c.step.Next(c.State, c.Now)
		if !ok {
			if !c.step.Idle() {
				c.t.Fatal("keys wait, but none is decided")
			}
			return
		}
		if w.Refused != nil {
			c.t.Fatal(w.Refused)
		}
		c.round++
		var err error
		if c.fail != nil && len(w.Records) > 0 {
			err = c.fail(c.round)
		}
		first := c.State.Seq + 1
		if err == nil {
			for _, r := range w.Records {
				c.expect(r.Envelope, r.Expect)
				c.Append(r.Envelope)
			}
		}
		c.step.Done(w, first, err)
	}
	c.t.Fatal("never idle")
}

func (c *cluster) expect(e events.Envelope, want *events.Seq) {
	c.t.Helper()
	if want == nil {
		return
	}
	var have events.Seq
	for i := len(c.Log) - 1; i >= 0 && have == 0; i-- {
		if c.Log[i].Subject == e.Subject {
			have = c.Log[i].Seq
		}
	}
	if have != *want {
		c.t.Fatalf("%s expects %d, the log has %d", e.Subject, *want, have)
	}
}

// live lets nodes that are not silent start and stop what they were given.
func (c *cluster) live() {
	for _, o := range c.Pods() {
		p := c.Row(o)
		if p.Node == "" || p.Lost || !p.Stopped.IsZero() {
			continue
		}
		switch {
		case o.Deletion != nil:
			c.Stopped(o)
		case strings.Contains(o.PodSpec().Containers[0].Image, "bad"):
			if len(p.Containers) == 0 {
				c.See(o, events.Fact{Kind: events.FactPullFailed, Container: "c", Reason: "ErrImagePull"})
			}
		case p.ReadySince.IsZero():
			c.Ready(o)
		}
	}
}

// settle runs decisions, nodes and time until nothing happens any more.
func (c *cluster) settle() {
	c.t.Helper()
	for range 1000 {
		before := c.State.Seq
		c.decide()
		c.live()
		c.decide()
		if c.State.Seq != before {
			continue
		}
		at := c.step.WakeAt()
		if at.IsZero() || at.Sub(c.Now) > time.Hour {
			return
		}
		c.Now = at
	}
	c.t.Fatal("never stable")
}

var web = stage.In(events.Deployments, "web")

func deploymentOf(replicas int, image, strategy string) string {
	if strategy == "" {
		strategy = `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":1}}`
	}
	return fmt.Sprintf(`{"metadata":{"name":"web","namespace":"default"},"spec":{"replicas":%d,"strategy":%s,
		"selector":{"matchLabels":{"app":"web"}},
		"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":%q,
			"resources":{"requests":{"cpu":"500m"}}}]}}}}`, replicas, strategy, image)
}

// running are the pods that nobody wants gone; ready are those of them that are.
func (c *cluster) running() (all, ready int, images map[string]int) {
	images = map[string]int{}
	for _, o := range c.Pods() {
		if o.Deletion != nil {
			continue
		}
		all++
		images[o.PodSpec().Containers[0].Image]++
		if p := c.Row(o); !p.ReadySince.IsZero() && !p.Lost {
			ready++
		}
	}
	return all, ready, images
}

func (c *cluster) want(pods, ready int) {
	c.t.Helper()
	if all, r, images := c.running(); all != pods || r != ready {
		c.t.Fatalf("%d pods, %d ready (want %d, %d): %v", all, r, pods, ready, images)
	}
	if c.State.Void != 0 {
		c.t.Fatalf("%d void events", c.State.Void)
	}
}

func twoNodes(t test) *cluster {
	c := newCluster(t)
	c.Node("n1", "4", "8Gi")
	c.Node("n2", "4", "8Gi")
	return c
}
