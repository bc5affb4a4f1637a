package main

import (
	"context"
	"fmt"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/why"
)

// trees prints the log's events of the last while, one tree a cause: those trees
// in which anything is about what was asked for.
func (c *eventsCmd) trees(ctx context.Context, s *session, req wire.EventsRequest) error {
	stretch := replayCmd{To: c.At}
	if !req.Since.IsZero() && c.At.IsZero() {
		stretch.From = moment{wire.Moment{Time: req.Since}}
	}
	now := time.Now()
	var log []events.Envelope
	err := stretch.read(ctx, s, func(e wire.TailEvent, _ []byte) error {
		if log = append(log, e.Envelope()); !c.At.IsZero() {
			now = e.Time
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.At.Seq == 0 && !c.At.IsZero() {
		now = c.At.Time
	}
	about := func(e events.Envelope) bool {
		if !req.Key.IsZero() {
			return len(why.History([]events.Envelope{e}, req.Key)) > 0
		}
		return why.In(e, req.Namespace)
	}
	shown := 0
	for _, t := range why.Forest(log) {
		if !t.Any(about) {
			continue
		}
		shown++
		for _, line := range t.Lines(now) {
			fmt.Fprintln(s.out, line)
		}
	}
	if shown == 0 {
		c.sayNone(s)
	}
	return nil
}
