package api

import (
	"context"
	"errors"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/why"
)

// ofTime are the verbs that look along the log.
func (s *Server) ofTime() map[string]func(context.Context, bus.Request) (any, error) {
	return map[string]func(context.Context, bus.Request) (any, error){
		wire.VerbBlame: s.telling(blame), wire.VerbRestarts: s.telling(restarts), wire.VerbUndo: s.undo,
		wire.VerbForesee: s.foresee, wire.VerbSeal: s.seal, wire.VerbChanges: s.changes,
		wire.VerbRevision: s.revision,
	}
}

// seal has the log sealed, for whoever archives it.
func (s *Server) seal(ctx context.Context, _ bus.Request) (any, error) {
	if s.Seal == nil {
		return nil, badRequest{errors.New("this log is not sealed")}
	}
	var reply wire.SealReply
	var err error
	reply.Seq, reply.Checkpoint, err = s.Seal(ctx)
	return reply, err
}

// telling answers about one object from the events that concern it.
func (s *Server) telling(tell func(projections.State, []events.Envelope, events.Key) wire.TextReply) func(context.Context, bus.Request) (any, error) {
	return func(ctx context.Context, r bus.Request) (any, error) {
		req, err := decode[wire.WhyRequest](r)
		if err != nil {
			return nil, err
		}
		v, _, err := s.viewAt(ctx, req.At, req.MinSeq)
		if err != nil {
			return nil, err
		}
		log, err := s.past(ctx, v, req.Key)
		if err != nil {
			return nil, err
		}
		return tell(v, log, req.Key), nil
	}
}

func blame(v projections.State, log []events.Envelope, k events.Key) wire.TextReply {
	b, ok := why.Blame(v, log, k)
	if !ok {
		return wire.TextReply{Error: notFound(k)}
	}
	return wire.TextReply{Text: b.String(), JSON: b.JSON()}
}

func restarts(_ projections.State, log []events.Envelope, k events.Key) wire.TextReply {
	if len(log) == 0 {
		return wire.TextReply{Error: notFound(k)}
	}
	r := why.RunsOf(log, k)
	return wire.TextReply{Text: r.String(), JSON: r.JSON()}
}
