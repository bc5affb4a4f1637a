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
	reply := wire.EventsReply{Now: now}
	if reply.Horizon, err = s.horizon(ctx, 0); err != nil {
		return nil, err
	}
	if h := reply.Horizon; h != nil && h.Time.Before(req.Since) {
		reply.Horizon = nil // nobody asked further back
	}
	for _, x := range t.Rows(wantedBy(req)) {
		if x.Row.Last.Before(req.Since) {
			continue
		}
		reply.Events = append(reply.Events, wire.Happened{Key: x.Key, Type: x.Row.Type, Reason: x.Row.Reason, From: x.Row.From,
			Message: x.Row.Message, Count: x.Row.Count, First: x.Row.First, Last: x.Row.Last, Seq: x.Row.Seq})
	}
	return reply, nil
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
