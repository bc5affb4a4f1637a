package api

import (
	"context"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// tree tells what belongs to an object, and whom it belongs to.
func (s *Server) tree(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.WhyRequest](r)
	if err != nil {
		return nil, err
	}
	v, now, err := s.viewAt(ctx, req.At, req.MinSeq)
	if err != nil {
		return nil, err
	}
	b, ok := table.TreeOf(v, req.Key, now)
	if !ok {
		return wire.TextReply{Error: notFound(req.Key)}, nil
	}
	return wire.TextReply{JSON: events.MustBody(b)}, nil
}
