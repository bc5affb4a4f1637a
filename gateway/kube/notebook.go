package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// notebook is the table of what clients wrote beside the log, filled from the
// stream, and the newest changes for watches. What is in it is durable.
type notebook struct {
	notes  bus.Notes
	logger *slog.Logger

	mu      sync.Mutex
	shelves map[events.Resource]*shelf
	at      events.Seq    // everything up to here is in
	more    chan struct{} // closed and replaced when a note comes
	caught  chan struct{} // closed when what was there at the start is in
}

// shelf holds the objects of one resource, and what takes away others.
type shelf struct {
	kind  events.Kind
	rows  map[events.Key]*noteRow
	bytes int // of all bodies
	ring  []turn
	floor events.Position // changes up to here are no longer in the ring
}

// noteRow is one object, which nobody changes.
type noteRow struct {
	object events.Object // nil: it was taken away
	seq    events.Seq
	at     time.Time // when it was written last
	size   int
}

// turn is one change of a shelf.
type turn struct {
	key           events.Key
	before, after events.Object // nil: there was, or is, none
	at            events.Position
}

// shelved are the resources that have a shelf: the two of events share one.
var shelved = []events.Resource{events.Leases, events.Happenings}

func newNotebook(n bus.Notes, l *slog.Logger) *notebook {
	b := &notebook{notes: n, logger: l, shelves: map[events.Resource]*shelf{}, more: make(chan struct{}), caught: make(chan struct{})}
	for _, k := range events.NoteKinds {
		if slices.Contains(shelved, k.Resource) {
			b.shelves[k.Resource] = &shelf{kind: k, rows: map[events.Key]*noteRow{}}
		}
	}
	return b
}

// notePause is how long a follower that broke waits before it begins anew, and a
// writer that lost a race.
const notePause = 5 * time.Millisecond

// run follows the stream until ctx ends.
func (b *notebook) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := b.fill(ctx)
		if ctx.Err() != nil || errors.Is(err, bus.ErrClosed) {
			return
		}
		b.logger.Warn("follow notes", "err", err)
		wait(ctx, time.Second)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// fill takes in all notes that there are, and those that come.
func (b *notebook) fill(ctx context.Context) error {
	last, err := b.notes.Last(ctx)
	if err != nil {
		return err
	}
	if last == 0 {
		b.catch()
	}
	return b.notes.Follow(ctx, func(n bus.Note) error {
		b.take(n)
		if n.Seq >= last { // the newest of all is never forgotten
			b.catch()
		}
		return nil
	})
}

// catch notes that the table is whole. Watches begin here: what was before it can
// be told of as it is, but not how it came to be.
func (b *notebook) catch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.caught:
		return
	default:
	}
	for _, s := range b.shelves {
		s.ring, s.floor = nil, events.At(b.at, events.MaxRows-1)
	}
	close(b.caught)
}

// take takes in one note. What cannot be read is left out, and said.
func (b *notebook) take(n bus.Note) {
	k, err := n.Subject.Key()
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.Seq <= b.at {
		return
	}
	b.at = n.Seq
	if s, ok := b.shelves[k.Resource]; ok && err == nil {
		if err = s.put(k, n); err != nil {
			b.logger.Warn("read note", "subject", string(n.Subject), "seq", n.Seq, "err", err)
		}
	}
	close(b.more)
	b.more = make(chan struct{})
}

func (s *shelf) put(k events.Key, n bus.Note) error {
	row := &noteRow{seq: n.Seq, at: n.Time, size: len(n.Body)}
	if len(n.Body) > 0 {
		o := s.kind.New()
		if err := json.Unmarshal(n.Body, o); err != nil {
			return fmt.Errorf("decode %s: %w", k, err)
		}
		o.GetObjectKind().SetGroupVersionKind(s.kind.GVK())
		o.SetResourceVersion(events.At(n.Seq, 0).String())
		row.object = o
	}
	t := turn{key: k, after: row.object, at: events.At(n.Seq, 0)}
	if old, ok := s.rows[k]; ok {
		t.before = old.object
		s.bytes -= old.size
	}
	s.rows[k] = row
	s.bytes += row.size
	if t.before == nil && t.after == nil {
		return nil
	}
	if len(s.ring) == ringSize {
		s.floor = s.ring[0].at
		s.ring = s.ring[1:]
	}
	s.ring = append(s.ring, t)
	return nil
}

