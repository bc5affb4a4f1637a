package jetstream

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/segment"
	"github.com/stave-run/stave/events"
)

// Log is the embedded server's log, or one on servers that are not ours: then
// there are no blocks, no mark and no reserve.
type Log struct {
	dir     string
	client  *Client // the control plane's connection
	joined  bool    // the servers are not ours, the connection is
	context nats.JetStreamContext
	gaps    []gap
	blocks  *blocks
	mark    *marker
	fatal   func(error)
	say     func(string)

	reserve     *reserve
	archive     *segment.Archive
	tail        tail
	sealing     sync.Mutex // held by whoever seals
	bounds      bounds
	full        chan struct{} // holds one: a segment may be full
	stopSealing func()
	caught      chan struct{} // closed when the sealer has read what was there at the start
	sealed      chan struct{} // closed when the sealer has ended

	mu      sync.Mutex
	written events.Seq    // known to be in the server's files
	durable events.Seq    // known to be on the disk
	floor   events.Seq    // the first that the stream may hold
	changed chan struct{} // closed and replaced when durable grows or the log closes
	closed  bool
	ended   chan struct{} // closed when the syncer has ended
	ring    chan struct{} // holds one: something was written
}

// newLog is a log before its stream was looked at.
func newLog(o Options, c *Client) (*Log, error) {
	l := &Log{dir: o.Dir, client: c, fatal: o.OnFatal, say: o.Progress, changed: make(chan struct{}), ended: make(chan struct{}), ring: make(chan struct{}, 1),
		full: make(chan struct{}, 1), caught: make(chan struct{}), sealed: make(chan struct{}), bounds: bounds{sealEvery, hotTail, sealBytes, hotBytes}}
	if o.bounds != nil {
		l.bounds = *o.bounds
	}
	var err error
	if l.archive, err = segment.Open(filepath.Join(o.Dir, segmentDir), o.Progress); err != nil {
		return nil, err
	}
	if l.context, err = c.nats.JetStream(nats.MaxWait(ackTimeout)); err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	return l, nil
}

func openLog(ctx context.Context, o Options, c *Client) (*Log, error) {
	l, err := newLog(o, c)
	if err != nil {
		return nil, err
	}
	s := &store{dir: o.Dir, say: o.Progress, conn: c.nats, context: l.context}
	if l.mark, s.mark, err = openMark(o.Dir); err != nil {
		return nil, err
	}
	if s.gaps, err = readGaps(o.Dir); err != nil {
		return nil, err
	}
	_, s.sealed = l.archive.Bounds()
	s.sound = l.archive.Sound()
	recorded := s.mark
	b, err := s.recover(ctx)
	if err != nil {
		return nil, err
	}
	if recorded == 0 && b.Last > s.sealed {
		l.say(fmt.Sprintf("%s is missing or damaged, which tells what was durable: nobody can say whether the log has ended at %d", markPath(o.Dir), b.Last))
	}
	l.gaps = s.gaps
	if err := l.join(b); err != nil {
		return nil, err
	}
	_, sealed := l.archive.Bounds() // which may be more than before
	if b, err = s.withoutHoles(ctx, b, sealed); err != nil {
		return nil, err
	}
	l.floor = b.First
	l.written, l.durable = b.Last, b.Last
	if err := l.mark.put(b.Last); err != nil {
		return nil, err
	}
	if l.blocks, err = openBlocks(storeDir(o.Dir)); err != nil {
		return nil, err
	}
	if l.reserve, err = openReserve(o.Dir, o.Reserve, o.Warn); err != nil {
		return nil, err
	}
	sealing := l.begin(ctx)
	go l.reserve.watch(sealing)
	return l, nil
}

// begin starts what runs beside the log until it is closed.
func (l *Log) begin(ctx context.Context) context.Context {
	go l.syncer()
	sealing, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stopSealing = stop
	go l.sealer(sealing)
	return sealing
}

// segmentDir is where the sealed part of the log lies, in the store's directory.
const segmentDir = "segments"

// Segments is where the sealed part of the log lies whose directory is dir.
func Segments(dir string) string { return filepath.Join(dir, segmentDir) }

// join lets the tail begin where the segments end.
func (l *Log) join(hot bus.Bounds) error {
	mended, err := l.archive.Mend(after(l.gaps, hot.First), l.stretch)
	if err != nil {
		return err
	}
	if mended {
		l.say("the stream still has the events of damaged or missing segments: they are sealed anew")
	}
	l.floor, l.tail.next = hot.First, hot.First
	first, sealed := l.archive.Bounds()
	if !l.archive.Sound() {
		l.say(fmt.Sprintf("nothing of the log before %d can be read", max(first, hot.First)))
	}
	switch {
	case sealed == 0:
	case after(l.gaps, sealed+1) >= hot.First:
		l.tail.next = sealed + 1
	default:
		l.say(fmt.Sprintf("the stream begins at %d, but the segments in %s end at %d: nothing of the log up to there can be read", hot.First, l.dir, sealed))
		l.archive.Leave()
	}
	return nil
}

// stretch reads events from the stream.
func (l *Log) stretch(from, to events.Seq) (log []events.Envelope, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), stretchTimeout)
	defer cancel()
	if from, to = after(l.gaps, from), before(l.gaps, to); from > to {
		return nil, nil
	}
	err = l.follow(ctx, from, func(e events.Envelope) error {
		if log = append(log, e); e.Seq >= to {
			return errEnd
		}
		return nil
	})
	if errors.Is(err, errEnd) {
		err = nil
	}
	return log, err
}

// stretchTimeout bounds the reading of what a damaged segment held: a stream that
// is damaged too may never give it.
const stretchTimeout = 30 * time.Second

// ringFull wakes the sealer.
func (l *Log) ringFull() {
	select {
	case l.full <- struct{}{}:
	default:
	}
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
	if l.blocks != nil { // else the acknowledgement is the watermark
		if err := errors.Join(l.blocks.sync(), l.mark.put(upTo)); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.durable = upTo
	l.tell()
	if !l.tail.room(l.bounds) {
		l.ringFull() // what was full before it was durable
	}
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
	b, err := l.hot(ctx)
	if first, sealed := l.archive.Bounds(); err == nil && sealed != 0 {
		b.First = first // also when the stream has more: what is sealed is never read from it
	}
	return b, err
}

// hot are the bounds of the stream.
func (l *Log) hot(ctx context.Context) (bus.Bounds, error) {
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
	batch = l.expecting(batch)
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
	batches = slices.Clone(batches)
	for i := range batches {
		batches[i] = l.expecting(batches[i])
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
	l.stopSealing()
	<-l.sealed
	<-l.ended
	err := l.group()
	if l.blocks != nil {
		l.blocks.close()
		err = errors.Join(err, l.mark.close())
	}
	if l.joined {
		l.client.Close()
	}
	l.mu.Lock()
	l.tell()
	l.mu.Unlock()
	return err
}

var _ bus.Trimmer = (*Log)(nil)
