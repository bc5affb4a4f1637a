package run

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/stage"
)

// hollow are nodes that start and stop at once what they are given, one flush a
// node and round, which is how the real ones speak.
type hollow struct {
	c     *cluster
	nodes []string
	told  map[string][]events.PodSeen
}

func newHollow(c *cluster, nodes int) *hollow {
	h := &hollow{c: c, told: map[string][]events.PodSeen{}}
	for i := range nodes {
		name := fmt.Sprintf("n%04d", i)
		c.Node(name, "64", "256Gi")
		h.nodes = append(h.nodes, name)
	}
	step := c.OnFold
	c.OnFold = func(e events.Envelope, changes []projections.Change) {
		step(e, changes)
		for _, ch := range changes {
			h.look(ch)
		}
	}
	return h
}

// look notes what a node will say about a changed row.
func (h *hollow) look(c projections.Change) {
	p := c.PodAfter
	if c.After == nil || p == nil || p.Node == "" || !p.Stopped.IsZero() {
		return
	}
	seen := events.PodSeen{Namespace: c.Key.Namespace, Name: c.Key.Name, UID: p.UID, Assigned: p.Assigned.Seq}
	switch {
	case c.After.Deletion != nil && c.Before != nil && c.Before.Deletion == nil:
		seen.Facts = []events.Fact{{Kind: events.FactStopped}}
	case c.After.Deletion == nil && (c.PodBefore == nil || c.PodBefore.Node == ""):
		seen.Facts = []events.Fact{{Kind: events.FactSandbox, IP: "10.0.0.1"}, {Kind: events.FactStarted, Container: "c", Run: 1},
			{Kind: events.FactReady, Container: "c", Run: 1}}
	default:
		return
	}
	h.told[p.Node] = append(h.told[p.Node], seen)
}

// speak appends what the nodes have to say; false when they have nothing.
func (h *hollow) speak() bool {
	said := false
	for _, n := range h.nodes {
		pods := h.told[n]
		if len(pods) == 0 {
			continue
		}
		delete(h.told, n)
		said = true
		h.c.Append(events.Envelope{Subject: events.SeenSubject(n), Type: events.PodsSeen, Actor: events.NodeActor(n),
			Body: events.MustBody(events.Seen{Pods: pods})})
	}
	return said
}

// pass is one turn of the loop: decisions on one view up to a batch of records.
func (h *hollow) pass() bool {
	c := h.c
	var works []Work
	v, records, asked := c.State, 0, 0
	for asked < maxAsked && records+c.step.widest <= maxPass {
		w, ok := c.step.Next(v, c.Now)
		if !ok {
			break
		}
		if w.Refused != nil {
			c.t.Fatal(w.Refused)
		}
		asked++
		records += len(w.Records)
		works = append(works, w)
	}
	for _, w := range works {
		first := c.State.Seq + 1
		for _, r := range w.Records {
			c.Append(r.Envelope)
		}
		c.step.Done(w, first, nil)
	}
	return asked > 0
}

// rest runs until nobody has anything to do.
func (h *hollow) rest() {
	for h.pass() || h.speak() {
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure reports what a piece of work took, per pod.
func measure(b *testing.B, pods int, work func()) {
	b.Helper()
	runtime.GC()
	began, busy := time.Now(), cpu()
	work()
	b.ReportMetric(float64(pods)/time.Since(began).Seconds(), "pods/s")
	b.ReportMetric((cpu()-busy).Seconds()*1000/float64(pods), "cpu-ms/pod")
}

// BenchmarkRollout is a deployment from the wish to the last ready pod: all
// decisions and the fold of all events, without a disk.
func BenchmarkRollout(b *testing.B) {
	for _, size := range []struct{ pods, nodes int }{{1000, 100}, {5000, 100}, {5000, 1000}, {20000, 1000}} {
		b.Run(fmt.Sprintf("pods=%d/nodes=%d", size.pods, size.nodes), func(b *testing.B) {
			for b.Loop() {
				c := newCluster(b)
				h := newHollow(c, size.nodes)
				h.rest()
				measure(b, size.pods, func() {
					c.Apply(web, deploymentOf(size.pods, "nginx:1", ""))
					h.rest()
				})
				c.want(size.pods, size.pods)
			}
		})
	}
}

// BenchmarkUpdate replaces all pods of a deployment, a quarter at a time, and
// BenchmarkDelete takes them all away.
func BenchmarkUpdate(b *testing.B) {
	const pods = 5000
	for b.Loop() {
		c := newCluster(b)
		h := newHollow(c, 100)
		c.Apply(web, deploymentOf(pods, "nginx:1", quarters))
		h.rest()
		measure(b, pods, func() {
			c.Apply(web, deploymentOf(pods, "nginx:2", quarters))
			h.rest()
		})
		c.want(pods, pods)
	}
}

const quarters = `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"}}`

// BenchmarkDelete is the other way: pods asked to go, stopped, and buried.
func BenchmarkDelete(b *testing.B) {
	const pods = 5000
	for b.Loop() {
		c := newCluster(b)
		h := newHollow(c, 100)
		c.Apply(web, deploymentOf(pods, "nginx:1", quarters))
		h.rest()
		measure(b, pods, func() {
			c.Delete(web)
			h.rest()
		})
		c.want(0, 0)
	}
}

// BenchmarkFold is one event of a rollout behind a service, folded as at a start.
func BenchmarkFold(b *testing.B) {
	c := newCluster(b)
	h := newHollow(c, 100)
	c.Apply(stage.In(events.Services, "web"), `{"metadata":{"name":"web"},"spec":{"selector":{"app":"web"},"clusterIP":"10.96.0.9","ports":[{"port":80}]}}`)
	c.Apply(web, deploymentOf(5000, "nginx:1", ""))
	h.rest()
	log := slices.Clone(c.Log)
	b.ReportAllocs()
	b.ResetTimer()
	s := projections.Empty()
	for i := 0; b.Loop(); i++ {
		if i%len(log) == 0 {
			s = projections.Empty()
		}
		s, _ = projections.Apply(s, log[i%len(log)])
	}
	b.ReportMetric(float64(5000)/float64(len(log)), "pods/event")
}