// ready waits until the table is whole, and no older than a position.
func (b *notebook) ready(ctx context.Context, p events.Position) error {
	ctx, cancel := context.WithTimeout(ctx, freshWait)
	defer cancel()
	select {
	case <-b.caught:
	case <-ctx.Done():
		return apierrors.NewServiceUnavailable("what clients wrote is still being read")
	}
	if err := b.reach(ctx, p.Seq()); err != nil {
		return tooLarge(p, b.position())
	}
	return nil
}

// reach waits until a sequence is in.
func (b *notebook) reach(ctx context.Context, seq events.Seq) error {
	for {
		b.mu.Lock()
		at, more := b.at, b.more
		b.mu.Unlock()
		if at >= seq {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}

// position is that of a list made now.
func (b *notebook) position() events.Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	return events.At(b.at, events.MaxRows-1)
}

// get is an object; last is the sequence that a writer has to know, also when
// there is none any more.
func (b *notebook) get(k events.Key) (o events.Object, last events.Seq) {
	b.mu.Lock()
	defer b.mu.Unlock()
	row, ok := b.shelves[k.Resource].rows[k]
	if !ok {
		return nil, 0
	}
	return row.object, row.seq
}

// all are the objects of a namespace, or of all, in no order.
func (b *notebook) all(r events.Resource, namespace string) (out []events.Object, at events.Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, row := range b.shelves[r].rows {
		if row.object != nil && (namespace == "" || namespace == k.Namespace) {
			out = append(out, row.object)
		}
	}
	return out, events.At(b.at, events.MaxRows-1)
}

// since is what changed after a position, and up to where that goes; ok is false
// when the ring does not reach back that far.
func (b *notebook) since(r events.Resource, p events.Position) (turns []turn, at events.Position, more <-chan struct{}, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.shelves[r]
	if p < s.floor {
		return nil, 0, nil, false
	}
	first, _ := slices.BinarySearchFunc(s.ring, p, func(t turn, p events.Position) int {
		if t.at <= p {
			return -1
		}
		return 1
	})
	return slices.Clone(s.ring[first:]), events.At(b.at, events.MaxRows-1), b.more, true
}

// put writes an object, nil takes it away; last is what get told. It returns when
// the table has it. moved says that somebody else was faster.
func (b *notebook) put(ctx context.Context, k events.Key, o events.Object, last events.Seq) (events.Seq, error) {
	var body []byte
	if o != nil {
		var err error
		if body, err = json.Marshal(o); err != nil {
			return 0, apierrors.NewBadRequest("encode object: " + err.Error())
		}
	}
	seq, err := b.notes.Put(ctx, events.NoteSubject(k), body, last)
	var conflict *bus.ConflictError
	switch {
	case errors.As(err, &conflict):
		wait(ctx, notePause) // the server need not say how far it is
		if err := b.reach(ctx, conflict.Have); err != nil {
			return 0, timedOut()
		}
		return 0, moved{conflict.Have}
	case errors.Is(err, bus.ErrTooLarge):
		return 0, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("%s are at most %d bytes large", k.Resource, bus.MaxNote))
	case errors.Is(err, bus.ErrFull):
		return 0, apierrors.NewServiceUnavailable("there is no room: " + err.Error())
	case errors.Is(err, bus.ErrClosed):
		return 0, apierrors.NewServiceUnavailable("the server is shutting down")
	case err != nil:
		return 0, apierrors.NewInternalError(err)
	}
	if err := b.reach(ctx, seq); err != nil {
		return 0, timedOut()
	}
	return seq, nil
}

func timedOut() error {
	return apierrors.NewTimeoutError("the request did not complete within the allotted timeout", 0)
}
