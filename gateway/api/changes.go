package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/why"
)

const (
	// changeSpan is how far the events of one change lie apart at most: it is one
	// request, and a request that takes longer has been given up by its client.
	changeSpan = 10 * time.Minute
	// maxChanges bounds one list of changes.
	maxChanges = 1000
	// window is how many events are read at first when the log is read backwards.
	window = 2048
	// widest is how many are held at once, however far back it goes.
	widest = 1 << 16
)

// wished tells whether an event is what a person asked for, rather than what followed.
func wished(e events.Envelope) bool {
	return e.Subject.Class() == "spec" && strings.HasPrefix(string(e.Actor), "user:")
}

// changeOf are all events of the change that an event belongs to, oldest first;
// the event alone when it belongs to none.
func (s *Server) changeOf(ctx context.Context, seq events.Seq, alone bool) ([]events.Envelope, error) {
	it, ok := s.at(ctx)(seq)
	if !ok {
		return nil, badRequest{fmt.Errorf("there is no event %d in the log", seq)}
	}
	if alone || it.Change == "" || !wished(it) {
		return []events.Envelope{it}, nil
	}
	from, err := s.firstSince(ctx, it.Time.Add(-changeSpan))
	if err != nil {
		return nil, err
	}
	var out []events.Envelope
	err = s.Log.Read(ctx, from, func(e events.Envelope) error {
		if e.Time.After(it.Time.Add(changeSpan)) {
			return errEnough
		}
		if wished(e) && e.Change == it.Change && e.Actor == it.Actor {
			out = append(out, e)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	return out, nil
}

// findChange is an event of the newest change whose id begins so.
func (s *Server) findChange(ctx context.Context, begins string) (events.Seq, error) {
	var found events.Seq
	err := s.backwards(ctx, func(e events.Envelope) bool {
		if wished(e) && strings.HasPrefix(string(e.Change), begins) {
			found = e.Seq
		}
		return found == 0
	})
	if err == nil && found == 0 {
		err = badRequest{fmt.Errorf("no change in the log has an id that begins with %q\nhelp: stave undo lists the last ones", begins)}
	}
	return found, err
}

// changes lists what people changed last.
func (s *Server) changes(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.ChangesRequest](r)
	if err != nil {
		return nil, err
	}
	most := req.Last
	if most <= 0 || most > maxChanges {
		most = maxChanges
	}
	type wish struct {
		actor events.Actor
		id    events.ChangeID
	}
	at := map[wish]int{}
	reply := wire.ChangesReply{Now: s.Now()}
	err = s.backwards(ctx, func(e events.Envelope) bool {
		if !wished(e) {
			return true
		}
		row := wire.MadeChange{ID: e.Change, Seq: e.Seq, Time: e.Time, Actor: e.Actor, Message: e.Message, What: why.Words(e, events.Key{}), Count: 1}
		i, known := at[wish{e.Actor, e.Change}]
		if e.Change != "" && known {
			row.Count += reply.Changes[i].Count
			reply.Changes[i] = row
			return true
		}
		at[wish{e.Actor, e.Change}] = len(reply.Changes)
		reply.Changes = append(reply.Changes, row)
		return len(reply.Changes) <= most
	})
	reply.Changes = reply.Changes[:min(len(reply.Changes), most)] // of the one beyond, not all events were seen
	return reply, err
}

// backwards calls f for every durable event from the newest one on, until it
// has seen enough. It reads the log in windows, each twice as long as the one
// after it.
func (s *Server) backwards(ctx context.Context, f func(events.Envelope) (more bool)) error {
	b, err := s.Log.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("read the log's bounds: %w", err)
	}
	end := s.Log.Durable()
	for long := events.Seq(window); end >= b.First && end > 0; long = min(2*long, widest) {
		from := b.First
		if end-b.First >= long {
			from = end - long + 1
		}
		var read []events.Envelope
		err := s.Log.Read(ctx, from, func(e events.Envelope) error {
			if e.Seq > end {
				return errEnough
			}
			read = append(read, e)
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return fmt.Errorf("read the log: %w", err)
		}
		for _, e := range slices.Backward(read) {
			if !f(e) {
				return nil
			}
		}
		end = from - 1
	}
	return nil
}
