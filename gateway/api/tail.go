package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/why"
)

// tail sends envelopes; only durable ones.
func (s *Server) tail(ctx context.Context, r bus.Request, stream bus.Stream) {
	err := s.tailing(ctx, r, stream)
	if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
		_ = sendFailure(ctx, stream, err) // a client that is gone cannot be told
	}
}

func (s *Server) tailing(ctx context.Context, r bus.Request, stream bus.Stream) error {
	req, err := decode[wire.TailRequest](r)
	if err != nil {
		return err
	}
	b, err := s.Log.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("read the log's bounds: %w", err)
	}
	f := newFilter(req.Filter)
	send := func(e events.Envelope) error { return f.send(ctx, stream, e) }
	from := req.From
	if from == 0 {
		from = max(b.First, b.Last+1-min(b.Last+1, events.Seq(max(0, req.Last))))
	}
	switch {
	case req.Since.Seq != 0:
		from = req.Since.Seq
	case !req.Since.IsZero():
		if from, err = s.firstSince(ctx, req.Since.Time); err != nil {
			return err
		}
	}
	if !req.Follow {
		if from > s.Log.Durable() {
			return io.EOF
		}
		return s.Log.Read(ctx, from, untilDurable(s.Log, send))
	}
	return s.Log.Follow(ctx, from, func(e events.Envelope) error {
		if err := s.Log.WaitDurable(ctx, e.Seq); err != nil {
			return err
		}
		return send(e)
	})
}

// untilDurable ends a reading at the watermark of its beginning.
func untilDurable(log bus.Log, f func(events.Envelope) error) func(events.Envelope) error {
	end := log.Durable()
	return func(e events.Envelope) error {
		if e.Seq > end {
			return io.EOF
		}
		return f(e)
	}
}

// filter is a tail's filter with the chain of causes that it has followed.
type filter struct {
	wire.TailFilter
	chain map[events.Seq]bool
}

func newFilter(f wire.TailFilter) *filter {
	return &filter{f, map[events.Seq]bool{f.Cause: true}}
}

func (f *filter) send(ctx context.Context, stream bus.Stream, e events.Envelope) error {
	if !f.matches(e) {
		return nil
	}
	b, err := json.Marshal(told(e, f.Key))
	if err != nil {
		return fmt.Errorf("encode event %d: %w", e.Seq, err)
	}
	return stream.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: b})
}

func (f *filter) matches(e events.Envelope) bool {
	if f.Cause != 0 {
		if !f.chain[e.Cause] && e.Seq != f.Cause {
			return false
		}
		f.chain[e.Seq] = true
	}
	if f.Actor != "" && string(e.Actor) != f.Actor {
		return false
	}
	if p, ok := strings.CutSuffix(f.Type, "*"); ok && !strings.HasPrefix(string(e.Type), p) || !ok && f.Type != "" && string(e.Type) != f.Type {
		return false
	}
	return f.Key.IsZero() || len(why.History([]events.Envelope{e}, f.Key)) > 0
}

// told is an envelope as people and programs get it; about is the object that
// was asked about, if one was.
func told(e events.Envelope, about events.Key) wire.TailEvent {
	return wire.TailEvent{Seq: e.Seq, Time: e.Time, Subject: e.Subject, Type: e.Type, Actor: e.Actor, Cause: e.Cause,
		Basis: e.Basis, Epoch: e.Epoch, Message: e.Message, What: why.Words(e, about), Body: e.Body,
		Version: e.Version, Now: e.Now, Op: e.Op, Change: e.Change, Reconciler: e.Reconciler}
}
