package kube

import (
	"context"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

const (
	// beat is how often a watch that asked for it is told where it is.
	beat = time.Minute
	// lastBeat is how long before its end it is told once more, so that the next
	// watch begins there.
	lastBeat = 2 * time.Second
	// watchRoom is how many events wait for a client that reads slowly; after
	// that the watch waits, and reads on from where it is.
	watchRoom = 32
)

// watching is one watch under way.
type watching struct {
	*objects
	want      selection
	bookmarks bool
	at        events.Position // everything up to here was told
	out       chan watch.Event
	stop      context.CancelFunc
}

// Stop implements watch.Interface.
func (w *watching) Stop() { w.stop() }

// ResultChan implements watch.Interface.
func (w *watching) ResultChan() <-chan watch.Event { return w.out }

// Watch implements rest.Watcher: from a position on, or from what is there now.
func (o *objects) Watch(ctx context.Context, opts *internalversion.ListOptions) (watch.Interface, error) {
	p, err := position(opts.ResourceVersion)
	if err != nil {
		return nil, err
	}
	v, err := o.atLeast(ctx, p)
	if err != nil {
		return nil, err
	}
	initial := opts.SendInitialEvents != nil && *opts.SendInitialEvents
	if !initial && p != 0 {
		if err := o.within(ctx, p); err != nil {
			return nil, err
		}
	}
	w := &watching{objects: o, want: o.selection(ctx, opts), bookmarks: opts.AllowWatchBookmarks, at: p, out: make(chan watch.Event, watchRoom)}
	ctx, w.stop = context.WithCancel(ctx)
	show := initial || p == 0 && opts.SendInitialEvents == nil
	if show || p == 0 {
		w.at = v.End()
	}
	go w.run(ctx, v, show, initial)
	return w, nil
}

// within says whether the log still holds what comes after a position.
func (o *objects) within(ctx context.Context, p events.Position) error {
	b, err := o.Log.Bounds(ctx)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if p.Seq()+1 < b.First {
		return apierrors.NewResourceExpired("too old resource version: " + p.String() + " (" + events.At(b.First, 0).String() + ")")
	}
	return nil
}

// run tells what is there, if that is wanted, and then what changes.
func (w *watching) run(ctx context.Context, v projections.State, show, mark bool) {
	defer close(w.out)
	if show {
		if err := w.begin(ctx, v); err != nil {
			w.fail(ctx, err)
			return
		}
	}
	if mark && w.bookmarks && !w.bookmark(ctx, true) {
		return
	}
	if err := w.follow(ctx); err != nil {
		w.fail(ctx, err)
	}
}

// begin tells what is there.
func (w *watching) begin(ctx context.Context, v projections.State) error {
	if w.definition.Converts() { // all at once
		all, _, err := w.collect(ctx, page{view: v}, w.want, 0)
		for _, found := range all {
			if err == nil && !w.send(ctx, watch.Added, found) {
				return ctx.Err()
			}
		}
		return err
	}
	for found := range w.all(v, w.want, events.Key{Resource: w.kind.Resource}, w.Now()) {
		found = w.dressed(v, found, keyOf(w.kind, found))
		if err := w.bring(ctx, found); err != nil {
			return err
		}
		if !w.send(ctx, watch.Added, found) {
			return ctx.Err()
		}
	}
	return nil
}

// fail tells why a watch ends.
func (w *watching) fail(ctx context.Context, err error) {
	if ctx.Err() == nil {
		st := statusOf(err)
		w.send(ctx, watch.Error, &st)
	}
}

func statusOf(err error) metav1.Status {
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		return known.Status()
	}
	return apierrors.NewInternalError(err).Status()
}

func (w *watching) follow(ctx context.Context) error {
	beats := time.NewTicker(beat)
	defer beats.Stop()
	end, cancel := untilEnd(ctx)
	defer cancel()
	for ctx.Err() == nil {
		ticks, more, ok := w.feed.since(w.at)
		if !ok {
			if err := w.replay(ctx); err != nil {
				return err
			}
			continue
		}
		for _, t := range ticks {
			if err := w.tell(ctx, t); err != nil {
				return err
			}
		}
		if len(ticks) > 0 {
			continue
		}
		select {
		case <-more:
		case <-beats.C:
			w.bookmarkIfAsked(ctx)
		case <-end:
			w.bookmarkIfAsked(ctx)
			end = nil
		case <-ctx.Done():
		}
	}
	return nil
}

// untilEnd fires a little before a watch's time is up.
func untilEnd(ctx context.Context) (<-chan time.Time, func()) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil, func() {}
	}
	t := time.NewTimer(max(0, time.Until(deadline)-lastBeat))
	return t.C, func() { t.Stop() }
}

// errCaughtUp ends a replay where the feed goes on.
var errCaughtUp = errors.New("caught up")

