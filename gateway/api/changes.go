package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/undo"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/why"
)

const (
	// changeSpan is how far the events of one change lie apart at most: it is one
	// request, and a request that takes longer has been given up by its client.
	changeSpan = 10 * time.Minute
	// maxChanges bounds one list of changes.
	maxChanges = 1000
)

// changeOf are all events of the change that an event belongs to, oldest first;
// the event alone when it belongs to none.
func (s *Server) changeOf(ctx context.Context, seq events.Seq, alone bool) ([]events.Envelope, error) {
	it, ok := s.at(ctx)(seq)
	if !ok {
		return nil, badRequest{fmt.Errorf("there is no event %d in the log", seq)}
	}
	if alone || it.Change == "" || !it.Wished() && it.Type != events.ChangeAsked {
		return []events.Envelope{it}, nil
	}
	for _, w := range s.Views.Durable().Wishes() {
		if w.Actor == it.Actor && w.ID == it.Change {
			return nil, badRequest{fmt.Errorf("the change of %d is still being carried out: %d of its %d events are in the log", w.Asked.Seq, w.Done, w.Of)}
		}
	}
	from, within, err := s.spanOf(ctx, it)
	if err != nil {
		return nil, err
	}
	var out []events.Envelope
	err = s.Log.Read(ctx, from, func(e events.Envelope) error {
		if !within(e, len(out)) {
			return errEnough
		}
		if e.Wished() && e.Change == it.Change && e.Actor == it.Actor {
			out = append(out, e)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	return out, nil
}

// spanOf is the part of the log in which the events of a change lie: known, for
// the last thousands of them; told by the event before a large one; else by how
// long a request takes at most.
func (s *Server) spanOf(ctx context.Context, it events.Envelope) (from events.Seq, within func(e events.Envelope, found int) bool, err error) {
	if m, ok := s.Views.Durable().MadeBy(it.Actor, it.Change); ok {
		return m.First, func(e events.Envelope, _ int) bool { return e.Seq <= m.Last }, nil
	}
	asked := it
	if it.Cause != 0 {
		asked, _ = s.at(ctx)(it.Cause)
	}
	if asked.Type == events.ChangeAsked {
		b, err := events.Decode[events.Asked](asked)
		return asked.Seq, func(_ events.Envelope, found int) bool { return found < b.Of }, err
	}
	from, err = s.firstSince(ctx, it.Time.Add(-changeSpan))
	return from, func(e events.Envelope, _ int) bool { return !e.Time.After(it.Time.Add(changeSpan)) }, err
}

// findChange is an event of the newest change whose id begins so.
func (s *Server) findChange(begins string) (events.Seq, error) {
	for _, m := range s.Views.Durable().LastMade() {
		if m.ID != "" && strings.HasPrefix(string(m.ID), begins) {
			return m.First, nil
		}
	}
	return 0, badRequest{fmt.Errorf("none of the last changes has an id that begins with %q\nhelp: stave undo lists the last ones; an older one is undone by a sequence, as stave history TYPE/NAME tells it", begins)}
}

// nearby is how many events are read in one go for each object, rather than
// looked for in the index.
const nearby = 64

// laterThan reads what an undo has to know of what came after the change.
func (s *Server) laterThan(ctx context.Context, newest projections.State, q undo.Question) (out []events.Envelope, err error) {
	mine, keys := map[events.Seq]bool{}, map[events.Key]bool{}
	for _, e := range q.Events {
		mine[e.Seq] = true
		if k, err := e.Subject.Key(); err == nil {
			keys[k] = true
		}
	}
	first := q.Events[0].Seq
	keep := func(e events.Envelope) error {
		if e.Seq >= first && e.Subject.Class() == "spec" && !mine[e.Seq] {
			out = append(out, e)
		}
		return nil
	}
	if newest.Seq-min(first, newest.Seq) <= events.Seq(nearby*len(keys)) {
		err = s.Log.Read(ctx, first, keep)
	} else {
		var seqs []events.Seq
		if seqs, err = s.about(ctx, newest, keys); err == nil {
			err = s.Log.At(ctx, seqs, keep)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	return out, nil
}

// about are the events that speak of some objects, and those that made what
// lives in the namespaces among them.
func (s *Server) about(ctx context.Context, v projections.State, keys map[events.Key]bool) ([]events.Seq, error) {
	found := map[events.Seq]bool{}
	for k := range keys { //stave:sorted: into a set
		seqs, err := s.Log.About(ctx, k)
		if err != nil {
			return nil, err
		}
		for _, seq := range seqs {
			found[seq] = true
		}
	}
	for o := range v.All() {
		if keys[events.Key{Resource: events.Namespaces, Name: o.Key.Namespace}] {
			found[o.Created.Seq] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// changes lists what people changed last.
func (s *Server) changes(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.ChangesRequest](r)
	if err != nil {
		return nil, err
	}
	most := req.Last
	if most <= 0 || most > maxChanges {
		most = maxChanges
	}
	v := s.Views.Durable()
	last := v.LastMade()
	last = last[:min(len(last), most)]
	seqs := make([]events.Seq, 0, len(last))
	for _, m := range last {
		seqs = append(seqs, m.First)
	}
	slices.Reverse(seqs)
	first := map[events.Seq]events.Envelope{}
	err = s.Log.At(ctx, seqs, func(e events.Envelope) error {
		first[e.Seq] = e
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	reply := wire.ChangesReply{Now: s.Now()}
	for _, m := range last {
		if e, ok := first[m.First]; ok { // else it lies below the horizon
			reply.Changes = append(reply.Changes, wire.MadeChange{ID: m.ID, Seq: m.First, Time: e.Time, Actor: m.Actor, Message: e.Message,
				What: why.Words(e, events.Key{}), Count: m.Count})
		}
	}
	if len(reply.Changes) < most {
		reply.Horizon, err = s.horizon(ctx, 0)
	}
	return reply, err
}
