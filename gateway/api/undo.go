package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/undo"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// undo appends the inverse of a change, whole or not at all.
func (s *Server) undo(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.UndoRequest](r)
	if err != nil {
		return nil, err
	}
	if req.ID == "" && !req.Preview {
		return nil, badRequest{errors.New("an undo needs an id, so that a retry is not a second wish")}
	}
	q, err := s.undoing(ctx, req)
	if err != nil {
		return nil, err
	}
	steps, made, err := s.submitUndo(ctx, events.User(r.From), req, q)
	var no *undo.Refusal
	if errors.As(err, &no) {
		return wire.UndoReply{Error: &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonConflict, Code: http.StatusConflict, Message: no.Said}}, nil
	}
	if err != nil {
		return nil, err
	}
	var reply wire.UndoReply
	for i, step := range steps {
		result := wire.Result{Key: step.Key, UID: step.UID, Outcome: step.Outcome}
		if i < len(made) {
			result.Seq = made[i].Seq
		}
		reply.Results = append(reply.Results, result)
	}
	if len(made) == 0 {
		return reply, nil
	}
	last := made[len(made)-1].Seq
	v, err := s.view(ctx, last)
	if err != nil {
		return nil, fmt.Errorf("the undo stands in the log at %d, but nobody knows yet whether it survives a power cut: %w", last, err)
	}
	return reply, s.fillObjects(v, reply.Results)
}

// undoing reads from the log what an undo rests on.
func (s *Server) undoing(ctx context.Context, req wire.UndoRequest) (undo.Question, error) {
	q := undo.Question{Force: req.Force}
	newest := s.Views.Durable()
	seq, err := s.whichChange(ctx, newest, req)
	if err != nil {
		return q, err
	}
	if q.Events, err = s.changeOf(ctx, seq, req.Only); err != nil {
		return q, err
	}
	first := q.Events[0].Seq
	if q.Before = projections.Empty(); first > 1 {
		if q.Before, err = s.refold(ctx, newest, wire.Moment{Seq: first - 1}); err != nil {
			return q, err
		}
	}
	q.Later, err = s.laterThan(ctx, newest, q)
	return q, err
}

// whichChange is a sequence of the change that is asked about.
func (s *Server) whichChange(ctx context.Context, newest projections.State, req wire.UndoRequest) (events.Seq, error) {
	if req.Change != "" {
		return s.findChange(req.Change)
	}
	b, err := s.Log.Bounds(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the log's bounds: %w", err)
	}
	if req.Seq == 0 {
		return 0, badRequest{errors.New("say which change: the log begins at sequence 1")}
	}
	return req.Seq, s.within(b, newest, wire.Moment{Seq: req.Seq})
}

// within wants room in the quotas for what an undo brings back.
func within(v projections.State, op events.OpID, drafts []reconcilers.Draft, now time.Time) error {
	if said := admit.Overdrawn(v, op, drafts, now); said != "" {
		return &undo.Refusal{Said: said}
	}
	return nil
}

// submitUndo decides on the writer's own view. made are the events appended, one
// a step; none for a preview.
func (s *Server) submitUndo(ctx context.Context, actor events.Actor, req wire.UndoRequest, q undo.Question) (steps []undo.Step, made []events.Envelope, err error) {
	message := fmt.Sprintf("undo of %d", q.Events[0].Seq)
	if req.Message != "" {
		message += ": " + req.Message
	}
	k, err := q.Events[0].Subject.Key()
	if err != nil { // no change of an object: Undo says so
		_, err = undo.Undo(q)
		return nil, nil, err
	}
	op := events.NewOpID(s.Cluster, actor, req.ID, k, 0)
	var landed []events.Envelope
	made, err = s.Writer.Submit(ctx, Wish{Actor: actor, ID: req.ID, Key: k, Message: message, Change: events.ChangeID(req.ID),
		Decide: func(v projections.State, now time.Time) ([]reconcilers.Draft, error) {
			if seq, ok := v.Landed(op); ok && !req.Preview {
				steps, landed = []undo.Step{{Key: k, Outcome: undo.Restored}}, []events.Envelope{{Seq: seq}} // a retry of what was done
				return nil, nil
			}
			var err error
			q.Now = v
			if steps, err = undo.Undo(q); err == nil {
				err = s.lasting(steps)
			}
			var drafts []reconcilers.Draft
			for _, step := range steps {
				drafts = append(drafts, step.Draft)
			}
			if err == nil {
				err = within(v, op, drafts, now)
			}
			if err != nil || req.Preview {
				return nil, err
			}
			return drafts, bounded(len(steps))
		}})
	if len(made) == 0 {
		made = landed
	}
	return steps, made, err
}
