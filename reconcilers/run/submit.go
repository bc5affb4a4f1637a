package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Request is somebody's wish: it is decided by the same writer and on the same
// view as everything else.
type Request struct {
	Actor   events.Actor
	ID      string     // of the wish: a retry has the same one; part of the operation ids
	Key     events.Key // what it is mainly about; part of the operation ids
	Message string     // kept with the events
	// Change is the wish of a person that this is a part of, kept with the
	// events; empty for what no person asked for.
	Change events.ChangeID
	// Together says that the wish may be decided on a view that holds, at positions
	// that are made up, what wishes just before it lead to, and be appended with
	// them. What Decide keeps of the view must not be told unless the wish landed.
	Together bool
	// Decide says what to append. It runs in the loop's goroutine, so it must
	// not block, and it may run more than once: after a lost acknowledgement
	// that turned out not to have landed. An error is given back as it is.
	// All drafts land or none, those of a wish that is larger than one append one
	// after the other; no object may be written twice.
	Decide func(v reconcilers.View, now time.Time) ([]reconcilers.Draft, error)
}

// submitTries bounds how often a wish is decided when its append is in doubt or
// conflicts.
const submitTries = 5

type submission struct {
	Request
	ctx   context.Context
	reply chan submitted
}

type submitted struct {
	events []events.Envelope
	err    error
}

// Submit decides a request between the reconcilers' decisions and returns once
// it is acknowledged and folded into the ahead view: the envelopes as they were
// appended, with their sequences and uids, none when nothing follows. They are
// not durable yet: wait for the last sequence before telling anybody.
//
// Decide has to recognise a retry of a wish that landed: v.Landed(RequestOp(r, 0))
// says so. When it drafts the same again, what landed then is the answer.
func (l *Loop) Submit(ctx context.Context, r Request) ([]events.Envelope, error) {
	s := &submission{Request: r, ctx: ctx, reply: make(chan submitted, 1)}
	select {
	case l.asked <- s:
	case <-l.closed:
		return nil, fmt.Errorf("submit %s: %w", r.Key, ErrLeaseLost)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case done := <-s.reply:
		return done.events, done.err
	case <-l.closed:
		return nil, fmt.Errorf("submit %s: %w", r.Key, bus.ErrDoubt)
	}
}

// RequestOp is the operation id of a request's draft, counted from 0: what
// View.Landed knows after it landed.
func (l *Loop) RequestOp(r Request, draft int) events.OpID {
	return events.NewOpID(l.Cluster, r.Actor, r.ID, r.Key, draft)
}

// admit answers one request. Its error ends the loop.
func (l *Loop) admit(ctx context.Context, s *submission) error {
	var out submitted
	var stop error
	for range submitTries {
		if out.err = s.ctx.Err(); out.err != nil {
			break
		}
		var again bool
		if out, again, stop = l.try(ctx, s.Request); !again || stop != nil {
			break
		}
	}
	if stop != nil && out.err == nil {
		out.err = stop
	}
	s.reply <- out
	return stop
}

func (l *Loop) try(ctx context.Context, r Request) (out submitted, again bool, stop error) {
	v, now := l.seen()
	drafts, err := r.Decide(v, now)
	if err != nil || len(drafts) == 0 {
		return submitted{err: err}, false, nil
	}
	if err := l.room(r.Actor, drafts); err != nil {
		return submitted{err: err}, false, nil
	}
	records, err := l.step.Records(v, r, drafts, now)
	if err != nil {
		return submitted{err: err}, false, nil
	}
	if landed := l.landedAs(v, records); landed != nil {
		return submitted{events: landed}, false, nil
	}
	if len(records) > l.step.batch && r.Change != "" {
		return l.large(ctx, records)
	}
	first, err := l.Log.Append(ctx, records)
	return l.settle(ctx, records, first, err)
}

// seen is the view to decide on, and the time, which is not before the view's.
func (l *Loop) seen() (projections.State, time.Time) {
	v := l.Source.Ahead()
	return v, l.Now()
}

// Records are what a request's drafts become, under the lease that is held. An
// error says that one object would be written twice.
func (s *Step) Records(v reconcilers.View, r Request, drafts []reconcilers.Draft, now time.Time) ([]bus.Record, error) {
	return writing{cluster: s.cluster, basis: r.ID, key: r.Key,
		head: events.Envelope{Version: 1, Actor: r.Actor, Basis: v.Seq, Epoch: s.epoch, Now: now, Message: r.Message, Change: r.Change},
	}.records(v, drafts)
}

// room refuses what people want while the log's disk is nearly full. Deleting
// makes room, and what nodes and reconcilers have to say is what the rest is for.
func (l *Loop) room(who events.Actor, drafts []reconcilers.Draft) error {
	if l.Room == nil || !strings.HasPrefix(string(who), string(events.User(""))) {
		return nil
	}
	for _, d := range drafts {
		if verb := d.Type.Verb(); verb != events.VerbDeletionRequested && verb != events.VerbRemoved {
			return l.Room()
		}
	}
	return nil
}

// settle says what an append came to.
func (l *Loop) settle(ctx context.Context, records []bus.Record, first events.Seq, err error) (out submitted, again bool, stop error) {
	var conflict *bus.ConflictError
	switch {
	case err == nil:
		return submitted{events: numbered(records, first)}, false, l.folded(ctx, first+events.Seq(len(records)-1))
	case errors.As(err, &conflict):
		return submitted{err: err}, true, l.folded(ctx, conflict.Have)
	case errors.Is(err, bus.ErrDoubt):
		// Under a new lease it has landed below it, or never will.
		if stop = l.takeLease(ctx); stop != nil {
			return submitted{err: err}, false, stop
		}
		if landed := l.landedAs(l.Source.Ahead(), records); landed != nil {
			return submitted{events: landed}, false, nil
		}
		return submitted{err: err}, true, nil
	case fatal(err):
		return submitted{err: err}, false, err
	}
	return submitted{err: err}, false, nil
}

// landedAs finds records that the log has already, by their operations.
func (l *Loop) landedAs(v projections.State, records []bus.Record) []events.Envelope {
	if _, ok := v.Landed(records[0].Envelope.Op); !ok {
		return nil
	}
	return located(v, records)
}

func numbered(records []bus.Record, first events.Seq) []events.Envelope {
	out := make([]events.Envelope, len(records))
	for i, r := range records {
		out[i] = r.Envelope
		out[i].Seq = first + events.Seq(i)
	}
	return out
}
