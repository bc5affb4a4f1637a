package run

import (
	"context"
	"fmt"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// maxPart is about how many bytes one part of a large wish has.
const maxPart = 1 << 20

// Wish is what is appended first of a wish that one append cannot hold: all that
// it leads to, in parts. From there on it is carried out to its end, by this
// process or by the next one that holds the lease: see Rest.
func (s *Step) Wish(records []bus.Record) []bus.Record {
	var parts []events.Asked
	room := 0
	for i, r := range records {
		e := r.Envelope
		if room -= len(e.Body); room < 0 || len(parts[len(parts)-1].Then) == s.batch {
			parts, room = append(parts, events.Asked{Of: len(records), From: i}), maxPart
		}
		last := &parts[len(parts)-1]
		last.Then = append(last.Then, events.Wanted{Subject: e.Subject, Type: e.Type, Op: e.Op, Body: e.Body})
	}
	out := make([]bus.Record, len(parts))
	for i, p := range parts {
		e := records[0].Envelope
		e.Subject, e.Type, e.Body = events.ChangeSubject(e.Change), events.ChangeAsked, events.MustBody(p)
		e.Op = events.NewOpID(s.cluster, e.Actor, string(e.Change), events.Key{Resource: "changes"}, i)
		out[i] = bus.Record{Envelope: e}
	}
	return out
}

// Rest is the next append of the oldest wish that is not carried out to its end;
// none when there is no such wish. While there is, nothing else should be decided:
// then no reader of the writer's view ever sees a part of it as the whole.
func (s *Step) Rest(v reconcilers.View) []bus.Record {
	wishes := v.Wishes()
	if len(wishes) == 0 {
		return nil
	}
	w := wishes[0]
	var out []bus.Record
	for _, x := range w.Rest(s.batch) {
		e := events.Envelope{Subject: x.Subject, Type: x.Type, Op: x.Op, Body: x.Body, Version: events.Version, Actor: w.Actor, Change: w.ID,
			Message: w.Message, Now: w.Now, Cause: w.Asked.Seq, Basis: v.Seq, Epoch: s.epoch}
		r := bus.Record{Envelope: e}
		if k, err := x.Subject.Key(); err == nil && x.Subject.Class() == "spec" {
			r = bus.Expecting(e, v.LastSpec(k))
		}
		out = append(out, r)
	}
	return out
}

// large carries out a wish that one append does not hold.
func (l *Loop) large(ctx context.Context, records []bus.Record) (out submitted, again bool, stop error) {
	if len(records) > bus.MaxChange {
		return submitted{err: fmt.Errorf("change %d objects, at most %d in one change: %w", len(records), bus.MaxChange, bus.ErrTooLarge)}, false, nil
	}
	wish := l.step.Wish(records)
	first, err := l.Log.Append(ctx, wish)
	if out, again, stop = l.settle(ctx, wish, first, err); out.err != nil || stop != nil {
		return out, again, stop
	}
	held, stop := l.finish(ctx)
	switch {
	case stop != nil:
		return submitted{err: stop}, false, stop
	case held != nil:
		return submitted{err: fmt.Errorf("the change is in the log and goes on by itself; so far: %w", held)}, false, nil
	}
	return submitted{events: located(l.Source.Ahead(), records)}, false, nil
}

// finish carries out what people asked for and what is not done to its end: this
// process was interrupted, or the one before it. held is why it has to wait; it is
// tried again then. stop ends the loop.
func (l *Loop) finish(ctx context.Context) (held, stop error) {
	l.resume = time.Time{}
	for tries := 0; ; tries++ {
		rest := l.step.Rest(l.Source.Ahead())
		if len(rest) == 0 {
			return nil, nil
		}
		first, err := l.Log.Append(ctx, rest)
		out, again, stop := l.settle(ctx, rest, first, err)
		switch {
		case stop != nil:
			return nil, stop
		case out.err == nil:
			tries = 0
		case !again || tries >= submitTries:
			l.resume = l.Now().Add(retryAfter)
			l.Logger.Warn("a change waits for its rest to be appended", "change", string(rest[0].Envelope.Change), "err", out.err)
			return out.err, nil
		}
	}
}

// goOn tries again what had to wait.
func (l *Loop) goOn(ctx context.Context) error {
	if l.resume.IsZero() || l.Now().Before(l.resume) {
		return nil
	}
	_, stop := l.finish(ctx)
	return stop
}

// located are records as they stand in the log, found by their operations.
func located(v projections.State, records []bus.Record) []events.Envelope {
	out := make([]events.Envelope, len(records))
	for i, r := range records {
		out[i] = r.Envelope
		out[i].Seq, _ = v.Landed(r.Envelope.Op)
	}
	return out
}
