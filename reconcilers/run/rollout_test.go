package run

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stave-run/stave/reconcilers/stage"
)

func strategy(surge, away string) string {
	return `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":` + surge + `,"maxUnavailable":` + away + `}}`
}

// within checks after every event that a rollout stays inside its bounds.
func (c *cluster) within(most, least int) {
	c.check = func() {
		c.t.Helper()
		if all, ready, images := c.running(); all > most || ready < least {
			c.t.Fatalf("%d pods of at most %d, %d ready of at least %d: %v", all, most, ready, least, images)
		}
	}
}

// The room that Kubernetes gives: surge rounded up, unavailable down, and one
// that may be missing where both come to nothing.
func TestRolloutsStayWithinTheirBounds(t *testing.T) {
	for _, x := range []struct {
		replicas    int
		surge, away string
		most, least int
	}{
		{10, `"25%"`, `"25%"`, 13, 8},
		{10, `1`, `0`, 11, 10},
		{10, `0`, `1`, 10, 9},
		{10, `0`, `"35%"`, 10, 7},
		{10, `"100%"`, `0`, 20, 10},
		{10, `0`, `"100%"`, 10, 0},
		{3, `"25%"`, `"25%"`, 4, 3},
		{3, `0`, `"25%"`, 3, 2},
		{1, `"25%"`, `"25%"`, 2, 1},
		{1, `0`, `1`, 1, 0},
	} {
		t.Run(fmt.Sprintf("%d, %s, %s", x.replicas, x.surge, x.away), func(t *testing.T) {
			c := newCluster(t)
			for i := range 4 {
				c.Node(fmt.Sprintf("n%d", i), "16", "64Gi")
			}
			s := strategy(x.surge, x.away) + `,"minReadySeconds":3`
			c.Apply(web, deploymentOf(x.replicas, "nginx:1", s))
			c.settle()
			c.within(x.most, x.least)
			for _, image := range []string{"nginx:2", "nginx:1"} { // and back
				c.Apply(web, deploymentOf(x.replicas, image, s))
				c.settle()
				if _, ready, images := c.running(); images[image] != x.replicas || ready != x.replicas {
					t.Fatalf("%d ready of %v", ready, images)
				}
			}
		})
	}
}

// A template that never comes up costs no pod where a surge can try it, and
// without a surge no more than may be missing.
func TestBadImageInAnyStrategy(t *testing.T) {
	for _, x := range []struct {
		replicas int
		strategy string
		good     int // pods of the old image that stay
	}{
		{1, quarters, 1}, {4, quarters, 4}, {10, quarters, 10}, {10, strategy(`1`, `0`), 10}, {10, strategy(`"10%"`, `"50%"`), 10},
		{10, strategy(`0`, `3`), 7}, {1, strategy(`0`, `1`), 0},
	} {
		t.Run(fmt.Sprint(x.replicas, x.strategy), func(t *testing.T) {
			c := newCluster(t)
			c.Node("n1", "64", "64Gi")
			c.Apply(web, deploymentOf(x.replicas, "nginx:1", x.strategy))
			c.settle()
			c.Apply(web, deploymentOf(x.replicas, "bad", x.strategy))
			c.settle()
			if _, ready, images := c.running(); ready != x.good || images["nginx:1"] != x.good || images["bad"] == 0 {
				t.Errorf("%d ready of %v", ready, images)
			}
		})
	}
}

// What people do in the middle of a rollout.
func TestRolloutInterrupted(t *testing.T) {
	paused := func(object string) string { return strings.Replace(object, `"spec":{`, `"spec":{"paused":true,`, 1) }
	for _, x := range []struct {
		name   string
		do     func(c *cluster)
		pods   int
		images map[string]int // where it comes to rest; nil: all of them nginx:2
	}{
		{"scaled up", func(c *cluster) { c.Apply(web, deploymentOf(20, "nginx:2", quarters)) }, 20, nil},
		{"scaled down", func(c *cluster) { c.Apply(web, deploymentOf(3, "nginx:2", quarters)) }, 3, nil},
		{"scaled to nothing", func(c *cluster) { c.Apply(web, deploymentOf(0, "nginx:2", quarters)) }, 0, nil},
		{"rolled back", func(c *cluster) { c.Apply(web, deploymentOf(10, "nginx:1", quarters)) }, 10, map[string]int{"nginx:1": 10}},
		{"a third template", func(c *cluster) { c.Apply(web, deploymentOf(10, "nginx:3", quarters)) }, 10, map[string]int{"nginx:3": 10}},
		{"paused", func(c *cluster) { c.Apply(web, paused(deploymentOf(10, "nginx:2", quarters))) }, 13, map[string]int{"nginx:1": 5, "nginx:2": 8}},
		{"paused and resumed", func(c *cluster) {
			c.Apply(web, paused(deploymentOf(10, "nginx:2", quarters)))
			c.settle()
			c.Apply(web, deploymentOf(10, "nginx:2", quarters))
		}, 10, nil},
		{"its pods deleted", func(c *cluster) {
			for _, o := range c.Pods() {
				c.Delete(o.Key)
			}
		}, 10, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newCluster(t)
			c.Node("n1", "64", "64Gi")
			c.Apply(web, deploymentOf(10, "nginx:1", quarters))
			c.settle()
			c.Apply(web, deploymentOf(10, "nginx:2", quarters))
			c.decide()
			c.live()
			c.decide() // three new pods are ready, five old ones go, five more new ones come
			x.do(c)
			c.settle()
			all, ready, images := c.running()
			if x.images == nil {
				x.images = map[string]int{"nginx:2": x.pods}
				if x.pods == 0 {
					x.images = map[string]int{}
				}
			}
			if all != x.pods || ready != x.pods || fmt.Sprint(images) != fmt.Sprint(x.images) {
				t.Errorf("%d pods, %d ready, %v; want %v", all, ready, images, x.images)
			}
		})
	}
}

// Pods without room wait with a reason, and go where room appears.
func TestWaitingPodsGoWhereRoomAppears(t *testing.T) {
	for name, make := range map[string]func(c *cluster){
		"a new node":  func(c *cluster) { c.Node("n2", "2", "8Gi") },
		"an uncordon": func(c *cluster) { c.Apply(stage.NodeKey("n3"), `{"metadata":{"name":"n3"}}`) },
		"a return":    func(c *cluster) { c.Report("n4", true) },
		"a deletion":  func(c *cluster) { c.Delete(stage.In(web.Resource, "other")) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			for _, n := range []string{"n1", "n3", "n4"} {
				c.Node(n, "2", "8Gi")
			}
			c.Apply(stage.NodeKey("n3"), `{"metadata":{"name":"n3"},"spec":{"unschedulable":true}}`)
			c.Report("n4", false)
			c.decide()
			other := strings.NewReplacer(`"web"`, `"other"`).Replace(deploymentOf(4, "nginx:1", ""))
			c.Apply(stage.In(web.Resource, "other"), other)
			c.settle()
			c.Apply(web, deploymentOf(2, "nginx:1", ""))
			c.settle()
			_, before, _ := c.running()
			if before != 4 {
				t.Fatalf("%d ready without room", before)
			}
			make(c)
			c.settle()
			placed := 0
			for _, o := range c.Pods() {
				if o.Typed().GetLabels()["app"] == "web" && c.Row(o).Node != "" {
					placed++
				}
			}
			if placed != 2 {
				t.Errorf("%d placed", placed)
			}
		})
	}
}
