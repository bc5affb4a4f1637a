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
