package run

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/deployment"
	"github.com/stave-run/stave/reconcilers/nodelife"
	"github.com/stave-run/stave/reconcilers/stage"
)

func TestLifeOfADeployment(t *testing.T) {
	c := twoNodes(t)
	c.Apply(web, deploymentOf(4, "nginx:1", ""))
	c.settle()
	c.want(4, 4)
	for _, o := range c.Pods() {
		if c.Row(o).Node == "" {
			t.Error("a pod without a node is ready")
		}
	}
	c.Apply(web, deploymentOf(4, "nginx:2", ""))
	c.settle()
	c.want(4, 4)
	if _, _, images := c.running(); images["nginx:2"] != 4 {
		t.Fatalf("after the update: %v", images)
	}
	if got := c.Get(web).Typed().GetAnnotations()[deployment.RevisionAnnotation]; got != "2" {
		t.Errorf("revision %q", got)
	}
	c.Apply(web, deploymentOf(0, "nginx:2", ""))
	c.settle()
	c.want(0, 0)
	c.Delete(web)
	c.settle()
	for o := range c.State.All() {
		if o.Key.Resource != events.Nodes {
			t.Errorf("%s is left", o.Key)
		}
	}
}

func TestRollbackReusesItsReplicaSet(t *testing.T) {
	c := twoNodes(t)
	for _, image := range []string{"nginx:1", "nginx:2", "nginx:1"} {
		c.Apply(web, deploymentOf(2, image, ""))
		c.settle()
	}
	sets := 0
	for o := range c.State.List(events.ReplicaSets, "") {
		sets++
		rs := projections.As[*appsv1.ReplicaSet](o)
		want := map[string]string{"nginx:1": "3", "nginx:2": "2"}[rs.Spec.Template.Spec.Containers[0].Image]
		if got := rs.Annotations[deployment.RevisionAnnotation]; got != want {
			t.Errorf("%s has revision %s, want %s", o.Key, got, want)
		}
	}
	if sets != 2 {
		t.Errorf("%d replica sets", sets)
	}
}

func TestBadTemplateTakesNoGoodPod(t *testing.T) {
	c := twoNodes(t)
	c.Apply(web, deploymentOf(4, "nginx:1", ""))
	c.settle()
	c.Apply(web, deploymentOf(4, "bad", ""))
	c.settle()
	_, ready, images := c.running()
	if ready != 4 || images["nginx:1"] != 4 || images["bad"] != 1 {
		t.Fatalf("ready %d of %v", ready, images)
	}
	c.Apply(web, deploymentOf(4, "nginx:3", ""))
	c.settle()
	if _, ready, images := c.running(); ready != 4 || images["nginx:3"] != 4 {
		t.Fatalf("after the repair: ready %d of %v", ready, images)
	}
}

func TestFullClusterStillRolls(t *testing.T) {
	c := newCluster(t)
	c.Node("n1", "2", "8Gi") // exactly four pods: a surge pod has no room
	c.Apply(web, deploymentOf(4, "nginx:1", ""))
	c.settle()
	c.want(4, 4)
	c.Apply(web, deploymentOf(4, "nginx:2", ""))
	c.settle()
	if _, ready, images := c.running(); ready != 4 || images["nginx:2"] != 4 {
		t.Fatalf("ready %d of %v", ready, images)
	}
}

func TestRecreateNeverOverlaps(t *testing.T) {
	c := twoNodes(t)
	c.Apply(web, deploymentOf(3, "nginx:1", `{"type":"Recreate"}`))
	c.settle()
	c.Apply(web, deploymentOf(3, "nginx:2", `{"type":"Recreate"}`))
	c.check = func() {
		images := map[string]int{}
		for _, o := range c.Pods() {
			if c.Row(o).Stopped.IsZero() {
				images[o.PodSpec().Containers[0].Image]++
			}
		}
		if len(images) > 1 {
			t.Fatalf("both run: %v", images)
		}
	}
	c.settle()
	c.want(3, 3)
}

func TestLostNodeIsLeft(t *testing.T) {
	c := twoNodes(t)
	c.Apply(web, deploymentOf(4, "nginx:1", ""))
	c.settle()
	c.Report("n1", false)
	lost := c.Now
	c.settle()
	if c.Now.Sub(lost) < nodelife.DefaultToleration {
		t.Errorf("evicted after %s", c.Now.Sub(lost))
	}
	c.want(4, 4)
	for _, o := range c.Pods() {
		if o.Deletion == nil && c.Row(o).Node != "n2" {
			t.Errorf("%s is on %s", o.Key, c.Row(o).Node)
		}
	}
	c.Report("n1", true)
	c.settle()
	for _, o := range c.Pods() {
		if o.Deletion != nil {
			t.Errorf("%s still terminates", o.Key)
		}
	}
}

func TestForegroundAndOrphanDeletion(t *testing.T) {
	c := twoNodes(t)
	c.Apply(web, deploymentOf(3, "nginx:1", ""))
	c.settle()
	c.DeleteWith(web, events.DeletionRequested{Foreground: true})
	c.decide()
	if c.Get(web) == nil {
		t.Fatal("the deployment went before its children")
	}
	c.settle()
	if c.Get(web) != nil || len(c.Pods()) != 0 {
		t.Fatal("something is left")
	}
	c.Apply(web, deploymentOf(3, "nginx:1", ""))
	c.settle()
	c.DeleteWith(web, events.DeletionRequested{Orphan: true})
	c.settle()
	c.want(3, 3)
	if c.Get(web) != nil {
		t.Fatal("the deployment is still there")
	}
	c.Apply(web, deploymentOf(3, "nginx:1", ""))
	c.settle()
	c.want(3, 3)
}

