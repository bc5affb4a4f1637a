package kube

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// What keeps the notes within their bounds.
const (
	// happeningLife is how long an event is kept after it was written last, as in
	// Kubernetes.
	happeningLife = time.Hour
	// goneLife is how long it is remembered that something was taken away, in the
	// stream; the ring of watches has a bound of its own.
	goneLife = 5 * time.Minute
	// keepEvery is how often that is looked after.
	keepEvery = 10 * time.Second
	// maxHappenings and maxLeases bound all of a kind, in bytes. The oldest events
	// make room for new ones; leases are refused.
	maxHappenings = 32 << 20
	maxLeases     = 16 << 20
)

// keeper ends what has had its time, and what was in namespaces that are gone.
type keeper struct {
	book  *notebook
	views Views
	now   func() time.Time

	mu   sync.Mutex
	gone map[string]time.Time // namespaces that went, and when
	ring chan struct{}        // holds one: something went
}

// keep works until ctx ends.
func (k *keeper) keep(ctx context.Context) {
	stop := k.views.OnDurable(k.hear)
	defer stop()
	every := time.NewTicker(keepEvery)
	defer every.Stop()
	select {
	case <-ctx.Done():
		return
	case <-k.book.caught:
	}
	k.strays(ctx)
	for {
		k.clear(ctx)
		k.end(ctx)
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-k.ring:
		}
	}
}

// hear notes which namespaces go. It must not wait.
func (k *keeper) hear(_ projections.State, e events.Envelope, changes []projections.Change) {
	for _, c := range changes {
		if c.Key.Resource != events.Namespaces || c.After != nil && c.After.Deletion == nil {
			continue
		}
		k.mu.Lock()
		k.gone[c.Key.Name] = e.Time
		k.mu.Unlock()
		select {
		case k.ring <- struct{}{}:
		default:
		}
	}
}

// strays ends what is left of namespaces that went while nobody looked.
func (k *keeper) strays(ctx context.Context) {
	v := k.views.Durable()
	k.each(ctx, func(key events.Key, row *noteRow) bool {
		_, ok := v.Get(events.Key{Resource: events.Namespaces, Name: key.Namespace})
		return !ok && row.object != nil
	})
}

// clear ends what was written in a namespace before it went: it may be there again.
func (k *keeper) clear(ctx context.Context) {
	k.mu.Lock()
	gone := k.gone
	k.gone = map[string]time.Time{}
	k.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	k.each(ctx, func(key events.Key, row *noteRow) bool {
		at, ok := gone[key.Namespace]
		return ok && row.object != nil && !row.at.After(at)
	})
}

// end ends events that are old, or too many, and forgets what was taken away.
func (k *keeper) end(ctx context.Context) {
	now := k.now()
	over := k.book.over(events.Happenings, maxHappenings)
	k.each(ctx, func(key events.Key, row *noteRow) bool {
		return key.Resource == events.Happenings && row.object != nil && (now.Sub(row.at) > happeningLife || row.seq <= over)
	})
	for _, seq := range k.book.forgettable(now.Add(-goneLife)) {
		if ctx.Err() != nil {
			return
		}
		if err := k.book.notes.Forget(ctx, seq); err != nil {
			k.book.logger.Warn("forget note", "err", err) // it is tried again at the next start
		}
	}
}

// each takes away what is to end. Who was faster has changed it, and it stays.
func (k *keeper) each(ctx context.Context, ends func(events.Key, *noteRow) bool) {
	for key, row := range k.book.matching(ends) {
		if ctx.Err() != nil {
			return
		}
		_, _ = k.book.put(ctx, key, nil, row.seq) // what stays is looked at again
	}
}

// matching are the rows that are to end.
func (b *notebook) matching(ends func(events.Key, *noteRow) bool) map[events.Key]*noteRow {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[events.Key]*noteRow{}
	for _, s := range b.shelves {
		for k, row := range s.rows {
			if ends(k, row) {
				out[k] = row
			}
		}
	}
	return out
}

// over is up to which sequence the rows have to go so that the others are a tenth
// below a bound; 0 when there is room.
func (b *notebook) over(r events.Resource, bound int) events.Seq {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.shelves[r]
	if s.bytes <= bound {
		return 0
	}
	rows := make([]*noteRow, 0, len(s.rows))
	for _, row := range s.rows {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(x, y *noteRow) int { return cmp.Compare(x.seq, y.seq) })
	left, last := s.bytes, events.Seq(0)
	for _, row := range rows {
		if left <= bound-bound/10 {
			break
		}
		left -= row.size
		last = row.seq
	}
	return last
}

// room tells whether a resource is within its bound.
func (b *notebook) room(r events.Resource, bound int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.shelves[r].bytes <= bound
}

// forgettable takes out of the table what was taken away before a time, and names
// it. The newest of all stays: it says where the stream is.
func (b *notebook) forgettable(before time.Time) (out []events.Seq) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.shelves {
		for k, row := range s.rows {
			if row.object == nil && row.at.Before(before) && row.seq < b.at {
				delete(s.rows, k)
				out = append(out, row.seq)
			}
		}
	}
	return out
}
