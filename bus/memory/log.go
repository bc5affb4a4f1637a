package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/segment"
	"github.com/stave-run/stave/events"
)

// Log is a slice with a lock.
type Log struct {
	now func() time.Time

	mu     sync.Mutex
	events []events.Envelope // events[i] has sequence first+i
	first  events.Seq
	last   map[events.Subject]events.Seq
	grown  chan struct{} // closed and replaced when something is appended
	closed bool

	index   segment.Index
	indexed events.Seq // the last event in it
}

// NewLog is an empty log. now gives the log's time; a clock that runs back is
// held at the newest time given.
func NewLog(now func() time.Time) *Log {
	return &Log{now: now, first: 1, last: map[events.Subject]events.Seq{}, grown: make(chan struct{})}
}

// Append implements bus.Log.
func (l *Log) Append(ctx context.Context, batch []bus.Record) (events.Seq, error) {
	if err := bus.CheckBatch(batch); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, bus.ErrClosed
	}
	if err := l.check(batch); err != nil {
		return 0, err
	}
	first := l.end() + 1
	t := l.time()
	for i, r := range batch {
		e := r.Envelope
		e.Seq, e.Time, e.Body = first+events.Seq(i), t, slices.Clone(e.Body)
		l.events = append(l.events, e)
		l.last[e.Subject] = e.Seq
	}
	close(l.grown)
	l.grown = make(chan struct{})
	return first, nil
}

// AppendEach appends several batches, each for itself: whole or not at all.
func (l *Log) AppendEach(ctx context.Context, batches [][]bus.Record) ([]events.Seq, []error) {
	firsts, errs := make([]events.Seq, len(batches)), make([]error, len(batches))
	for i, b := range batches {
		firsts[i], errs[i] = l.Append(ctx, b)
	}
	return firsts, errs
}

func (l *Log) check(batch []bus.Record) error {
	for _, r := range batch {
		s := r.Envelope.Subject
		if r.Expect != nil && *r.Expect != l.last[s] && (*r.Expect >= l.first || l.last[s] != 0) {
			return &bus.ConflictError{Subject: s, Want: *r.Expect, Have: l.last[s]}
		}
	}
	return nil
}

func (l *Log) end() events.Seq { return l.first + events.Seq(len(l.events)) - 1 }

func (l *Log) time() time.Time {
	t := l.now()
	if n := len(l.events); n > 0 && t.Before(l.events[n-1].Time) {
		return l.events[n-1].Time
	}
	return t
}

// Read implements bus.Log.
func (l *Log) Read(ctx context.Context, from events.Seq, f func(events.Envelope) error) error {
	b, err := l.Bounds(ctx)
	if err != nil {
		return err
	}
	_, err = l.upTo(ctx, max(from, 1), b.Last, f)
	return err
}

// Follow implements bus.Log.
func (l *Log) Follow(ctx context.Context, from events.Seq, f func(events.Envelope) error) error {
	next := max(from, 1)
	for {
		l.mu.Lock()
		grown, end, closed := l.grown, l.end(), l.closed
		l.mu.Unlock()
		if closed {
			return bus.ErrClosed
		}
		var err error
		if next, err = l.upTo(ctx, next, end, f); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		}
	}
}

// readStep is how many events are taken out under one lock.
const readStep = 256

// upTo calls f for the events from next to end and returns what comes after.
func (l *Log) upTo(ctx context.Context, next, end events.Seq, f func(events.Envelope) error) (events.Seq, error) {
	if next > end+1 {
		return next, &bus.FutureError{Asked: next, Last: end}
	}
	for next <= end {
		l.mu.Lock()
		if next < l.first {
			l.mu.Unlock()
			return next, &bus.HorizonError{Asked: next, First: l.first}
		}
		at := int(next - l.first)
		some := l.events[at:min(at+readStep, int(end-l.first)+1)]
		l.mu.Unlock() // what is in the slice is never written again
		for _, e := range some {
			if err := ctx.Err(); err != nil {
				return next, err
			}
			if err := f(e); err != nil {
				return next, err
			}
			next++
		}
	}
	return next, l.horizon(next)
}

// horizon refuses a start that was cut off from a log with nothing after it.
func (l *Log) horizon(next events.Seq) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next < l.first {
		return &bus.HorizonError{Asked: next, First: l.first}
	}
	return nil
}

// About implements bus.Log. The index is made when somebody asks.
func (l *Log) About(_ context.Context, k events.Key) ([]events.Seq, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Seq > l.indexed {
			l.index.Note(e)
			l.indexed = e.Seq
		}
	}
	seqs := l.index.Find(k)
	n, _ := slices.BinarySearch(seqs, l.first)
	return slices.Clone(seqs[n:]), nil
}

// At implements bus.Log.
func (l *Log) At(_ context.Context, seqs []events.Seq, f func(events.Envelope) error) error {
	l.mu.Lock()
	all, first := l.events, l.first // what is in the slice is never written again
	l.mu.Unlock()
	for _, seq := range seqs {
		if seq < first || seq >= first+events.Seq(len(all)) {
			continue
		}
		if err := f(all[seq-first]); err != nil {
			return err
		}
	}
	return nil
}

// Bounds implements bus.Log.
func (l *Log) Bounds(context.Context) (bus.Bounds, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return bus.Bounds{}, bus.ErrClosed
	}
	return bus.Bounds{First: l.first, Last: l.end()}, nil
}

// Durable implements bus.Log: as durable as it will ever be.
func (l *Log) Durable() events.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end()
}

// WaitDurable implements bus.Log.
func (l *Log) WaitDurable(ctx context.Context, seq events.Seq) error {
	for {
		l.mu.Lock()
		grown, end, closed := l.grown, l.end(), l.closed
		l.mu.Unlock()
		switch {
		case end >= seq:
			return nil
		case closed:
			return bus.ErrClosed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		}
	}
}

// Boundary implements bus.Trimmer: this log can be cut anywhere.
func (l *Log) Boundary(t time.Time) events.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, _ := slices.BinarySearchFunc(l.events, t, func(e events.Envelope, t time.Time) int {
		if e.Time.After(t) {
			return 1
		}
		return -1
	})
	if n < 2 {
		return 0
	}
	return l.events[n-1].Seq
}

// Cut implements bus.Trimmer, at any sequence. A subject whose newest event is
// dropped expects 0 again.
func (l *Log) Cut(_ context.Context, first events.Seq) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = min(first, l.end()+1)
	if first <= l.first {
		return nil
	}
	l.events = slices.Clone(l.events[first-l.first:])
	l.first = first
	for s, q := range l.last {
		if q < first {
			delete(l.last, s)
		}
	}
	return nil
}

// Close implements bus.Log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.grown)
		l.grown = make(chan struct{})
	}
	return nil
}

var _ bus.Trimmer = (*Log)(nil)
