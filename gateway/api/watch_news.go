package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// gatherFor is for how long what follows a change is gathered before it is told too. The first is told at once.
const gatherFor = 10 * time.Millisecond

// news is a changed row with the event that changed it, and the objects that it
// shows or showed before.
type news struct {
	projections.Change
	tick tick
	keys []events.Key
}

var errBehind = errors.New("the watch fell behind; go on from the last position")

// follow tells of every event after a sequence. Of the gathered changes that a row owes to others, the newest stands for
// all: a deployment would else be told of, and encoded, with every pod of it that changes.
func (w *watcher) follow(ctx context.Context, ticks <-chan tick, after events.Seq) error {
	var rest <-chan time.Time // while what comes is gathered
	var some []news
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rest:
			rest = nil
		case t, ok := <-ticks:
			if !ok {
				return errBehind
			}
			if t.event.Seq > after { // else it was in the snapshot
				some = w.gather(some, t)
			}
		}
		if rest != nil || len(some) == 0 {
			continue
		}
		if err := w.send(ctx, some); err != nil {
			return err
		}
		some, rest = nil, time.After(gatherFor)
	}
}

// gather adds an event's changes to what is to be told. The order stays that of the positions: whoever is cut off in
// between goes on from the last that it has.
func (w *watcher) gather(some []news, t tick) []news {
	before := w.view
	w.view = t.view
	for _, c := range t.changes {
		keys := t.view.Shown(c.Key, w.kind.Resource)
		if c.Key.Resource != w.kind.Resource {
			keys = union(keys, before.Shown(c.Key, w.kind.Resource))
		}
		if len(keys) == 0 {
			continue
		}
		if derived(c) {
			same := func(n news) bool { return n.After == c.Before && derived(n.Change) }
			if i := slices.IndexFunc(some, same); i >= 0 {
				c.Before, keys = some[i].Before, union(keys, some[i].keys)
				some = slices.Delete(some, i, i+1)
			}
		}
		some = append(some, news{c, t, keys})
	}
	return some
}

func union(a, b []events.Key) []events.Key {
	for _, k := range b {
		if !slices.Contains(a, k) {
			a = append(a, k)
		}
	}
	return a
}

// derived tells whether a row changed only because something else did. What happens to a pod is its own.
func derived(c projections.Change) bool {
	return c.PodAfter == nil && c.Before != nil && c.After != nil && c.Before.Changed == c.After.Changed && c.Before.Deletion == c.After.Deletion
}

// send tells of changes.
func (w *watcher) send(ctx context.Context, some []news) error {
	for _, n := range some {
		for _, k := range n.keys {
			if err := w.change(ctx, n.tick, n.Change, k); err != nil {
				return err
			}
		}
	}
	return nil
}
