package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ErrFull means that the tables have no room for a service. What was bound before stays as
// it is, and the service is tried again by the next [Diff] or [Written.Retry].
var ErrFull = errors.New("dataplane tables are full")

// ErrTaken means that another service holds a frontend of this one.
var ErrTaken = errors.New("frontend belongs to another service")

// Refusal is a service of which something could not be placed, and why.
type Refusal struct {
	Key string // "namespace/name"
	Err error  // wraps ErrFull, ErrTaken or both
}

// Refusals is what a change could not do. All else of it is done.
type Refusals []Refusal

// Error names each service on a line of its own.
func (r Refusals) Error() string {
	lines := make([]string, len(r))
	for i, x := range r {
		lines[i] = fmt.Sprintf("place service %s: %v", x.Key, x.Err)
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets [errors.Is] find ErrFull and ErrTaken.
func (r Refusals) Unwrap() []error {
	out := make([]error, len(r))
	for i, x := range r {
		out[i] = x.Err
	}
	return out
}

// Unplaced are the services that are not in the tables, or not whole, by name.
func (w *Written) Unplaced() Refusals {
	var out Refusals
	for _, key := range slices.Sorted(maps.Keys(w.unplaced)) {
		out = append(out, Refusal{key, w.unplaced[key]})
	}
	return out
}

// Retry tries the services that could not be placed, if something has become free since
// the last time. What rests becomes free as time passes, so ask again.
func (w *Written) Retry(now time.Time) ([]Write, error) {
	if len(w.unplaced) == 0 {
		return nil, nil
	}
	w.ids.wake(now)
	w.slots.wake(now)
	room := w.ids.freed + w.slots.freed + w.unbound
	if room == w.tried {
		return nil, w.Unplaced()
	}
	w.tried = room
	var put []wish
	for _, key := range slices.Sorted(maps.Keys(w.unplaced)) {
		put = append(put, wish{key, w.asked[key]})
	}
	return w.change(put, nil, nil, now)
}
