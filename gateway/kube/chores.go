package kube

import (
	"context"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// chore is work that durable changes of one kind call for, and that may leave something for later.
type chore struct {
	of    events.Resource
	look  func(events.Key)           // at each object that is there or changes, before work
	work  func(context.Context) bool // false when something is left
	again time.Duration              // until that is tried again
}

// tend does a chore until the context ends. It begins with all objects, since somebody may have died before it was done.
func (s *Server) tend(ctx context.Context, c chore) {
	ring := make(chan struct{}, 1)
	stop := s.Views.OnDurable(func(_ projections.State, _ events.Envelope, changes []projections.Change) {
		for _, x := range changes {
			if x.Key.Resource != c.of || x.After == nil {
				continue
			}
			c.look(x.Key)
			select {
			case ring <- struct{}{}:
			default:
			}
		}
	})
	defer stop()
	for o := range s.Views.Durable().List(c.of, "") {
		c.look(o.Key)
	}
	next := time.After(0)
	for {
		select {
		case <-ring:
		case <-next:
		case <-ctx.Done():
			return
		}
		if next = nil; !c.work(ctx) {
			next = time.After(c.again)
		}
	}
}
