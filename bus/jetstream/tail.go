package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/segment"
	"github.com/stave-run/stave/events"
)

// What lies where. The stream holds the hot tail only: opening it again takes 6
// to 9 seconds a million events, and each subject costs memory.
const (
	// sealEvery is how many events a segment holds, and sealBytes how many bytes of
	// bodies at most, but for its last event: what is not sealed is in memory.
	sealEvery = 16_384
	sealBytes = 32 << 20
	// hotTail is how many sealed events the stream keeps besides those that are
	// not sealed, at most; it is cut by purgeStep at a time, as the stream stands
	// still meanwhile.
	hotTail   = 65_536
	purgeStep = 8_192
	// hotBytes is how much the stream may hold before it keeps the newest segment alone.
	hotBytes = 1 << 30
	// roomPause is how long a reader waits for the sealer to make room in the tail.
	roomPause = 5 * time.Millisecond
)

// tail is the end of the log that is not sealed yet, in memory. Whoever reads it
// from the stream fills it, so that it costs no reading of its own while
// somebody follows.
type tail struct {
	mu    sync.Mutex
	next  events.Seq        // wanted next
	log   []events.Envelope // in order; may hold events that are not durable
	bytes int               // of their bodies

	finding sync.Mutex // held by whoever looks in the index
	index   segment.Index
	begins  events.Seq // the index has nothing of before
	noted   events.Seq // and what the log has up to here
}

// put takes an event when it is the next one. It tells whether a segment is full.
func (t *tail) put(gaps []gap, e events.Envelope, full bounds) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Seq != after(gaps, t.next) {
		return false
	}
	t.log = append(t.log, e)
	t.bytes += len(e.Body)
	t.next = e.Seq + 1
	return len(t.log) >= full.seal || t.bytes >= full.bytes
}

// upTo is where the tail ends.
func (t *tail) upTo() events.Seq {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next
}

// head is what fills a segment at the beginning of the tail, when all of it is durable.
func (t *tail) head(full bounds, durable events.Seq) []events.Envelope {
	t.mu.Lock()
	defer t.mu.Unlock()
	bytes := 0
	for i, e := range t.log {
		if e.Seq > durable {
			return nil
		}
		if bytes += len(e.Body); i+1 >= full.seal || bytes >= full.bytes {
			return slices.Clone(t.log[:i+1])
		}
	}
	return nil
}

// drop forgets what was sealed or cut off, everything before first.
func (t *tail) drop(first events.Seq) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = max(t.next, first)
	n, _ := slices.BinarySearchFunc(t.log, first, bySeq)
	for _, e := range t.log[:n] {
		t.bytes -= len(e.Body)
	}
	if n > 0 {
		t.log = slices.Clone(t.log[n:])
	}
}

// all is what the tail holds; it is never changed.
func (t *tail) all() []events.Envelope {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.log[:len(t.log):len(t.log)]
}

// find lists the events that speak of an object. The index is made by whoever
// looks: to enter an event it is decoded, and most are sealed before anybody asks.
func (t *tail) find(k events.Key) []events.Seq {
	t.finding.Lock()
	defer t.finding.Unlock()
	log := t.all()
	if len(log) == 0 {
		return nil
	}
	if first := log[0].Seq; first > t.begins {
		t.index.Drop(first - 1)
		t.begins = first
	}
	n, _ := slices.BinarySearchFunc(log, t.noted+1, bySeq)
	for _, e := range log[n:] {
		t.index.Note(e)
		t.noted = e.Seq
	}
	return slices.Clone(t.index.Find(k))
}

// room tells whether the tail may take more before it is sealed.
func (t *tail) room(most bounds) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.log) < most.seal && t.bytes < most.bytes
}

// sealer seals what is full and cuts the stream, until the log is closed.
func (l *Log) sealer(ctx context.Context) {
	defer close(l.sealed)
	// What no follower will read: the stretch between the last segment and the
	// checkpoint that the fold began with.
	more, err := true, error(nil)
	for more && err == nil {
		if more, err = l.catchUp(ctx); err == nil {
			err = l.seal(ctx)
		}
	}
	close(l.caught)
	for {
		if err != nil && ctx.Err() == nil {
			l.say(fmt.Sprintf("sealing the log: %v", err)) // it stays in the stream, and is tried again
		}
		select {
		case <-ctx.Done():
			return
		case <-l.full:
			err = l.seal(ctx)
		}
	}
}

