package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// Many is a log that appends several batches in one go, each for itself: one
// sequence and one error a batch. A log without it gets the pass as one batch.
type Many interface {
	AppendEach(ctx context.Context, batches [][]bus.Record) ([]events.Seq, []error)
}

// store appends a pass and tells the step what became of each decision. last is
// the newest sequence of it, 0 when nothing landed.
func (l *Loop) store(ctx context.Context, works []Work, records int) (last events.Seq, err error) {
	firsts, errs := l.appendWorks(ctx, works, records)
	for i, w := range works {
		l.step.Done(w, firsts[i], errs[i])
		if errs[i] == nil {
			last = max(last, firsts[i]+events.Seq(len(w.Records)-1))
			continue
		}
		if fatal(errs[i]) {
			return 0, fmt.Errorf("append for %s: %w", w.Key, errs[i])
		}
		l.Logger.Warn("append failed", "key", w.Key.String(), "by", w.Reconciler, "err", errs[i])
	}
	return last, nil
}

func (l *Loop) appendWorks(ctx context.Context, works []Work, records int) ([]events.Seq, []error) {
	if m, ok := l.Log.(Many); ok {
		batches := make([][]bus.Record, len(works))
		for i, w := range works {
			batches[i] = w.Records
		}
		return m.AppendEach(ctx, batches)
	}
	firsts, errs := make([]events.Seq, len(works)), make([]error, len(works))
	all := make([]bus.Record, 0, records)
	for _, w := range works {
		all = append(all, w.Records...)
	}
	first, err := l.Log.Append(ctx, all)
	var conflict *bus.ConflictError
	if errors.As(err, &conflict) {
		for i, w := range works { // one of them is stale: find out which
			firsts[i], errs[i] = l.Log.Append(ctx, w.Records)
		}
		return firsts, errs
	}
	for i, w := range works {
		firsts[i], errs[i] = first, err
		first += events.Seq(len(w.Records))
	}
	return firsts, errs
}

// fatal tells whether an error ends the loop rather than one decision.
func fatal(err error) bool {
	return errors.Is(err, bus.ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// leaseTries bounds how often a lease is asked for before the loop gives up;
// each refused try means that somebody else got it first.
const leaseTries = 5

// takeLease appends to the lease subject, expecting what is folded, until it
// gets through, and waits until the fold has reached it. An unacknowledged try
// shows in the fold, or conflicts with the next.
func (l *Loop) takeLease(ctx context.Context) error {
	for range leaseTries {
		v := l.Source.Ahead()
		if v.Holder == l.Holder && v.Epoch > l.step.Epoch() {
			l.step.Lease(v.Epoch) // the try whose acknowledgement was lost
			return nil
		}
		if own := l.step.Epoch(); own != 0 && v.Epoch > own {
			return fmt.Errorf("lease taken at %d by %s: %w", v.Epoch, v.Holder, ErrLeaseLost)
		}
		seq, err := l.Log.Append(ctx, []bus.Record{bus.Expecting(l.leaseEvent(v.Seq), v.Epoch)})
		var conflict *bus.ConflictError
		switch {
		case err == nil:
			l.step.Lease(seq)
			return l.folded(ctx, seq)
		case errors.As(err, &conflict):
			// A lease that this view lacks stands somewhere behind it.
			err = l.Source.WaitAhead(ctx, max(conflict.Have, v.Seq+1))
		case errors.Is(err, bus.ErrDoubt):
			err = nil
		}
		if err != nil {
			return fmt.Errorf("take lease: %w", err)
		}
	}
	return fmt.Errorf("take lease: refused %d times: %w", leaseTries, ErrLeaseLost)
}

func (l *Loop) leaseEvent(basis events.Seq) events.Envelope {
	return events.Envelope{Subject: events.LeaseSubject, Type: events.LeaseTaken, Version: 1,
		Actor: events.Controller("run"), Basis: basis, Now: l.Now(),
		Body: events.MustBody(events.Lease{Holder: l.Holder})}
}
