package api

import (
	"context"
	"fmt"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/why"
	"github.com/stave-run/stave/reconcilers"
)

// whole is one change of many objects under way: decided as one, and appended as
// one batch, or, when it is larger than that, carried out by the writer to its
// end, whatever happens in between.
type whole struct {
	s     *Server
	req   wire.ChangeRequest
	asks  []admit.Request
	rules admit.Rules
	actor events.Actor

	out     admit.Whole
	pruned  []admit.Outcome
	pruning map[events.Key]bool // what may be pruned, as webhooks and policies were asked; nil: they were not
	moved   []wire.Moved        // of what should not have
	past    bool                // it landed before: this is a retry
	view    projections.State   // what it was decided on
	now     time.Time
}

// changeWhole decides all items and what is pruned beside them, and appends what
// follows, or nothing.
func (s *Server) changeWhole(ctx context.Context, actor events.Actor, req wire.ChangeRequest, keys []events.Key) (any, error) {
	w := &whole{s: s, req: req, actor: actor, rules: s.rules()}
	for i := range req.Items {
		ask, _ := s.asking(actor, req, i, keys[i])
		ask.Rules = w.rules
		w.asks = append(w.asks, ask)
	}
	made, err := w.submit(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s %d objects: %w", req.Operation, len(req.Items), err)
	}
	switch {
	case len(w.moved) > 0:
		return wire.ChangeReply{Moved: s.whoMoved(ctx, w.moved)}, nil
	case req.DryRun:
		return w.rehearsed()
	case w.past:
		return s.answered(ctx, req, w.landed(), w.view.Seq)
	}
	reply := w.reply()
	w.number(&reply, made)
	var last events.Seq
	if len(made) > 0 {
		last = made[len(made)-1].Seq
	}
	return s.answered(ctx, req, reply, last)
}

// whoMoved adds what the log says of the changes that stand in the way.
func (s *Server) whoMoved(ctx context.Context, moved []wire.Moved) []wire.Moved {
	for i := range moved {
		if e, ok := s.at(ctx)(moved[i].Now); ok {
			m := &moved[i]
			m.Time, m.Actor, m.What, m.Message = e.Time, e.Actor, why.Words(e, m.Key), e.Message
		}
	}
	return moved
}

// decide runs in the writer. It may be asked more than once.
func (w *whole) decide(v projections.State, now time.Time) ([]reconcilers.Draft, error) {
	w.view, w.now, w.pruned = v, now, nil
	if _, w.past = v.Landed(w.op(0)); w.past && !w.req.DryRun {
		return nil, nil
	}
	if w.moved = admit.Unmoved(v, w.req.Unmoved); len(w.moved) > 0 {
		return nil, nil
	}
	w.out = admit.Together(v, w.asks, now)
	if w.out.Refused > 0 || w.out.Moved {
		return nil, nil
	}
	drafts := w.out.Drafts()
	if w.req.Prune {
		w.prune(v, now)
		if w.out.Moved = w.unreviewed(); w.out.Moved {
			return nil, nil
		}
		for _, p := range w.pruned {
			drafts = append(drafts, p.Drafts...)
		}
	}
	if err := bounded(len(drafts)); err != nil {
		return nil, err
	}
	if w.req.DryRun {
		return nil, nil
	}
	return drafts, nil
}

// bounded refuses what is too much for one change.
func bounded(n int) error {
	if n > bus.MaxChange {
		return badRequest{fmt.Errorf("%d objects would change, and at most %d do in one change: apply fewer at a time, or each by itself with --partial", n, bus.MaxChange)}
	}
	return nil
}

func (w *whole) prune(v projections.State, now time.Time) {
	stays := map[events.Key]bool{}
	for i, ask := range w.asks {
		stays[w.out.Outcomes[i].Result.Key] = true
		v = admit.Imagine(v, ask.Op, w.out.Outcomes[i].Drafts, now)
	}
	w.pruned = admit.Prune(v, admit.Request{ChangeRequest: w.req, Rules: w.rules}, stays, now)
}

// op is the operation id that the change's n-th event gets.
func (w *whole) op(n int) events.OpID {
	return events.NewOpID(w.s.Cluster, w.actor, w.req.ID, events.Key{}, n)
}

func (w *whole) reply() wire.ChangeReply {
	var reply wire.ChangeReply
	for _, out := range w.out.Outcomes {
		reply.Results = append(reply.Results, out.Result)
	}
	for _, out := range w.pruned {
		reply.Pruned = append(reply.Pruned, out.Result)
	}
	return reply
}

// number gives each result the sequence of its event.
func (w *whole) number(reply *wire.ChangeReply, made []events.Envelope) {
	next := 0
	take := func(r *wire.Result, drafts int) {
		if drafts > 0 && next+drafts <= len(made) {
			next += drafts
			r.Seq = made[next-1].Seq
		}
	}
	for _, i := range w.out.Order {
		take(&reply.Results[i], len(w.out.Outcomes[i].Drafts))
	}
	for i, out := range w.pruned {
		take(&reply.Pruned[i], len(out.Drafts))
	}
}

// rehearsed answers a dry run with the objects as they would be.
func (w *whole) rehearsed() (any, error) {
	reply, v := w.reply(), w.view
	for _, i := range w.out.Order {
		v = admit.Imagine(v, w.asks[i].Op, w.out.Outcomes[i].Drafts, w.now)
	}
	for i := range reply.Results {
		if reply.Results[i].Outcome == "" {
			continue // a refusal beside it keeps it from being
		}
		if err := w.s.fillObject(v, &reply.Results[i], w.now); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

// landed answers a retry from what the change left behind.
func (w *whole) landed() wire.ChangeReply {
	mine := map[events.Seq]bool{}
	for n := 0; ; n++ {
		seq, ok := w.view.Landed(w.op(n))
		if !ok {
			break
		}
		mine[seq] = true
	}
	var reply wire.ChangeReply
	for _, ask := range w.asks {
		r := wire.Result{Key: admit.KeyOf(w.view, ask.Item), Outcome: admit.Unchanged}
		if o, ok := w.view.Get(r.Key); ok && mine[o.Created.Seq] {
			r.Outcome, r.Seq = admit.Created, o.Created.Seq
		} else if last := w.view.LastSpec(r.Key); mine[last] {
			r.Outcome, r.Seq = admit.Configured, last
		}
		reply.Results = append(reply.Results, r)
	}
	return reply
}
