package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

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
	err = l.through(ctx, from, func(e events.Envelope) error {
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
	return l.through(ctx, from, f)
}

// through reads what is sealed from the segments and the rest from the stream,
// as one log.
func (l *Log) through(ctx context.Context, next events.Seq, f func(events.Envelope) error) error {
	step := func(e events.Envelope) error {
		next = e.Seq + 1
		return f(e)
	}
	for {
		if _, sealed := l.archive.Bounds(); next <= sealed {
			if err := l.archive.Read(ctx, after(l.gaps, next), sealed, step); err != nil {
				return l.orCut(next, err)
			}
			next = max(next, sealed+1) // a recorded gap may be at its end
			continue
		}
		err := l.follow(ctx, next, step)
		if !errors.Is(err, errSealed) {
			return err
		}
	}
}

// orCut says that what comes next was cut off, when that is why it cannot be read.
func (l *Log) orCut(next events.Seq, err error) error {
	if first, _ := l.archive.Bounds(); next < first && errors.Is(err, fs.ErrNotExist) {
		return &bus.HorizonError{Asked: next, First: first}
	}
	return err
}

// errSealed says that what comes next was taken from the stream meanwhile.
var errSealed = errors.New("sealed meanwhile")

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
		if l.joined {
			l.wrote(e.Seq) // by whomever: a majority has what is delivered
		}
		if l.tail.put(l.gaps, e, l.bounds) {
			l.ringFull()
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
	if _, sealed := l.archive.Bounds(); seq <= sealed {
		return errSealed
	}
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
	return decoded(m.Subject, m.Header, m.Data, md.Sequence.Stream, md.Timestamp)
}

func decoded(subject string, header nats.Header, body []byte, seq uint64, at time.Time) (events.Envelope, error) {
	e := events.Envelope{Subject: events.Subject(subject), Seq: events.Seq(seq), Time: at.UTC(), Body: body}
	get := func(name string) string {
		if v := header[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	if err := e.FromHeaders(get); err != nil {
		return e, fmt.Errorf("read event %d: %w", e.Seq, err)
	}
	return e, nil
}
