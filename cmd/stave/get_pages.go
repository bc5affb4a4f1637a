package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// comes is a target as it comes: a list in the pieces that the server sends, all of one position, everything else whole.
func (c *getCmd) comes(ctx context.Context, s *session, t target) iter.Seq2[wire.ReadReply, error] {
	if len(t.names) > 0 || c.SortBy != "" || c.ChunkSize <= 0 {
		return func(yield func(wire.ReadReply, error) bool) { yield(c.fetch(ctx, s, t)) }
	}
	return s.list(ctx, c.request(s, t))
}

// tables prints each target in pages of --chunk-size rows: the first is shown while the rest is on its way.
func (c *getCmd) tables(ctx context.Context, s *session, targets []target) error {
	var errs []error
	printed := 0
	for _, t := range targets {
		o := c.options(t)
		o.KindPrefix, o.Widths = o.KindPrefix || len(targets) > 1, &table.Widths{}
		n, err := c.paged(ctx, s, t, o, printed > 0)
		errs = append(errs, err)
		printed += n
	}
	err := errors.Join(errs...)
	if printed == 0 && err == nil && !c.IgnoreNotFound {
		s.sayNone(targets, c.AllNamespaces)
	}
	return err
}

// paged prints one target and tells how many rows that were; apart sets it off from what stands before it.
func (c *getCmd) paged(ctx context.Context, s *session, t target, o table.Options, apart bool) (printed int, err error) {
	var page table.Table
	flush := func() {
		if apart && len(page.Rows) > 0 {
			fmt.Fprintln(s.out)
			apart = false
		}
		fmt.Fprint(s.out, table.Print(page, o))
		o.NoHeaders = o.NoHeaders || len(page.Rows) > 0
		printed, page.Rows = printed+len(page.Rows), nil
	}
	var errs []error
	for piece, err := range c.comes(ctx, s, t) {
		errs = append(errs, err)
		some, err := c.table(t, piece.Objects, piece.Now)
		if err != nil {
			return printed, err
		}
		page.Columns, page.Rows = some.Columns, append(page.Rows, some.Rows...)
		if c.ChunkSize > 0 && int64(len(page.Rows)) >= c.ChunkSize {
			flush()
		}
	}
	flush()
	return printed, errors.Join(errs...)
}

// list reads a list piece by piece, as the server sends them.
func (s *session) list(ctx context.Context, r wire.ReadRequest) iter.Seq2[wire.ReadReply, error] {
	return func(yield func(wire.ReadReply, error) bool) {
		if r.At.IsZero() {
			r.At = s.at.Moment
		}
		ctx, cancel := context.WithTimeout(ctx, s.RequestTimeout)
		defer cancel()
		err := s.pieces(ctx, r, func(piece wire.ReadReply) bool { return yield(piece, nil) })
		if errors.Is(err, bus.ErrNoServer) {
			yield(s.read(ctx, r)) // which waits for one that starts; one of an older version serves no lists
			return
		}
		if err != nil {
			yield(wire.ReadReply{}, err)
		}
	}
}

// pieces calls f with each piece until it wants no more.
func (s *session) pieces(ctx context.Context, r wire.ReadRequest, f func(wire.ReadReply) bool) error {
	stream, err := s.dial(ctx, wire.Subject(s.user, wire.VerbList), r)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		frame, err := stream.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the list ended early: %w", err)
		}
		if frame.Channel == wire.Failed {
			return failedFrame(frame.Data)
		}
		var piece wire.ReadReply
		if err := json.Unmarshal(frame.Data, &piece); err != nil {
			return fmt.Errorf("decode a piece of the list: %w", err)
		}
		if !f(piece) {
			return nil
		}
	}
}
