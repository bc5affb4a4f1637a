package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// Notes are a map with a lock.
type Notes struct {
	now func() time.Time

	mu   sync.Mutex
	last events.Seq
	kept map[events.Subject]bus.Note
	more chan struct{} // closed and replaced when a note comes
}

// NewNotes has no notes. now gives their time.
func NewNotes(now func() time.Time) *Notes {
	return &Notes{now: now, kept: map[events.Subject]bus.Note{}, more: make(chan struct{})}
}

// Put implements bus.Notes.
func (n *Notes) Put(ctx context.Context, subject events.Subject, body []byte, last events.Seq) (events.Seq, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("write note: %w", err)
	}
	if len(body) > bus.MaxNote {
		return 0, fmt.Errorf("write note of %d bytes, at most %d: %w", len(body), bus.MaxNote, bus.ErrTooLarge)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if have := n.kept[subject].Seq; have != last {
		return 0, &bus.ConflictError{Subject: subject, Want: last, Have: have}
	}
	n.last++
	n.kept[subject] = bus.Note{Subject: subject, Seq: n.last, Time: n.now(), Body: slices.Clone(body)}
	close(n.more)
	n.more = make(chan struct{})
	return n.last, nil
}

// Forget implements bus.Notes.
func (n *Notes) Forget(_ context.Context, seq events.Seq) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s, x := range n.kept {
		if x.Seq == seq {
			delete(n.kept, s)
		}
	}
	return nil
}

// Follow implements bus.Notes.
func (n *Notes) Follow(ctx context.Context, f func(bus.Note) error) error {
	for told := events.Seq(0); ; {
		batch, more := n.after(told)
		for _, x := range batch {
			if err := f(x); err != nil {
				return err
			}
			told = x.Seq
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}

func (n *Notes) after(seq events.Seq) (batch []bus.Note, more <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range n.kept {
		if x.Seq > seq {
			batch = append(batch, x)
		}
	}
	slices.SortFunc(batch, func(a, b bus.Note) int { return int(a.Seq) - int(b.Seq) })
	return batch, n.more
}

// Last implements bus.Notes.
func (n *Notes) Last(context.Context) (events.Seq, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last, nil
}

var _ bus.Notes = (*Notes)(nil)
