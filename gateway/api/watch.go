package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// watchBuffer is how many events a watch may be behind before it is cut off;
// its client then goes on from the last position that it saw.
const watchBuffer = 4096

// tick is one event with the rows that it changed.
type tick struct {
	view    projections.State
	event   events.Envelope
	changes []projections.Change
}

// watch sends what changed since a position and then what changes.
func (s *Server) watch(ctx context.Context, r bus.Request, stream bus.Stream) {
	if err := s.watching(ctx, r, stream); err != nil && ctx.Err() == nil {
		_ = sendFailure(ctx, stream, err) // a client that is gone cannot be told
	}
}

func (s *Server) watching(ctx context.Context, r bus.Request, stream bus.Stream) error {
	req, err := decode[wire.WatchRequest](r)
	if err != nil {
		return err
	}
	if err := s.fromMoment(ctx, &req); err != nil {
		return err
	}
	ticks, stop := s.subscribe()
	defer stop()
	v := s.Views.Durable()
	m, err := s.matching(v, req.ReadRequest)
	if err != nil {
		return err
	}
	w := &watcher{match: m, stream: stream, now: s.Now, view: v}
	if req.Each {
		err = s.again(ctx, w, v, req.From.Seq())
	} else {
		err = w.catchUp(ctx, s.Log, v, req.From)
	}
	if err != nil {
		return err
	}
	return w.follow(ctx, ticks, v.Seq)
}

// fromMoment begins a watch at a moment of the past: every change since is told
// as it happened.
func (s *Server) fromMoment(ctx context.Context, req *wire.WatchRequest) error {
	if req.At.IsZero() {
		return nil
	}
	then, err := s.refold(ctx, s.Views.Durable(), req.At)
	if err != nil {
		return err
	}
	req.From, req.Each = max(req.From, endOf(then)), true
	return nil
}

// subscribe gives every durable event from now on; the channel is closed when
// the reader falls behind.
func (s *Server) subscribe() (<-chan tick, func()) {
	ticks := make(chan tick, watchBuffer)
	behind := false
	stop := s.Views.OnDurable(func(v projections.State, e events.Envelope, c []projections.Change) {
		if behind {
			return
		}
		select {
		case ticks <- tick{v, e, c}:
		default:
			behind = true
			close(ticks)
		}
	})
	return ticks, stop
}

// watcher is one watch under way.
type watcher struct {
	match
	stream bus.Stream
	now    func() time.Time
	view   projections.State // before what is told next
}

// again sends every change after an event up to a snapshot, each as it was when
// it happened.
func (s *Server) again(ctx context.Context, w *watcher, v projections.State, after events.Seq) error {
	if after == 0 {
		return badRequest{errors.New("say after which sequence: the log begins at 1")}
	}
	past, err := s.refold(ctx, v, wire.Moment{Seq: after})
	if err != nil {
		return err
	}
	defer func(now func() time.Time) { w.now = now }(w.now)
	err = s.Log.Read(ctx, after+1, func(e events.Envelope) error {
		if e.Seq > v.Seq {
			return errEnough
		}
		t := tick{event: e}
		t.view, t.changes = projections.Apply(past, e)
		past, w.now = t.view, func() time.Time { return t.view.Time }
		return w.send(ctx, w.gather(nil, t))
	})
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("read the log: %w", err)
	}
	return nil
}

// missed is one change that a watch has to catch up with.
type missed struct {
	at     events.Position
	key    events.Key    // of what is gone
	object events.Object // nil: it is gone
}

// catchUp sends what changed between a position and a snapshot: the objects
// that are newer, and those that are gone by name. They come in the order of their
// positions: whoever is cut off in between goes on from the last that it has.
func (w *watcher) catchUp(ctx context.Context, log bus.Log, v projections.State, from events.Position) error {
	if from == 0 || from.Seq() >= v.Seq {
		return nil
	}
	var all []missed
	err := log.Read(ctx, from.Seq()+1, func(e events.Envelope) error {
		k, err := e.Subject.Key()
		if err == nil && e.Seq <= v.Seq && k.Resource == w.kind.Resource && e.Type.Verb() == events.VerbRemoved {
			all = append(all, missed{at: events.At(e.Seq, 0), key: k})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what was removed: %w", err)
	}
	for o := range v.Objects(w.kind.Resource, w.namespace, w.now()) {
		if p := positionOf(o); p > from {
			all = append(all, missed{at: p, object: o})
		}
	}
	slices.SortStableFunc(all, func(a, b missed) int { return cmp.Compare(a.at, b.at) })
	for _, m := range all {
		if err := w.tell(ctx, v, m); err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) tell(ctx context.Context, v projections.State, m missed) error {
	if m.object == nil {
		return w.gone(ctx, m.key, m.at)
	}
	return w.object(ctx, v, "MODIFIED", m.at, m.object)
}

func (w *watcher) change(ctx context.Context, t tick, c projections.Change, k events.Key) error {
	o, ok := t.view.Object(k, w.now())
	switch {
	case c.After == nil && !ok, !ok && k != c.Key:
		return w.gone(ctx, k, c.Position)
	case !ok:
		return nil
	}
	how := "MODIFIED"
	if c.Before == nil {
		how = "ADDED"
	}
	return w.object(ctx, t.view, how, c.Position, o)
}

// object tells of an object that matches. One that does not match (any more) is
// told of as gone: the client knows whether it ever saw it.
func (w *watcher) object(ctx context.Context, v projections.State, how string, p events.Position, o events.Object) error {
	raw, ok, err := w.keep(v, o)
	if err != nil {
		return err
	}
	if !ok {
		return w.gone(ctx, events.Key{Resource: w.kind.Resource, Namespace: o.GetNamespace(), Name: o.GetName()}, p)
	}
	return w.event(ctx, wire.WatchEvent{Type: how, Position: p, Now: w.now(), Object: raw})
}

// gone tells of an object that is no more by its name alone.
func (w *watcher) gone(ctx context.Context, k events.Key, p events.Position) error {
	if w.namespace != "" && k.Namespace != w.namespace || len(w.names) > 0 && !slices.Contains(w.names, k.Name) {
		return nil
	}
	o := w.kind.New()
	o.GetObjectKind().SetGroupVersionKind(w.kind.GVK())
	o.SetNamespace(k.Namespace)
	o.SetName(k.Name)
	o.SetResourceVersion(p.String())
	return w.event(ctx, wire.WatchEvent{Type: "DELETED", Position: p, Now: w.now(), Object: events.MustBody(o)})
}

func (w *watcher) event(ctx context.Context, e wire.WatchEvent) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode watch event: %w", err)
	}
	return w.stream.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: b})
}

func positionOf(o events.Object) events.Position {
	var p events.Position
	_, _ = fmt.Sscan(o.GetResourceVersion(), &p) // ours are always numbers
	return p
}

func sendFailure(ctx context.Context, stream bus.Stream, err error) error {
	return stream.Send(ctx, bus.Frame{Channel: wire.Failed, Data: events.MustBody(statusOf(err))})
}
