package node

import (
	"errors"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// A person told nobody to wait for a pod, and it is made anew at once on the same node:
// it begins when the one before is over, also where that takes long.
func TestANameRunsOnceOnANode(t *testing.T) {
	c, d := newCluster(t), newDouble()
	m := newMachine(t, c, d.open)
	m.start()
	c.run(shell("web-0", "true"))
	c.until("web-0", "the first runs", func(_ *projections.Pod, x projections.Container) bool { return x.Phase == projections.Running })
	d.fail(func(call string) error {
		if call == "stop" {
			return errors.New("busy")
		}
		return nil
	})
	c.remove("web-0")
	k, uid := podKey("web-0"), events.NewUID("the second")
	c.append(events.SpecSubject(k), events.TypeOf(k.Resource, events.VerbCreated), events.Created{UID: uid, Object: events.MustBody(shell("web-0", "true"))})
	c.append(events.AssignSubject(nodeName), events.PodsAssigned, events.Assigned{Pods: []events.Ref{{Key: k, UID: uid}}})
	eventually(t, "the first is being stopped", func() bool { return d.count("stop") > 0 })
	time.Sleep(5 * namePause) // what must not happen has no sign
	if d.count("start") != 1 {
		t.Fatal("the second began beside the first")
	}
	d.fail(func(string) error { return nil })
	c.until("web-0", "the second runs", func(p *projections.Pod, x projections.Container) bool {
		return p.UID == uid && x.Phase == projections.Running
	})
}

// A machine loses its power, and finds no control plane when it is back: it begins what may run any number of times, and
// leaves alone what may have been made elsewhere meanwhile, until it is told.
func TestANodeThatHearsNobodyBeginsNoName(t *testing.T) {
	c, m, d := small(t)
	m.start()
	for name, owner := range map[string]*events.Owner{"web-0": {Resource: events.StatefulSets, Name: "web", UID: "w"}, "alone": nil,
		"web-5d4f-x": {Resource: events.ReplicaSets, Name: "web-5d4f", UID: "r"}} {
		k := podKey(name)
		c.append(events.SpecSubject(k), events.TypeOf(k.Resource, events.VerbCreated), events.Created{UID: uidOf(k), Owner: owner, Object: events.MustBody(shell(name, "true"))})
		c.append(events.AssignSubject(nodeName), events.PodsAssigned, events.Assigned{Pods: []events.Ref{{Key: k, UID: uidOf(k)}}})
		c.untilReady(name)
	}
	c.leave()
	m.kill()
	d.mu.Lock()
	clear(d.boxes)
	clear(d.containers)
	d.mu.Unlock()
	m.start()
	eventually(t, "the replica begins", func() bool { return d.count("start") == 4 })
	time.Sleep(time.Second) // what must not happen has no sign
	if n := d.count("start"); n != 4 {
		t.Fatalf("%d containers began, though nobody told whether they run elsewhere", n-4)
	}
	c.serve()
	for _, name := range []string{"web-0", "alone"} {
		c.until(name, "running again", func(_ *projections.Pod, x projections.Container) bool { return x.Run == 2 && x.Ready })
	}
}
