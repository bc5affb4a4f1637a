package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// Read implements bus.Log.
func (l *Log) Read(ctx context.Context, from events.Seq, f func(events.Envelope) error) error {
	from = max(from, 1)
	b, err := l.startable(ctx, from)
	if err != nil {
		return err
	}
	end := before(l.gaps, b.Last)
	if after(l.gaps, from) > end {
		return nil
	}
	err = l.follow(ctx, from, func(e events.Envelope) error {
		if err := f(e); err != nil {
			return err
		}
		if e.Seq >= end {
			return errEnd
		}
		return nil
	})
	if errors.Is(err, errEnd) {
		return nil
	}
	return err
}

// errEnd ends a reading at its end.
var errEnd = errors.New("end of reading")

// Follow implements bus.Log.
func (l *Log) Follow(ctx context.Context, from events.Seq, f func(events.Envelope) error) error {
	from = max(from, 1)
	if _, err := l.startable(ctx, from); err != nil {
		return err
	}
	return l.follow(ctx, from, f)
}

// startable refuses what a consumer would take in silence: it would begin later
// than asked, or wait for a sequence that is long in coming.
func (l *Log) startable(ctx context.Context, from events.Seq) (bus.Bounds, error) {
	b, err := l.Bounds(ctx)
	switch {
	case err != nil:
		return b, err
	case from < b.First:
		return b, &bus.HorizonError{Asked: from, First: b.First}
	case from > b.Last+1:
		return b, &bus.FutureError{Asked: from, Last: b.Last}
	}
	return b, nil
}

// pendingBytes is how much a follower may have waiting; the server's flow
// control keeps below it.
const pendingBytes = 64 << 20

// follow calls f for every event from the sequence on. The order and the
// completeness are checked here and not left to the client library.
func (l *Log) follow(ctx context.Context, from events.Seq, f func(events.Envelope) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go l.endWith(ctx, cancel)
	sub, err := l.context.SubscribeSync(events.LogSubjects, nats.OrderedConsumer(), nats.StartSequence(uint64(from)))
	if err != nil {
		return l.readable("follow", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails when the connection is gone, and then it is done
	if err := sub.SetPendingLimits(-1, pendingBytes); err != nil {
		return l.readable("follow", err)
	}
	for next := after(l.gaps, from); ; {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return l.stopped(ctx, err)
		}
		e, err := envelope(m)
		if err != nil {
			return err
		}
		if e.Seq < next {
			continue // a consumer that was made anew repeats itself
		}
		if e.Seq > next {
			return l.missing(ctx, next)
		}
		if err := f(e); err != nil {
			return err
		}
		next = after(l.gaps, next+1)
	}
}

// endWith ends a follower when the log is closed.
func (l *Log) endWith(ctx context.Context, cancel func()) {
	for {
		l.mu.Lock()
		changed, closed := l.changed, l.closed
		l.mu.Unlock()
		if closed {
			cancel()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (l *Log) stopped(ctx context.Context, err error) error {
	if l.isClosed() {
		return bus.ErrClosed
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("follow: %w", err)
}

// missing says why an event did not come: the janitor was there first, or the
// store is damaged.
func (l *Log) missing(ctx context.Context, seq events.Seq) error {
	b, err := l.Bounds(ctx)
	if err != nil {
		return err
	}
	if seq < b.First {
		return &bus.HorizonError{Asked: seq, First: b.First}
	}
	return &DamageError{Dir: l.dir, Mark: l.Durable(), Bounds: b, Hole: seq}
}

func envelope(m *nats.Msg) (events.Envelope, error) {
	md, err := m.Metadata()
	if err != nil {
		return events.Envelope{}, fmt.Errorf("read event's place: %w", err)
	}
	e := events.Envelope{Subject: events.Subject(m.Subject), Seq: events.Seq(md.Sequence.Stream), Time: md.Timestamp.UTC(), Body: m.Data}
	get := func(name string) string {
		if v := m.Header[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	if err := e.FromHeaders(get); err != nil {
		return e, fmt.Errorf("read event %d: %w", e.Seq, err)
	}
	return e, nil
}