func TestNamespaceEmpties(t *testing.T) {
	c := twoNodes(t)
	ns := events.Key{Resource: events.Namespaces, Name: "default"}
	c.Apply(ns, `{"metadata":{"name":"default"}}`)
	c.Apply(stage.In(events.ConfigMaps, "conf"), `{"metadata":{"name":"conf"}}`)
	c.Apply(web, deploymentOf(5, "nginx:1", ""))
	c.settle()
	c.Delete(ns)
	c.settle()
	for o := range c.State.All() {
		if o.Key.Resource != events.Nodes {
			t.Errorf("%s is left", o.Key)
		}
	}
}

// Whatever people, nodes and a failing log do: never more pods than wished and
// surge, no node over what it has, and in the end all is as wished.
func TestAnyStory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := twoNodes(t)
		c.fail = func(round int) error { return fate(t) }
		replicas := rapid.IntRange(0, 6).Draw(t, "replicas")
		image := "nginx:1"
		c.Apply(web, deploymentOf(replicas, image, ""))
		most := replicas + 1
		c.check = func() { c.sound(most) }
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			switch rapid.IntRange(0, 7).Draw(t, "op") {
			case 0:
				replicas = rapid.IntRange(0, 6).Draw(t, "replicas")
				most = max(most, replicas+1)
				c.Apply(web, deploymentOf(replicas, image, ""))
			case 1:
				image = fmt.Sprintf("nginx:%d", rapid.IntRange(1, 3).Draw(t, "image"))
				c.Apply(web, deploymentOf(replicas, image, ""))
			case 2:
				if pods := c.Pods(); len(pods) > 0 {
					c.Delete(pods[rapid.IntRange(0, len(pods)-1).Draw(t, "pod")].Key)
				}
			case 3:
				c.Report("n2", rapid.Bool().Draw(t, "ready"))
			case 4:
				c.Now = c.Now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "seconds")) * time.Second)
			case 5:
				c.live()
			default:
				c.decide()
			}
		}
		c.Report("n2", true)
		c.fail = nil
		c.settle()
		c.want(replicas, replicas)
		if _, _, images := c.running(); images[image] != replicas {
			t.Fatalf("want %s: %v", image, images)
		}
	})
}

// sound checks what must hold after every event.
func (c *cluster) sound(most int) {
	c.t.Helper()
	wished := 0
	for _, o := range c.Pods() {
		if o.Deletion == nil && o.Owner != nil {
			wished++
		}
	}
	if wished > most {
		c.t.Fatalf("%d pods, at most %d", wished, most)
	}
	for _, n := range []string{"n1", "n2"} {
		if u := c.State.Used(n); u.CPU > 4000 || u.CPU != int64(u.Pods)*500 {
			c.t.Fatalf("%s holds %+v", n, u)
		}
	}
}

// A clock set back by an hour neither evicts at once nor keeps for an hour.
func TestClockSetBack(t *testing.T) {
	c := twoNodes(t)
	c.Apply(web, deploymentOf(4, "nginx:1", ""))
	c.settle()
	c.Now = c.Now.Add(-time.Hour) // the log's clock; the loop's goes on
	c.Report("n1", false)
	fold := c.State.Time
	if c.decide(); c.State.Time.Before(fold) {
		t.Fatal("fold time ran back")
	}
	n, _ := c.State.Node("n1")
	if n.Since.Time.Before(fold) {
		t.Errorf("silent since %s, and it is %s", n.Since.Time, fold)
	}
	for _, o := range c.Pods() {
		if o.Deletion != nil {
			t.Fatalf("%s was evicted at once", o.Key)
		}
	}
	if at := c.step.WakeAt(); at.Sub(fold) > nodelife.DefaultToleration || at.Sub(fold) < nodelife.DefaultToleration-time.Second {
		t.Errorf("wakes %s from now", at.Sub(fold))
	}
	last := projections.Mark{}
	for _, e := range c.Log {
		if e.Now.Before(last.Time) && !e.Now.IsZero() {
			t.Fatalf("event %d was decided at %s, an earlier one at %s", e.Seq, e.Now, last.Time)
		}
		last.Time = e.Now
	}
}

func TestLargeNamespaceGoesInPasses(t *testing.T) {
	c := twoNodes(t)
	ns := events.Key{Resource: events.Namespaces, Name: "default"}
	c.Apply(ns, `{"metadata":{"name":"default"}}`)
	const each = 400
	for i := range each {
		name := fmt.Sprintf("x%03d", i)
		for _, r := range []events.Resource{events.ConfigMaps, events.Services} {
			c.Apply(stage.In(r, name), `{"metadata":{"name":"`+name+`"}}`)
		}
		c.Apply(stage.PodKey(name), `{"metadata":{"name":"`+name+`"},"spec":{"nodeSelector":{"no":"where"},"containers":[{"name":"c"}]}}`)
	}
	slow := stage.PodKey("x007")
	c.Assign(c.Get(slow), "n1")
	c.decide()
	c.Delete(ns)
	c.decide()
	if left := listed(c.State); len(left) != 2+2*each || c.Get(slow) == nil || c.Get(ns) == nil {
		t.Fatalf("left %v", left) // the last pod keeps what it may need
	}
	c.settle()
	if left := listed(c.State); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// Pods of a node that somebody removed are replaced elsewhere.
func TestRemovedNodeIsLeft(t *testing.T) {
	c := twoNodes(t)
	c.Apply(web, deploymentOf(4, "nginx:1", ""))
	c.settle()
	c.Do(reconcilers.Remove(c.Get(stage.NodeKey("n1"))))
	c.settle()
	c.want(4, 4)
	for _, o := range c.Pods() {
		if c.Row(o).Node != "n2" {
			t.Errorf("%s is on %s", o.Key, c.Row(o).Node)
		}
	}
}
