package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// Log is the embedded server's log.
type Log struct {
	dir     string
	client  *Client // the control plane's connection
	context nats.JetStreamContext
	gaps    []gap
	blocks  *blocks
	mark    *marker
	fatal   func(error)

	mu      sync.Mutex
	written events.Seq    // known to be in the server's files
	durable events.Seq    // known to be on the disk
	changed chan struct{} // closed and replaced when durable grows or the log closes
	closed  bool
	ended   chan struct{} // closed when the syncer has ended
	ring    chan struct{} // holds one: something was written
}

func openLog(ctx context.Context, o Options, c *Client) (*Log, error) {
	l := &Log{dir: o.Dir, client: c, fatal: o.OnFatal, changed: make(chan struct{}), ended: make(chan struct{}), ring: make(chan struct{}, 1)}
	s := &store{dir: o.Dir, say: o.Progress, conn: c.nats}
	var err error
	if l.context, err = c.nats.JetStream(nats.MaxWait(ackTimeout)); err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	s.context = l.context
	if l.mark, s.mark, err = openMark(o.Dir); err != nil {
		return nil, err
	}
	if s.gaps, err = readGaps(o.Dir); err != nil {
		return nil, err
	}
	b, err := s.recover(ctx)
	if err != nil {
		return nil, err
	}
	l.gaps, l.written, l.durable = s.gaps, b.Last, b.Last
	if err := l.mark.put(b.Last); err != nil {
		return nil, err
	}
	if l.blocks, err = openBlocks(storeDir(o.Dir)); err != nil {
		return nil, err
	}
	go l.syncer()
	return l, nil
}

// wrote notes that the server has written everything up to seq. The control
// plane's connection makes every append, its own and those that agents ask for,
// so the acknowledgements there tell of all.
func (l *Log) wrote(seq events.Seq) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq <= l.written {
		return
	}
	l.written = seq
	if l.closed {
		return // Close syncs what it finds
	}
	select {
	case l.ring <- struct{}{}:
	default: // the syncer will see it anyway
	}
}

// syncer is the group commit: while one sync runs, the next group gathers.
func (l *Log) syncer() {
	defer close(l.ended)
	for range l.ring {
		if err := l.group(); err != nil {
			l.fatal(fmt.Errorf("make log durable: %w", err))
			return
		}
	}
}

func (l *Log) group() error {
	l.mu.Lock()
	upTo := l.written // before the sync: what is written during it may miss it
	l.mu.Unlock()
	if upTo == l.Durable() {
		return nil
	}
	if err := l.blocks.sync(); err != nil {
		return err
	}
	if err := l.mark.put(upTo); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.durable = upTo
	l.tell()
	return nil
}

// tell wakes whoever waits; the caller holds the lock.
func (l *Log) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Durable implements bus.Log.
func (l *Log) Durable() events.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// WaitDurable implements bus.Log.
func (l *Log) WaitDurable(ctx context.Context, seq events.Seq) error {
	for {
		l.mu.Lock()
		durable, changed, closed := l.durable, l.changed, l.closed
		l.mu.Unlock()
		switch {
		case durable >= seq:
			return nil
		case closed:
			return bus.ErrClosed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// Bounds implements bus.Log.
func (l *Log) Bounds(ctx context.Context) (bus.Bounds, error) {
	if l.isClosed() {
		return bus.Bounds{}, bus.ErrClosed
	}
	info, err := l.context.StreamInfo(streamName, nats.Context(ctx))
	if err != nil {
		return bus.Bounds{}, l.readable("read bounds", err)
	}
	return boundsOf(info), nil
}

func (l *Log) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// readable says ErrClosed rather than what a closed connection says.
func (l *Log) readable(doing string, err error) error {
	if l.isClosed() {
		return bus.ErrClosed
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Append implements bus.Log.
func (l *Log) Append(ctx context.Context, batch []bus.Record) (events.Seq, error) {
	if l.isClosed() {
		return 0, bus.ErrClosed
	}
	first, err := l.client.Append(ctx, batch)
	return first, l.blameRight(ctx, batch, err)
}

// AppendEach appends several batches, each for itself: whole or not at all.
func (l *Log) AppendEach(ctx context.Context, batches [][]bus.Record) ([]events.Seq, []error) {
	if l.isClosed() {
		errs := make([]error, len(batches))
		for i := range errs {
			errs[i] = bus.ErrClosed
		}
		return make([]events.Seq, len(batches)), errs
	}
	firsts, errs := l.client.appendEach(ctx, batches)
	for i, b := range batches {
		errs[i] = l.blameRight(ctx, b, errs[i])
	}
	return firsts, errs
}

// blameRight finds the expectation of a batch that did not hold. Somebody may
// have written since; then the error stays as it is, which names one of them.
func (l *Log) blameRight(ctx context.Context, batch []bus.Record, err error) error {
	var conflict *bus.ConflictError
	if len(batch) < 2 || !errors.As(err, &conflict) {
		return err
	}
	for _, r := range batch {
		if r.Expect == nil {
			continue
		}
		if last, bad := l.lastOf(ctx, r.Envelope.Subject); bad == nil && last != *r.Expect {
			return &bus.ConflictError{Subject: r.Envelope.Subject, Want: *r.Expect, Have: last}
		}
	}
	return err
}

func (l *Log) lastOf(ctx context.Context, s events.Subject) (events.Seq, error) {
	m, err := l.context.GetLastMsg(streamName, string(s), nats.Context(ctx))
	if errors.Is(err, nats.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read last of %s: %w", s, err)
	}
	return events.Seq(m.Sequence), nil
}

// Close implements bus.Log: what was acknowledged is durable after it.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.ring)
	l.mu.Unlock()
	<-l.ended
	err := l.group()
	l.blocks.close()
	err = errors.Join(err, l.mark.close())
	l.mu.Lock()
	l.tell()
	l.mu.Unlock()
	return err
}

var _ bus.Log = (*Log)(nil)
