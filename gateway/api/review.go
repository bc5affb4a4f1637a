package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// Reviewer asks webhooks and policies.
type Reviewer interface {
	// Asks tells whether anybody is to be asked about anything; when not, nothing
	// is prepared for it.
	Asks() bool
	// Review asks about one change of a state. next is the object as they want it, nil to
	// leave it; the error is who refuses.
	Review(ctx context.Context, v projections.State, p admit.Proposal) (next events.Object, warnings []string, err error)
}

// reviewTries bounds how often somebody is asked again because the object has
// changed meanwhile.
const reviewTries = 10

var errStillMoving = errors.New("the object changes faster than its webhooks and policies answer; try again")

func (s *Server) asks() bool { return s.Reviewer != nil && s.Reviewer.Asks() }

// reviewedOne is a request with what webhooks and policies say of it.
func (s *Server) reviewedOne(ctx context.Context, actor events.Actor, ask admit.Request) (admit.Request, error) {
	if !s.asks() {
		return ask, nil
	}
	v, now, err := s.writersView(ctx, actor, ask.ChangeRequest)
	if err != nil {
		return ask, fmt.Errorf("look at what would change: %w", err)
	}
	ask, _ = s.reviewed(ctx, actor, v, ask, now)
	return ask, nil
}

// reviewed asks about a request on a view, and is what would follow from it there.
func (s *Server) reviewed(ctx context.Context, actor events.Actor, v projections.State, ask admit.Request, now time.Time) (admit.Request, admit.Outcome) {
	for range reviewTries {
		asked, out := s.reviewedAs(ctx, actor, v, ask, now)
		again, err := unconverted(ctx, ask.Rules)
		if err != nil {
			return asked, admit.Outcome{Result: wire.Result{Key: out.Result.Key, Error: statusOf(err)}}
		}
		if !again {
			return asked, out
		}
	}
	return ask, admit.Outcome{Result: wire.Result{Key: admit.KeyOf(v, ask.Item), Error: statusOf(errStillMoving)}}
}

// reviewing is a request with what webhooks and policies say of it in a state, and what would follow from it there.
type reviewing func(projections.State, admit.Request) (admit.Request, admit.Outcome)

// each asks about requests in their order, each as after those before it.
func (r reviewing) each(v projections.State, asks []admit.Request, order []int, now time.Time) {
	for _, i := range order {
		var out admit.Outcome
		asks[i], out = r(v, asks[i])
		v = admit.Imagine(v, asks[i].Op, out.Drafts, now)
	}
}

// reviewedAs is reviewed with the conversions that are known. What admission refuses, or
// what changes nothing, nobody is asked about.
func (s *Server) reviewedAs(ctx context.Context, actor events.Actor, v projections.State, ask admit.Request, now time.Time) (admit.Request, admit.Outcome) {
	ask.Reviewed = nil
	out := admit.Admit(v, ask, now)
	if !s.asks() || out.Result.Error != nil || len(out.Drafts) == 0 {
		return ask, out
	}
	p := admit.Propose(v, ask, out, now)
	p.User = personOf(actor)
	p.Old, p.Next = s.opened(p.Old), s.opened(p.Next)
	ask.Reviewed = s.ask(ctx, v, p)
	return ask, admit.Admit(v, ask, now)
}

// personOf is the name of who asks.
func personOf(a events.Actor) string { return strings.TrimPrefix(string(a), string(events.User(""))) }

// opened is an object whose values can be read, if it is a Secret.
func (s *Server) opened(o events.Object) events.Object {
	if o == nil || s.Vault == nil {
		return o
	}
	return s.Vault.Show(o)
}

func (s *Server) ask(ctx context.Context, v projections.State, p admit.Proposal) *admit.Reviewed {
	r := &admit.Reviewed{Of: p.Of}
	next, warnings, err := s.Reviewer.Review(ctx, v, p)
	r.Warnings = warnings
	if err == nil && next != nil {
		r.Object, err = s.resealed(v, next, p.DryRun)
	}
	if err != nil {
		r.Refused = statusOf(err)
	}
	return r
}

// resealed is an object as a webhook left it, as admission takes it.
func (s *Server) resealed(v projections.State, o events.Object, dryRun bool) (json.RawMessage, error) {
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode object: %w", err)
	}
	if s.Vault == nil {
		return raw, nil
	}
	item := wire.Item{Object: raw}
	item, err = s.Vault.Seal(v, admit.KeyOf(v, item), item, dryRun)
	return item.Object, err
}

// submit asks webhooks and policies about all that would change, and then the
// writer; again when something of it changed meanwhile.
func (w *whole) submit(ctx context.Context) ([]events.Envelope, error) {
	for range reviewTries {
		if err := w.review(ctx); err != nil {
			return nil, err
		}
		made, err := w.s.Writer.Submit(ctx, Wish{Actor: w.actor, ID: w.req.ID, Message: w.req.Message, Change: events.ChangeID(w.req.ID), Decide: w.decide})
		if err != nil {
			return nil, err
		}
		again, err := unconverted(ctx, w.rules)
		if err != nil {
			return nil, err
		}
		if !again && !w.out.Moved {
			return made, nil
		}
	}
	return nil, errStillMoving
}

// review asks about each object in the order in which they would change, each on
// the view after those before it, and about what would be pruned.
func (w *whole) review(ctx context.Context) error {
	w.pruning = nil
	if !w.s.asks() {
		return nil
	}
	v, now, err := w.s.writersView(ctx, w.actor, w.req)
	if err != nil {
		return fmt.Errorf("look at what would change: %w", err)
	}
	for i := range w.asks {
		w.asks[i].Reviewed = nil
	}
	w.out = admit.Together(v, w.asks, now)
	if w.out.Refused > 0 {
		return nil // the writer will say so
	}
	reviewing(func(v projections.State, ask admit.Request) (admit.Request, admit.Outcome) {
		return w.s.reviewed(ctx, w.actor, v, ask, now)
	}).each(v, w.asks, w.out.Order, now)
	if w.req.Prune {
		return w.reviewPruned(ctx, v, now)
	}
	return nil
}

// reviewPruned asks about what would go. Who refuses that refuses the change.
func (w *whole) reviewPruned(ctx context.Context, v projections.State, now time.Time) error {
	w.prune(v, now)
	w.pruning = map[events.Key]bool{}
	for _, out := range w.pruned {
		k := out.Result.Key
		o, ok := v.Get(k)
		if !ok || len(out.Drafts) == 0 {
			continue
		}
		w.pruning[k] = true
		r := w.s.ask(ctx, v, admit.Proposal{User: personOf(w.actor), Key: k, Old: w.s.opened(o.Typed()), DryRun: w.req.DryRun, Of: o.Changed.Seq})
		if r.Refused != nil {
			return badRequest{fmt.Errorf("prune %s: %s", k, r.Refused.Message)}
		}
	}
	return nil
}

// unreviewed tells whether something would be pruned that nobody was asked about.
func (w *whole) unreviewed() bool {
	if w.pruning == nil {
		return false
	}
	for _, out := range w.pruned {
		if len(out.Drafts) > 0 && !w.pruning[out.Result.Key] {
			return true
		}
	}
	return false
}
