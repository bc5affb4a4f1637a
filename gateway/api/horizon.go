package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/why"
)

// belowHorizon says that a moment cannot be told any more. It is a
// *bus.HorizonError in words for people.
type belowHorizon struct {
	said  string
	first events.Seq
}

// Error implements error.
func (b *belowHorizon) Error() string { return b.said }

// Unwrap is what programs look for.
func (b *belowHorizon) Unwrap() error { return &bus.HorizonError{First: b.first} }

// horizon is where the log begins, when it was cut behind since: for answers
// that could have told of what came before.
func (s *Server) horizon(ctx context.Context, since events.Seq) (*wire.Horizon, error) {
	b, err := s.Log.Bounds(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the log's bounds: %w", err)
	}
	if b.First <= 1 || since >= b.First {
		return nil, nil
	}
	h := &wire.Horizon{First: b.First}
	if e, ok := s.at(ctx)(b.First); ok {
		h.Time = e.Time
	}
	return h, nil
}

// begun is where the log tells of an object's beginning; 0 when it does not.
func begun(log []events.Envelope, k events.Key) events.Seq {
	for _, e := range log {
		if own, err := e.Subject.Key(); err == nil && own == k && e.Subject.Class() == "spec" && e.Type.Verb() == events.VerbCreated {
			return e.Seq
		}
	}
	return 0
}

// origin is what the log's horizon left of an object, nil for nothing. lost says
// why what should be there is not.
func (s *Server) origin(ctx context.Context, k events.Key) (from *why.Origin, lost string, err error) {
	b, err := s.Log.Bounds(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("read the log's bounds: %w", err)
	}
	if s.Past == nil || b.First <= 1 {
		return nil, "", nil
	}
	from, bad := s.Past.Origin(b.First, k)
	switch {
	case errors.Is(bad, fs.ErrNotExist):
		lost = "nothing was kept of who set what by then"
	case bad != nil:
		lost = bad.Error()
	}
	return from, lost, nil
}

// blame tells who last set each field, also where that lies below the horizon.
func (s *Server) blame(ctx context.Context, v projections.State, log []events.Envelope, k events.Key) (wire.TextReply, error) {
	from, lost, err := s.origin(ctx, k)
	if err != nil {
		return wire.TextReply{}, err
	}
	b, ok := why.Blame(v, from, log, k)
	reply := wire.TextReply{Text: b.String(), JSON: b.JSON()}
	if !ok {
		reply = wire.TextReply{Error: notFound(k)}
	}
	if lost != "" || !ok {
		if reply.Horizon, err = s.horizon(ctx, begun(log, k)); reply.Horizon != nil {
			reply.Horizon.Lost = lost
		}
	}
	return reply, err
}
