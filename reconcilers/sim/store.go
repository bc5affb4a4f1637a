package sim

import (
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// store is the log: compare-and-append, batches whole or not at all.
type store struct {
	log    []events.Envelope
	last   map[events.Subject]events.Seq
	landed func(events.Envelope) // after each event
}

func newStore(landed func(events.Envelope)) *store {
	return &store{last: map[events.Subject]events.Seq{}, landed: landed}
}

func (s *store) end() events.Seq { return events.Seq(len(s.log)) }

func (s *store) append(now time.Time, batch []bus.Record) (events.Seq, error) {
	for _, r := range batch {
		if have := s.last[r.Envelope.Subject]; r.Expect != nil && *r.Expect != have {
			return 0, &bus.ConflictError{Subject: r.Envelope.Subject, Want: *r.Expect, Have: have}
		}
	}
	first := s.end() + 1
	for _, r := range batch {
		e := r.Envelope
		e.Seq, e.Time = s.end()+1, now
		s.log = append(s.log, e)
		s.last[e.Subject] = e.Seq
		s.landed(e)
	}
	return first, nil
}
