package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// change decides each item in turn, each to stand or fall alone, and answers
// when all that was appended is durable.
func (s *Server) change(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.ChangeRequest](r)
	if err != nil {
		return nil, err
	}
	if err := sound(req); err != nil {
		return nil, badRequest{err}
	}
	var keys []events.Key
	if req.Items, keys, err = s.sealed(req.Items, req.DryRun); err != nil {
		return nil, err
	}
	var reply wire.ChangeReply
	switch {
	case req.Whole:
		return s.changeWhole(ctx, events.User(r.From), req, keys)
	case req.DryRun:
		reply.Results, err = s.rehearse(ctx, events.User(r.From), req, keys)
		return reply, err
	}
	var last events.Seq
	for i := range req.Items {
		result := s.changeOne(ctx, events.User(r.From), req, i, keys[i])
		last = max(last, result.Seq)
		reply.Results = append(reply.Results, result)
	}
	answer, err := s.answered(ctx, req, reply, last)
	if err == nil && req.Shred {
		err = s.shred(reply.Results)
	}
	return answer, err
}

// sound refuses what no client of ours asks.
func sound(req wire.ChangeRequest) error {
	switch {
	case req.ID == "":
		return errors.New("a change needs an id, so that a retry is not a second wish")
	case len(req.ID) > maxID:
		return fmt.Errorf("the id of a change has at most %d characters", maxID)
	case req.Prune && (req.Set == "" || !req.Whole || req.Operation != wire.Apply):
		return errors.New("to prune, a whole set has to be applied, and by its name")
	}
	return nil
}

// maxID bounds what a client may choose for all events of its change to carry.
const maxID = 64

// answered completes a reply when what it speaks of is durable.
func (s *Server) answered(ctx context.Context, req wire.ChangeRequest, reply wire.ChangeReply, last events.Seq) (any, error) {
	v := s.Views.Durable()
	if last != 0 {
		var err error
		if v, err = s.view(ctx, last); err != nil {
			return nil, fmt.Errorf("the change stands in the log at %d, but nobody knows yet whether it survives a power cut: %w", last, err)
		}
	}
	if req.Brief {
		named(v, reply.Results)
		return reply, nil
	}
	return reply, s.fillObjects(v, reply.Results)
}

func (s *Server) changeOne(ctx context.Context, actor events.Actor, req wire.ChangeRequest, i int, key events.Key) wire.Result {
	ask, id := s.asking(actor, req, i, key)
	for range reviewTries {
		reviewed, err := s.reviewedOne(ctx, actor, ask)
		if err != nil {
			return wire.Result{Key: key, Error: statusOf(err)}
		}
		out := s.submitOne(ctx, actor, reviewed, id, key)
		again, err := unconverted(ctx, ask.Rules)
		if err != nil {
			out.Result.Error = statusOf(err)
		}
		if err != nil || !again && !out.Moved {
			return out.Result
		}
	}
	return wire.Result{Key: key, Error: statusOf(errStillMoving)}
}

func (s *Server) submitOne(ctx context.Context, actor events.Actor, ask admit.Request, id string, key events.Key) admit.Outcome {
	req := ask.ChangeRequest
	var out admit.Outcome
	made, err := s.Writer.Submit(ctx, Wish{Actor: actor, ID: id, Key: key, Message: req.Message, Change: events.ChangeID(req.ID), Together: true,
		Decide: func(v projections.State, now time.Time) ([]reconcilers.Draft, error) {
			out = admit.Admit(v, ask, now)
			return out.Drafts, nil
		}})
	if err != nil {
		return admit.Outcome{Result: wire.Result{Key: key, Error: statusOf(fmt.Errorf("%s %s: %w", req.Operation, key, err))}}
	}
	if len(made) > 0 {
		out.Result.Seq = made[len(made)-1].Seq
	}
	return out
}

// asking is what admission is asked about the item that is about a key, and the id of its wish.
func (s *Server) asking(actor events.Actor, req wire.ChangeRequest, i int, key events.Key) (admit.Request, string) {
	item, id := req.Items[i], fmt.Sprintf("%s/%d", req.ID, i)
	if item.Operation != "" {
		req.Operation = item.Operation
	}
	ask := admit.Request{ChangeRequest: req, Item: item, Op: events.NewOpID(s.Cluster, actor, id, key, 0), Held: s.held(key), Rules: s.rules(),
		Asker: insider(actor)}
	if req.Resize {
		ask.Part = admit.PartResize
	}
	if req.Approval {
		ask.Part = admit.PartApproval
	}
	return ask, id
}

// insider is who asks at this door, where everybody may do everything.
func insider(actor events.Actor) admit.Asker {
	return admit.Asker{Name: personOf(actor), Groups: []string{admit.Masters, "system:authenticated"}}
}

// held are the node ports that are not to be had, if it can matter to an object.
func (s *Server) held(k events.Key) map[admit.Port]string {
	if s.Held == nil || k.Resource != events.Services {
		return nil
	}
	return s.Held()
}

// rehearse is a dry run: every item is decided by the code that a real change
// goes through, on a fork of the writer's view that the items before it have
// changed, so that a namespace and what lies in it can be tried together.
func (s *Server) rehearse(ctx context.Context, actor events.Actor, req wire.ChangeRequest, keys []events.Key) ([]wire.Result, error) {
	v, now, err := s.writersView(ctx, actor, req)
	if err != nil {
		return nil, fmt.Errorf("dry run: %w", err)
	}
	var results []wire.Result
	for i := range req.Items {
		ask, _ := s.asking(actor, req, i, keys[i])
		ask, out := s.reviewed(ctx, actor, v, ask, now)
		v = admit.Imagine(v, ask.Op, out.Drafts, now)
		if err := s.fillObject(v, &out.Result, now); err != nil {
			return nil, err
		}
		results = append(results, out.Result)
	}
	return results, nil
}

// writersView is what the writer decides on now. What is done with it need not
// hold the writer up.
func (s *Server) writersView(ctx context.Context, actor events.Actor, req wire.ChangeRequest) (v projections.State, now time.Time, err error) {
	_, err = s.Writer.Submit(ctx, Wish{Actor: actor, ID: req.ID, Message: req.Message,
		Decide: func(view projections.State, at time.Time) ([]reconcilers.Draft, error) {
			v, now = view, at
			return nil, nil
		}})
	return v, now, err
}

// named tells the uids that the objects of a brief answer got: of a change of several, only the log knows them.
func named(v projections.State, results []wire.Result) {
	for i := range results {
		r := &results[i]
		if o, ok := v.Get(r.Key); ok && r.Error == nil && r.Outcome != admit.Deleted {
			r.UID = o.UID
		}
	}
}

func (s *Server) fillObjects(v projections.State, results []wire.Result) error {
	now := s.Now()
	for i := range results {
		if err := s.fillObject(v, &results[i], now); err != nil {
			return err
		}
	}
	return nil
}

// fillObject shows the object as it is in the view; one that is gone has none, also
// when another one of its name has come already.
func (s *Server) fillObject(v projections.State, r *wire.Result, now time.Time) error {
	if r.Error != nil {
		return nil
	}
	o, ok := v.Object(r.Key, now)
	if !ok || r.Outcome == admit.Deleted && events.UID(o.GetUID()) != r.UID {
		return nil
	}
	raw, err := s.encode(v, o, r.Key.Resource)
	if err != nil {
		return err
	}
	r.Object, r.UID = raw, events.UID(o.GetUID())
	return nil
}