// replay folds the log again from where the watch is, up to the present.
func (w *watching) replay(ctx context.Context) error {
	end := w.Views.Durable().Seq
	from := w.at.Seq()
	if w.at < events.At(from, events.MaxRows-1) && from > 0 {
		from-- // it stands in the middle of an event
	}
	v, err := w.stateAt(ctx, from)
	if err != nil {
		return err
	}
	err = w.Log.Read(ctx, v.Seq+1, func(e events.Envelope) error {
		if e.Seq > end {
			return errCaughtUp
		}
		before := v
		var changes []projections.Change
		v, changes = projections.Apply(v, e)
		return w.tell(ctx, tick{e.Seq, len(e.Body), before, v, changes})
	})
	var horizon *bus.HorizonError
	if errors.As(err, &horizon) {
		return apierrors.NewResourceExpired("too old resource version: " + w.at.String())
	}
	if err != nil && !errors.Is(err, errCaughtUp) {
		return err
	}
	return nil
}

// tell sends the rows of one event that the watch wants to know of.
func (w *watching) tell(ctx context.Context, t tick) error {
	now := w.Now()
	for _, c := range t.changes {
		if c.Position <= w.at || c.After != nil && c.After.Position > c.Position {
			continue // told before, or the row changes once more in this event
		}
		for _, k := range w.shownBy(t, c.Key) {
			if w.want.namespace != "" && k.Namespace != w.want.namespace {
				continue
			}
			if err := w.translate(ctx, t, k, c.Position, now); err != nil {
				return err
			}
		}
	}
	w.at = events.At(t.seq, events.MaxRows-1)
	return nil
}

// shownBy are the objects that a row shows after an event, or showed before it.
func (w *watching) shownBy(t tick, row events.Key) []events.Key {
	out := t.after.Shown(row, w.kind.Resource)
	if row.Resource == w.kind.Resource || !events.FollowsServices(w.kind.Resource) {
		return out
	}
	for _, k := range t.before.Shown(row, w.kind.Resource) {
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// translate tells a change as it looks through the selectors: what begins to
// match is added, what ceases to is deleted.
func (w *watching) translate(ctx context.Context, t tick, k events.Key, p events.Position, now time.Time) error {
	was, err := w.wanted(ctx, t.before, k, now)
	if err != nil {
		return err
	}
	is, err := w.edition(ctx, t.after, editionKey{Key: k, at: p}, now)
	if err != nil {
		return err
	}
	there := is.object != nil && w.want.has(is.object)
	how := watch.Modified
	switch {
	case there && !was:
		how = watch.Added
	case !there && was:
		how = watch.Deleted
		if is, err = w.edition(ctx, t.before, editionKey{Key: k, at: p, gone: true}, now); err != nil {
			return err
		}
	case !there:
		return nil
	}
	if !w.send(ctx, how, is) {
		return ctx.Err()
	}
	return nil
}

// wanted tells whether a state has an object that the watch looks at.
func (w *watching) wanted(ctx context.Context, v projections.State, k events.Key, now time.Time) (bool, error) {
	row, ok := v.Get(k)
	if w.want.everything && !events.FollowsServices(w.kind.Resource) {
		return ok, nil // without looking at it: the namespace is right
	}
	if ok && w.definition.Converts() { // its fields are what a webhook makes of them
		one, err := w.edition(ctx, v, editionKey{Key: k, at: row.Position}, now)
		return err == nil && one.object != nil && w.want.has(one.object), err
	}
	o, ok := v.Object(k, now)
	return ok && w.want.has(o), nil
}

// edition is an object of a state as all watches tell it; its object is nil when there is none.
func (w *watching) edition(ctx context.Context, v projections.State, k editionKey, now time.Time) (*edition, error) {
	k.version, k.of = w.kind.Version, w.definition
	return w.feed.editions.get(k, func() (events.Object, error) {
		o, ok := v.Object(k.Key, now)
		if !ok {
			return nil, nil
		}
		if o = w.dressed(v, o, k.Key); k.gone {
			o = deleted(o, k.at)
		}
		return o, w.bring(ctx, o)
	})
}

// deleted is an object as it was last, at the position of its end.
func deleted(o events.Object, p events.Position) events.Object {
	o.SetResourceVersion(p.String())
	return o
}

func (w *watching) bookmarkIfAsked(ctx context.Context) {
	if w.bookmarks {
		w.bookmark(ctx, false)
	}
}

// bookmark tells where the watch is: nothing up to there will be told.
func (w *watching) bookmark(ctx context.Context, initialEnd bool) bool {
	o, ok := w.New().(events.Object)
	if !ok {
		return false
	}
	o.SetResourceVersion(w.at.String())
	if initialEnd {
		o.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return w.send(ctx, watch.Bookmark, o)
}

// send waits for a client that reads slowly; false when it is gone.
func (w *watching) send(ctx context.Context, how watch.EventType, o runtime.Object) bool {
	select {
	case w.out <- watch.Event{Type: how, Object: o}:
		return true
	case <-ctx.Done():
		return false
	}
}
