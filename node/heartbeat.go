package node

import (
	"context"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// beat says every HeartbeatEvery that the agent lives. Nobody stores it; a lost one is followed by the next.
func (a *Agent) beat(ctx context.Context) {
	tick := time.NewTicker(projections.HeartbeatEvery)
	defer tick.Stop()
	for {
		m := bus.Message{Subject: projections.HeartbeatSubject(a.o.Name),
			Body: events.MustBody(projections.Heartbeat{Node: a.o.Name, Boot: a.boot})}
		if err := a.o.Wires.Publish(m); err != nil {
			a.log.Debug("heartbeat", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