// catchUp reads into the tail what is durable, as far as there is room; more
// tells that there was not enough.
func (l *Log) catchUp(ctx context.Context) (more bool, err error) {
	most := l.bounds
	most.seal, most.bytes = 2*most.seal, 2*most.bytes
	for l.tail.room(most) {
		from, durable := after(l.gaps, l.tail.upTo()), before(l.gaps, l.Durable())
		if from > durable {
			return false, nil
		}
		err := l.follow(ctx, from, func(e events.Envelope) error {
			if e.Seq >= durable || !l.tail.room(most) || l.tail.upTo() > e.Seq+1 { // or somebody else is ahead
				return errEnd
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnd) {
			return false, fmt.Errorf("read the tail: %w", err)
		}
	}
	return true, nil
}

// Seal seals everything that is durable, down to the last event, and tells up to
// where that is.
func (l *Log) Seal(ctx context.Context) (events.Seq, error) {
	if err := l.caughtUp(ctx); err != nil {
		return 0, err
	}
	l.sealing.Lock()
	defer l.sealing.Unlock()
	some := l.tail.all()
	n, _ := slices.BinarySearchFunc(some, l.Durable()+1, bySeq)
	if n > 0 {
		if err := l.archive.Seal(some[:n]); err != nil {
			return 0, err
		}
		l.tail.drop(some[n-1].Seq + 1)
	}
	_, sealed := l.archive.Bounds()
	return sealed, nil
}

func bySeq(e events.Envelope, seq events.Seq) int { return cmp.Compare(e.Seq, seq) }

// caughtUp waits until all that is durable is in the tail or sealed.
func (l *Log) caughtUp(ctx context.Context) error {
	select {
	case <-l.caught:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		more, err := l.catchUp(ctx)
		if err != nil || !more {
			return err
		}
		l.ringFull()
		select { // the sealer makes room
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(roomPause):
		}
	}
}

// seal makes segments of all that is full and durable, and cuts the stream below.
func (l *Log) seal(ctx context.Context) error {
	l.sealing.Lock()
	defer l.sealing.Unlock()
	for {
		some := l.tail.head(l.bounds, l.Durable())
		if some == nil {
			return nil
		}
		if err := l.archive.Seal(some); err != nil {
			return err
		}
		l.tail.drop(some[len(some)-1].Seq + 1)
		if err := l.cut(ctx); err != nil {
			return err
		}
	}
}

// cut takes from the stream what lies below the hot tail and is sealed. One
// event at least stays: where a stream without any goes on is not in its blocks.
func (l *Log) cut(ctx context.Context) error {
	_, sealed := l.archive.Bounds()
	target := max(sealed+1, events.Seq(l.bounds.hot)) - events.Seq(l.bounds.hot)
	info, err := l.context.StreamInfo(streamName, nats.Context(ctx))
	if err != nil {
		return l.readable("look at the stream", err)
	}
	if all := l.archive.All(); info.State.Bytes > uint64(l.bounds.hotBytes) && len(all) > 0 {
		target = max(target, all[len(all)-1].First)
	}
	return l.cutStream(ctx, target)
}

// cutStream takes what lies before target from the stream.
func (l *Log) cutStream(ctx context.Context, target events.Seq) error {
	for {
		b, err := l.hot(ctx)
		if err != nil {
			return err
		}
		first := min(target, b.First+purgeStep)
		if first <= b.First || b.First > b.Last {
			return nil
		}
		if err := l.purge(ctx, first); err != nil {
			return err
		}
	}
}

// Boundary implements bus.Trimmer: the log is cut between segments.
func (l *Log) Boundary(t time.Time) events.Seq { return l.archive.Boundary(t) }

// Cut implements bus.Trimmer.
func (l *Log) Cut(ctx context.Context, first events.Seq) error {
	l.sealing.Lock()
	defer l.sealing.Unlock()
	if _, sealed := l.archive.Bounds(); first > sealed {
		return fmt.Errorf("cut before %d: only what is sealed can be cut, which ends at %d", first, sealed)
	}
	if err := l.cutStream(ctx, first); err != nil {
		return err
	}
	return l.archive.Cut(first)
}

// purge drops the stream's events before first.
func (l *Log) purge(ctx context.Context, first events.Seq) error {
	if err := l.context.PurgeStream(streamName, &nats.StreamPurgeRequest{Sequence: uint64(first)}, nats.Context(ctx)); err != nil {
		return l.readable("cut the stream", err)
	}
	l.tail.drop(first)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floor = max(l.floor, first)
	return nil
}

// expecting says what a writer expects in the stream's words: what it knows of a
// subject may have been cut off, and then the stream has none.
func (l *Log) expecting(batch []bus.Record) []bus.Record {
	l.mu.Lock()
	floor := l.floor
	l.mu.Unlock()
	var out []bus.Record
	for i, r := range batch {
		if r.Expect == nil || *r.Expect == 0 || *r.Expect >= floor {
			continue
		}
		if out == nil {
			out = slices.Clone(batch)
		}
		out[i].Expect = new(events.Seq)
	}
	if out == nil {
		return batch
	}
	return out
}

// About implements bus.Log.
func (l *Log) About(ctx context.Context, k events.Key) ([]events.Seq, error) {
	if err := l.caughtUp(ctx); err != nil {
		return nil, err
	}
	hot := l.tail.find(k) // before the sealed: what moves meanwhile is found twice, not never
	out, err := l.archive.Find(k)
	if err != nil {
		return nil, fmt.Errorf("find events of %s: %w", k, err)
	}
	if n := len(out); n > 0 {
		after, _ := slices.BinarySearch(hot, out[n-1]+1)
		hot = hot[after:]
	}
	return append(out, hot...), nil
}

// At implements bus.Log.
func (l *Log) At(ctx context.Context, seqs []events.Seq, f func(events.Envelope) error) error {
	hot := l.tail.all()
	_, sealed := l.archive.Bounds()
	if len(hot) > 0 {
		sealed = hot[0].Seq - 1
	}
	n, _ := slices.BinarySearch(seqs, sealed+1)
	if err := l.archive.At(ctx, seqs[:n], f); err != nil {
		return fmt.Errorf("read sealed events: %w", err)
	}
	for _, seq := range seqs[n:] {
		i, ok := slices.BinarySearchFunc(hot, seq, bySeq)
		var err error
		if ok {
			err = f(hot[i])
		} else {
			err = l.single(ctx, seq, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// single reads an event that nobody has read into the tail.
func (l *Log) single(ctx context.Context, seq events.Seq, f func(events.Envelope) error) error {
	if _, sealed := l.archive.Bounds(); seq <= sealed {
		return l.archive.At(ctx, []events.Seq{seq}, f)
	}
	m, err := l.context.GetMsg(streamName, uint64(seq), nats.Context(ctx))
	if errors.Is(err, nats.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return l.readable(fmt.Sprintf("read event %d", seq), err)
	}
	e, err := decoded(m.Subject, m.Header, m.Data, m.Sequence, m.Time)
	if err != nil {
		return err
	}
	return f(e)
}
