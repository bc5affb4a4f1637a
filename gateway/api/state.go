package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// state sends a whole state of the past, in the form of a checkpoint.
func (s *Server) state(ctx context.Context, r bus.Request, stream bus.Stream) {
	if err := s.stating(ctx, r, stream); err != nil && ctx.Err() == nil {
		_ = sendFailure(ctx, stream, fmt.Errorf("%s: %w", wire.VerbState, err)) // a client that is gone cannot be told
	}
}

func (s *Server) stating(ctx context.Context, r bus.Request, stream bus.Stream) error {
	req, err := decode[wire.StateRequest](r)
	if err != nil {
		return err
	}
	v, _, err := s.viewAt(ctx, req.At, 0)
	var bad badRequest
	if errors.As(err, &bad) && errors.Is(bad.error, errBeforeLog) {
		v, err = projections.Empty(), nil
	}
	if err != nil {
		return err
	}
	to := frames{ctx, stream}
	if _, err := to.Write(events.MustBody(wire.StateHead{Seq: v.Seq, Version: projections.KeptVersion})); err != nil {
		return err
	}
	if v.Seq == 0 {
		return nil
	}
	rows := bufio.NewWriterSize(to, pieceBytes/4)
	if err := v.Keep(rows); err != nil {
		return err
	}
	return rows.Flush()
}

// frames writes each piece as a frame of its own.
type frames struct {
	ctx context.Context
	to  bus.Stream
}

// Write implements io.Writer.
func (f frames) Write(p []byte) (int, error) {
	if err := f.to.Send(f.ctx, bus.Frame{Channel: wire.Stdout, Data: slices.Clone(p)}); err != nil {
		return 0, fmt.Errorf("send the state: %w", err)
	}
	return len(p), nil
}
