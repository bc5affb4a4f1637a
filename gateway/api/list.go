package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// The bounds of one piece of a list: the reader shows the first while the rest is still being written.
const (
	pieceObjects = 100
	pieceBytes   = 1 << 20
)

// list sends the objects that match, piece by piece, all of them as of one position.
func (s *Server) list(ctx context.Context, r bus.Request, stream bus.Stream) {
	if err := s.listing(ctx, r, stream); err != nil && ctx.Err() == nil {
		_ = sendFailure(ctx, stream, fmt.Errorf("%s: %w", wire.VerbList, err)) // a client that is gone cannot be told
	}
}

func (s *Server) listing(ctx context.Context, r bus.Request, stream bus.Stream) error {
	req, err := decode[wire.ReadRequest](r)
	if err != nil {
		return err
	}
	if len(req.Names) > 0 {
		return badRequest{errors.New("a list has no names: read them")}
	}
	v, now, err := s.viewAt(ctx, req.At, req.MinSeq)
	if err != nil {
		return err
	}
	m, err := s.matching(v, req)
	if err != nil {
		return err
	}
	l := lister{stream: stream, reply: wire.ReadReply{Position: endOf(v), Now: now, Objects: []json.RawMessage{}}}
	if err := l.all(ctx, m, v, now); err != nil {
		return err
	}
	return l.send(ctx) // also when there is nothing: the reader learns the position
}

// lister is a list under way.
type lister struct {
	stream bus.Stream
	reply  wire.ReadReply
	bytes  int
}

func (l *lister) all(ctx context.Context, m match, v projections.State, now time.Time) error {
	for o := range v.Objects(m.kind.Resource, m.namespace, now) {
		raw, ok, err := m.keep(v, o)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		l.reply.Objects, l.bytes = append(l.reply.Objects, raw), l.bytes+len(raw)
		if len(l.reply.Objects) < pieceObjects && l.bytes < pieceBytes {
			continue
		}
		if err := l.send(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) send(ctx context.Context) error {
	f := bus.Frame{Channel: wire.Stdout, Data: events.MustBody(l.reply)}
	l.reply.Objects, l.bytes = l.reply.Objects[:0], 0
	return l.stream.Send(ctx, f)
}
