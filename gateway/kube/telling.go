package kube

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/stave-run/stave/events"
)

// A watch of events tells of the log too: when that has grown it looks again, and says in what a list differs from what it
// said before. Its place among the events of clients is where it was told; the two streams have no order.

const (
	// lookEvery is how often a watch looks whether the log has grown.
	lookEvery = time.Second
	// lookShare bounds what all watches together read: of so many parts of the time one is spent reading.
	lookShare = 10
	// toldAgain is how long before a watch began something may have happened that it tells: nobody knows what of that a list
	// before it told. What a client was told twice has one name.
	toldAgain = 5 * time.Second
)

// looks lets watches read the log, one at a time and with pauses that grow with what a reading costs.
type looks struct {
	mu   sync.Mutex
	next time.Time
}

// take reads unless it is too early; whoever is turned away asks again.
func (l *looks) take(now func() time.Time, read func()) bool {
	if !l.mu.TryLock() {
		return false
	}
	defer l.mu.Unlock()
	began := now()
	if began.Before(l.next) {
		return false
	}
	read()
	end := now()
	l.next = end.Add(lookShare * end.Sub(began))
	return true
}

// telling is what a watch told of the log.
type telling struct {
	seq   events.Seq               // of the log when it looked last
	known map[string]*corev1.Event // by what happened; nil before it looked at all
}

// tell says what the log tells that the watch has not said; false when the client is gone.
func (w *noteWatch) tell(ctx context.Context) bool {
	seq := w.notes.Views.Durable().Seq
	if w.shelf != events.Happenings || seq == w.telling.seq {
		return true
	}
	var all []events.Object
	var err error
	if !w.notes.looks.take(w.notes.Now, func() { all, err = w.told(ctx, w.want) }) || err != nil {
		return true // the next look tells it
	}
	w.telling.seq = seq
	return w.differ(ctx, all)
}

// tellAll says all that the log tells, for a client that is shown what is there.
func (w *noteWatch) tellAll(ctx context.Context) bool {
	if w.shelf != events.Happenings {
		return true
	}
	w.since, w.telling.seq = time.Time{}, w.notes.Views.Durable().Seq
	all, err := w.told(ctx, w.want)
	return err == nil && w.differ(ctx, all)
}

// differ tells in what a list of the log's events is another one than before.
func (w *noteWatch) differ(ctx context.Context, all []events.Object) bool {
	before := w.telling.known
	is := make(map[string]*corev1.Event, len(all))
	w.telling.known = is
	for _, o := range all {
		e, ok := o.(*corev1.Event)
		if !ok {
			continue
		}
		id := happeningID(e)
		was, known := before[id]
		if is[id] = e; known {
			e.Name, e.UID, e.InvolvedObject.UID = was.Name, was.UID, was.InvolvedObject.UID // also when what it is about is gone
		}
		fresh := before != nil || e.LastTimestamp.After(w.since.Add(-toldAgain))
		switch {
		case !known && fresh:
			ok = w.say(ctx, watch.Added, e)
		case known && (e.LastTimestamp.After(was.LastTimestamp.Time) || e.Count > was.Count):
			ok = w.say(ctx, watch.Modified, e)
		}
		if !ok {
			return false
		}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if _, there := is[id]; !there && !w.say(ctx, watch.Deleted, before[id]) {
			return false
		}
	}
	return true
}

// say tells an event of the log, if it is one that is wanted, at the place where the watch is.
func (w *noteWatch) say(ctx context.Context, how watch.EventType, e *corev1.Event) bool {
	o := w.show(e)
	if !w.want.has(o) {
		return true
	}
	o.SetResourceVersion(w.at.String())
	return w.send(ctx, how, o)
}

// happeningID is what happened: the same for each time that it did.
func happeningID(e *corev1.Event) string {
	about := &e.InvolvedObject
	return strings.Join([]string{about.Kind, about.Namespace, about.Name, e.Type, e.Reason, e.Source.Component, e.Message}, "\x00")
}
