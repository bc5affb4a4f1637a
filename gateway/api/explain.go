package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/table"
	"github.com/stave-run/stave/projections/why"
)

// past reads from the log what concerns an object, up to a state.
func (s *Server) past(ctx context.Context, v projections.State, k events.Key) ([]events.Envelope, error) {
	f := why.For(v, k)
	b, err := s.Log.Bounds(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the log's bounds: %w", err)
	}
	var out []events.Envelope
	err = s.Log.Read(ctx, max(f.From, b.First), func(e events.Envelope) error {
		if e.Seq > v.Seq {
			return errEnough
		}
		if f.Keep(e) {
			out = append(out, e)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	return out, nil
}

// errEnough ends a reading of the log.
var errEnough = errors.New("enough")

// at reads single events of the log, for chains of causes.
func (s *Server) at(ctx context.Context) func(events.Seq) (events.Envelope, bool) {
	return func(seq events.Seq) (found events.Envelope, ok bool) {
		// What cannot be read ends the chain: below the horizon there is nothing.
		_ = s.Log.Read(ctx, seq, func(e events.Envelope) error {
			found, ok = e, e.Seq == seq
			return errEnough
		})
		return found, ok
	}
}

func (s *Server) why(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.WhyRequest](r)
	if err != nil {
		return nil, err
	}
	v, now, err := s.viewAt(ctx, req.At, req.MinSeq)
	if err != nil {
		return nil, err
	}
	log, err := s.past(ctx, v, req.Key)
	if err != nil {
		return nil, err
	}
	if len(log) == 0 {
		return wire.TextReply{Error: notFound(req.Key)}, nil
	}
	q := why.Question{State: v, Key: req.Key, Now: now, At: s.at(ctx), Log: log, Home: req.Home}
	if req.Key.Resource == events.Pods {
		q.Because = s.Explain(v, req.Key)
	}
	a := why.Why(q)
	return wire.TextReply{Text: a.String(), JSON: a.JSON()}, nil
}

func (s *Server) describe(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.DescribeRequest](r)
	if err != nil {
		return nil, err
	}
	v, now, err := s.viewAt(ctx, req.At, req.MinSeq)
	if err != nil {
		return nil, err
	}
	log, err := s.past(ctx, v, req.Key)
	if err != nil {
		return nil, err
	}
	text, ok := table.Describe(v, req.Key, now, why.EventsOf(log, req.Key))
	if !ok {
		return wire.TextReply{Error: notFound(req.Key)}, nil
	}
	return wire.TextReply{Text: text}, nil
}

func (s *Server) history(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.HistoryRequest](r)
	if err != nil {
		return nil, err
	}
	v, _, err := s.viewAt(ctx, req.At, 0)
	if err != nil {
		return nil, err
	}
	log, err := s.past(ctx, v, req.Key)
	if err != nil {
		return nil, err
	}
	var reply wire.HistoryReply
	for _, e := range why.History(log, req.Key) {
		reply.Rows = append(reply.Rows, told(e, req.Key))
	}
	if len(reply.Rows) == 0 {
		reply.Error = notFound(req.Key)
	}
	return reply, nil
}

func notFound(k events.Key) *metav1.Status {
	return &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound,
		Message: fmt.Sprintf("%s %q not found", k.Resource, k.Name)}
}
