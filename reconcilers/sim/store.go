package sim

import (
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// store is the log: compare-and-append, batches whole or not at all.
type store struct {
	log    []events.Envelope // all of it: the judges and replicas that fold read also what was cut off
	first  events.Seq        // what came before is cut off; 0: nothing is
	last   map[events.Subject]events.Seq
	landed func(events.Envelope) // after each event
}

func newStore(landed func(events.Envelope)) *store {
	return &store{last: map[events.Subject]events.Seq{}, landed: landed}
}

func (s *store) end() events.Seq { return events.Seq(len(s.log)) }

func (s *store) append(now time.Time, batch []bus.Record) (events.Seq, error) {
	for _, r := range batch {
		if have := s.last[r.Envelope.Subject]; r.Expect != nil && *r.Expect != have && (*r.Expect >= s.first || have != 0) {
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

// cut forgets the subjects that have nothing from a sequence on.
func (s *store) cut(first events.Seq) {
	s.first = max(s.first, first)
	//stave:sorted each is judged for itself
	for subject, seq := range s.last {
		if seq < s.first {
			delete(s.last, subject)
		}
	}
}
