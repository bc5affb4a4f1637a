package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/table"
	"github.com/stave-run/stave/projections/why"
)

// past reads from the log what concerns an object, up to a state. It goes by the
// log's index, so that it costs what there is to tell and not what there is.
func (s *Server) past(ctx context.Context, v projections.State, k events.Key) ([]events.Envelope, error) {
	f := why.For(v, k)
	g := gathering{log: s.Log, from: f.From, to: v.Seq, found: map[events.Seq]events.Envelope{}, asked: map[events.Key]bool{}}
	for _, owner := range f.Above() {
		if _, err := g.about(ctx, owner); err != nil {
			return nil, err
		}
	}
	for family := []events.Key{k}; len(family) > 0; family = family[1:] {
		children, err := g.about(ctx, family[0])
		if err != nil {
			return nil, err
		}
		family = append(family, children...)
	}
	var out []events.Envelope
	for _, seq := range slices.Sorted(maps.Keys(g.found)) {
		if e := g.found[seq]; f.Keep(e) {
			out = append(out, e)
		}
	}
	return out, nil
}

// gathering collects the events that speak of some objects.
type gathering struct {
	log      bus.Log
	from, to events.Seq
	found    map[events.Seq]events.Envelope
	asked    map[events.Key]bool
}

// about adds the events that speak of an object and gives the objects that it
// is made the controller of.
func (g *gathering) about(ctx context.Context, k events.Key) (children []events.Key, err error) {
	if g.asked[k] {
		return nil, nil
	}
	g.asked[k] = true
	seqs, err := g.log.About(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("look in the log's index: %w", err)
	}
	seqs = slices.DeleteFunc(seqs, func(seq events.Seq) bool { return seq < g.from || seq > g.to })
	missing := slices.DeleteFunc(slices.Clone(seqs), func(seq events.Seq) bool { _, had := g.found[seq]; return had })
	err = g.log.At(ctx, missing, func(e events.Envelope) error {
		g.found[e.Seq] = e
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	for _, seq := range seqs {
		if about := events.About(g.found[seq]); len(about) == 2 && about[1] == k && g.found[seq].Subject.Class() == "spec" {
			children = append(children, about[0])
		}
	}
	return children, nil
}

// errEnough ends a reading of the log.
var errEnough = errors.New("enough")

// at reads single events of the log, for chains of causes.
func (s *Server) at(ctx context.Context) func(events.Seq) (events.Envelope, bool) {
	return func(seq events.Seq) (found events.Envelope, ok bool) {
		// What cannot be read ends the chain: below the horizon there is nothing.
		_ = s.Log.At(ctx, []events.Seq{seq}, func(e events.Envelope) error {
			found, ok = e, true
			return nil
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
	h, err := s.horizon(ctx, begun(log, req.Key))
	if len(log) == 0 || err != nil {
		return wire.TextReply{Error: notFound(req.Key), Horizon: h}, err
	}
	q := why.Question{State: v, Key: req.Key, Now: now, At: s.at(ctx), Log: log, Home: req.Home}
	if req.Key.Resource == events.Pods {
		if q.Config, err = s.configChanges(ctx, v, req.Key); err != nil {
			return nil, err
		}
		q.Because = s.Explain(v, req.Key)
	}
	a := why.Why(q)
	return wire.TextReply{Text: a.String(), JSON: a.JSON(), Horizon: h}, nil
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
		row := told(e, req.Key)
		if req.Plain {
			row.Body = nil
		}
		reply.Rows = append(reply.Rows, row)
	}
	if req.Diff {
		from, _, err := s.origin(ctx, req.Key) // without it the first change shows all fields
		if err != nil {
			return nil, err
		}
		edits := why.Edits(v, from, log, req.Key)
		for i := range reply.Rows {
			reply.Rows[i].Diff = edits[reply.Rows[i].Seq]
		}
	}
	if len(reply.Rows) == 0 {
		reply.Error = notFound(req.Key)
	}
	reply.Horizon, err = s.horizon(ctx, begun(log, req.Key))
	return reply, err
}

func notFound(k events.Key) *metav1.Status {
	return &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound,
		Message: fmt.Sprintf("%s %q not found", k.Resource, k.Name)}
}
