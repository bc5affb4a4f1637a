package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/table"
	"github.com/stave-run/stave/projections/why"
)

func (s *Server) happenings(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.EventsRequest](r)
	if err != nil {
		return nil, err
	}
	v, now, err := s.viewAt(ctx, req.At, 0)
	if err != nil {
		return nil, err
	}
	if !req.At.IsZero() && req.Back > 0 {
		req.Since = now.Add(-req.Back)
	}
	reply := wire.EventsReply{Now: now}
	if reply.Events, err = s.happened(ctx, v, req); err != nil {
		return nil, err
	}
	if reply.Horizon, err = s.horizon(ctx, 0); err != nil {
		return nil, err
	}
	if h := reply.Horizon; h != nil && h.Time.Before(req.Since) {
		reply.Horizon = nil // nobody asked further back
	}
	return reply, nil
}

// Happened is what happened since a time, for the other door: to one object, or in
// a namespace, or everywhere.
func (s *Server) Happened(ctx context.Context, about events.Key, namespace string, since time.Time) ([]wire.Happened, error) {
	v, _, err := s.viewAt(ctx, wire.Moment{}, 0)
	if err != nil {
		return nil, err
	}
	req := wire.EventsRequest{Key: about, Namespace: namespace, Since: since}
	if about.IsZero() {
		return s.happened(ctx, v, req)
	}
	log, err := s.past(ctx, v, about) // by the log's index
	if err != nil {
		return nil, err
	}
	var out []wire.Happened
	for _, r := range why.EventsOf(log, about) {
		if !r.Last.Before(since) {
			out = append(out, happenedTo(about, r))
		}
	}
	return out, nil
}

// happened reads what happened out of the log.
func (s *Server) happened(ctx context.Context, v projections.State, req wire.EventsRequest) ([]wire.Happened, error) {
	from, err := s.firstSince(ctx, req.Since)
	if err != nil {
		return nil, err
	}
	t := why.NewTeller(v)
	err = s.Log.Read(ctx, from, func(e events.Envelope) error {
		if e.Seq > v.Seq {
			return errEnough
		}
		t.Take(e)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	var out []wire.Happened
	for _, x := range t.Rows(wantedBy(req)) {
		if !x.Row.Last.Before(req.Since) {
			out = append(out, happenedTo(x.Key, x.Row))
		}
	}
	return out, nil
}

func happenedTo(k events.Key, r table.EventRow) wire.Happened {
	return wire.Happened{Key: k, Type: r.Type, Reason: r.Reason, From: r.From, Message: r.Message, Count: r.Count, First: r.First, Last: r.Last, Seq: r.Seq}
}

// wantedBy tells of which objects a request asks. What happens to nodes is told
// in the default namespace, as Kubernetes does.
func wantedBy(req wire.EventsRequest) func(events.Key) bool {
	return func(k events.Key) bool {
		in := k.Namespace
		if in == "" {
			in = metav1.NamespaceDefault
		}
		return k == req.Key || req.Key.IsZero() && (req.Namespace == "" || req.Namespace == in)
	}
}

// firstSince is the first event of the log that is not older than a time; it
// looks at few of them.
func (s *Server) firstSince(ctx context.Context, since time.Time) (events.Seq, error) {
	b, err := s.Log.Bounds(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the log's bounds: %w", err)
	}
	low, high := b.First, b.Last+1
	for low < high && !since.IsZero() {
		middle := low + (high-low)/2
		e, ok := s.at(ctx)(middle)
		if ok && e.Time.Before(since) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}
