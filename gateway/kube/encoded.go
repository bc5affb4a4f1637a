package kube

import (
	"context"
	"sync"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

const (
	// maxEncoded bounds how many bytes of encoded rows are kept: some twenty thousand pods in one form. What finds no room
	// is encoded for each list anew; to push out others for it would help nobody when the next list asks for all of them.
	maxEncoded = 32 << 20
	// unasked is for how long a row is kept at least that no list shows, and at most twice as long.
	unasked = time.Minute
)

// encodedRows keeps rows as lists last showed them: to find out what a pod looks like, and to write that down, is nearly all
// of the cost of a long list, and from one list to the next most pods are as they were. A row is used while its sources
// are the same and no longer, so what is shown is what would be made anew. The zero value is empty.
type encodedRows struct {
	mu   sync.Mutex
	kept map[encodedKey]*encodedRow
	size int // bytes of all that is kept
	turn int // counts the times that it was looked through
}

// encodedKey is one life of an object in one form.
type encodedKey struct {
	uid  events.UID
	form form
}

// encodedRow is a row in one form; the bytes are never changed.
type encodedRow struct {
	of    projections.Sources
	bytes []byte
	used  int // the turn in which a list showed it last
}

// get is a row as it was encoded from the same sources; nil when it was not.
func (e *encodedRows) get(k encodedKey, of projections.Sources) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.kept[k]
	if r == nil || r.of != of {
		return nil
	}
	r.used = e.turn
	return r.bytes
}

// put keeps a row, if there is room, in the place of the one that it was before.
func (e *encodedRows) put(k encodedKey, of projections.Sources, bytes []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drop(k)
	if e.size+len(bytes) > maxEncoded {
		return
	}
	if e.kept == nil {
		e.kept = map[encodedKey]*encodedRow{}
	}
	e.kept[k] = &encodedRow{of, bytes, e.turn}
	e.size += len(bytes)
}

func (e *encodedRows) drop(k encodedKey) {
	if r := e.kept[k]; r != nil {
		e.size -= len(r.bytes)
		delete(e.kept, k)
	}
}

// keep looks through what is kept until the context ends.
func (e *encodedRows) keep(ctx context.Context) {
	beats := time.NewTicker(unasked)
	defer beats.Stop()
	for {
		select {
		case <-beats.C:
			e.forget()
		case <-ctx.Done():
			return
		}
	}
}

// forget gives back what no list has shown since the time before last.
func (e *encodedRows) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, r := range e.kept {
		if r.used < e.turn {
			e.drop(k)
		}
	}
	if len(e.kept) == 0 {
		e.kept = nil // a map does not shrink
	}
	e.turn++
}
