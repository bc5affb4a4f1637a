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
		wire.VerbBlame: s.telling(s.blame), wire.VerbRestarts: s.telling(s.restarts), wire.VerbUndo: s.undo,
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
func (s *Server) telling(tell func(context.Context, projections.State, []events.Envelope, events.Key) (wire.TextReply, error)) func(context.Context, bus.Request) (any, error) {
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
		return tell(ctx, v, log, req.Key)
	}
}

func (s *Server) restarts(ctx context.Context, _ projections.State, log []events.Envelope, k events.Key) (wire.TextReply, error) {
	h, err := s.horizon(ctx, begun(log, k))
	if len(log) == 0 || err != nil {
		return wire.TextReply{Error: notFound(k), Horizon: h}, err
	}
	r := why.RunsOf(log, k)
	return wire.TextReply{Text: r.String(), JSON: r.JSON(), Horizon: h}, nil
}
