package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// source folds a log as the follower does.
type source struct {
	mu   sync.Mutex
	cond *sync.Cond
	v    projections.State
	hear []func(projections.State, events.Envelope, []projections.Change)
}

func watch(t testing.TB, log bus.Log) *source {
	s := &source{v: projections.Empty()}
	s.cond = sync.NewCond(&s.mu)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = log.Follow(ctx, 1, func(e events.Envelope) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			var changes []projections.Change
			s.v, changes = projections.Apply(s.v, e)
			for _, f := range s.hear {
				f(s.v, e, changes)
			}
			s.cond.Broadcast()
			return nil
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	return s
}

func (s *source) Ahead() projections.State { s.mu.Lock(); defer s.mu.Unlock(); return s.v }

func (s *source) WaitAhead(ctx context.Context, seq events.Seq) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.v.Seq < seq && ctx.Err() == nil {
		s.cond.Wait()
	}
	return ctx.Err()
}

func (s *source) OnAhead(f func(projections.State, events.Envelope, []projections.Change)) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hear = append(s.hear, f)
	return func() {}
}

// flaky is a log whose next appends go wrong.
type flaky struct {
	bus.Log
	mu    sync.Mutex
	fates []mishap
	calls int
	crowd bool // somebody else appends before each
}

// mishap is what becomes of an append; nil lets it be.
type mishap func(append func() (events.Seq, error)) (events.Seq, error)

func (f *flaky) Append(ctx context.Context, batch []bus.Record) (events.Seq, error) {
	f.mu.Lock()
	f.calls++
	var happens mishap
	if len(f.fates) > 0 {
		happens, f.fates = f.fates[0], f.fates[1:]
	}
	f.mu.Unlock()
	do := func() (events.Seq, error) {
		if f.crowd {
			if _, err := f.Log.Append(ctx, []bus.Record{{Envelope: events.Envelope{Subject: "log.seen.n1", Type: "nodes.seen", Version: 1, Body: []byte(`{}`)}}}); err != nil {
				return 0, err
			}
		}
		return f.Log.Append(ctx, batch)
	}
	if happens == nil {
		return do()
	}
	return happens(do)
}

func (f *flaky) next(fates ...mishap) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fates = fates
}

func (f *flaky) count() int { f.mu.Lock(); defer f.mu.Unlock(); return f.calls }

// lost is an append that never arrives; silent is one whose acknowledgement is lost.
func lost(func() (events.Seq, error)) (events.Seq, error) { return 0, bus.ErrDoubt }
func silent(do func() (events.Seq, error)) (events.Seq, error) {
	if _, err := do(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("publish: %w", bus.ErrDoubt)
}

type running struct {
	*Loop
	log *flaky
	src *source
	end chan error
}

func start(t testing.TB, rs ...reconcilers.Reconciler) *running { return startAt(t, Wall{}, rs...) }

func startAt(t testing.TB, clock Clock, rs ...reconcilers.Reconciler) *running {
	t.Helper()
	return startWith(t, clock, nil, nil, rs...)
}

// startWith starts a loop that finds who waits already, and whose first appends go as said.
func startWith(t testing.TB, clock Clock, waiting []*submission, fates []mishap, rs ...reconcilers.Reconciler) *running {
	t.Helper()
	return startOn(t, memory.NewLog(time.Now), clock, waiting, fates, rs...)
}

func startOn(t testing.TB, mem *memory.Log, clock Clock, waiting []*submission, fates []mishap, rs ...reconcilers.Reconciler) *running {
	t.Helper()
	r := &running{log: &flaky{Log: mem, fates: fates, crowd: waiting != nil}, src: watch(t, mem), end: make(chan error, 1)}
	l, err := NewLoop(Config{Cluster: "c", Holder: "me", Log: r.log, Source: r.src, Clock: clock, Reconcilers: rs,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.Loop, l.waiting = l, waiting
	ctx, stop := context.WithCancel(context.Background())
	go func() { r.end <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case <-l.closed:
		case <-time.After(10 * time.Second):
			t.Error("the loop does not end")
		}
	})
	return r
}

func wish(id string, k events.Key) Request {
	return Request{Actor: events.User("alice"), ID: id, Key: k, Message: "stave create", Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
		if _, ok := v.Get(k); ok {
			return nil, errors.New("exists")
		}
		return []reconcilers.Draft{reconcilers.Create(k, events.Created{Object: []byte(`{}`)})}, nil
	}}
}

// eventually waits for a view that holds.
func (r *running) eventually(t testing.TB, what string, holds func(projections.State) bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds(r.src.Ahead()) {
			return
		}
	}
	t.Fatal("never " + what)
}

func TestSubmitIsDecidedByTheOneWriter(t *testing.T) {
	r := start(t)
	var wait sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 20 { // twenty people want the same name
		wait.Go(func() {
			if got, err := r.Submit(t.Context(), wish(fmt.Sprint(i), conf("a"))); err == nil && len(got) == 1 {
				mu.Lock()
				defer mu.Unlock()
				won++
				e := got[0]
				if e.Actor != "user:alice" || e.Message != "stave create" || e.Seq == 0 || e.Epoch == 0 {
					t.Errorf("appended %+v", e)
				}
				if o, ok := r.src.Ahead().Get(conf("a")); !ok || !bytes.Contains(e.Body, []byte(o.UID)) {
					t.Error("not folded when Submit returned, or of another uid")
				}
			}
		})
	}
	wait.Wait()
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

func TestSubmitThroughDoubt(t *testing.T) {
	for name, fate := range map[string]mishap{"never landed": lost, "landed": silent} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			r.eventually(t, "leading", func(v projections.State) bool { return v.Holder == "me" })
			before := r.src.Ahead().Epoch
			r.log.next(fate)
			got, err := r.Submit(t.Context(), wish("1", conf("a")))
			if err != nil || len(got) != 1 {
				t.Fatalf("%v, %v", got, err)
			}
			v := r.src.Ahead()
			if o, ok := v.Get(conf("a")); !ok || o.Created.Seq != got[0].Seq || v.Void != 0 {
				t.Errorf("made %v, answered %d", o, got[0].Seq)
			}
			if v.Epoch <= before {
				t.Error("doubt was not settled by a new lease")
			}
		})
	}
}

func TestReconcilersThroughDoubtAndConflict(t *testing.T) {
	conflict := func(func() (events.Seq, error)) (events.Seq, error) { return 0, &bus.ConflictError{} }
	for name, fates := range map[string][]mishap{
		"lost": {lost}, "silent": {silent}, "conflict": {conflict, conflict}, "lost lease too": {lost, lost, silent},
	} {
		t.Run(name, func(t *testing.T) {
			p := &probe{name: "probe", decide: nothing}
			r := start(t, p)
			if _, err := r.Submit(t.Context(), wish("1", conf("a"))); err != nil {
				t.Fatal(err)
			}
			_, err := r.Submit(t.Context(), Request{Actor: "user:b", ID: "2", Decide: func(reconcilers.View, time.Time) ([]reconcilers.Draft, error) {
				p.decide = remove // in the loop's goroutine
				r.log.next(append([]mishap{func(do func() (events.Seq, error)) (events.Seq, error) { return do() }}, fates...)...)
				return []reconcilers.Draft{reconcilers.Create(conf("b"), events.Created{Object: []byte(`{}`)})}, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			r.eventually(t, "removed", func(v projections.State) bool { _, ok := v.Get(conf("b")); return !ok })
			if v := r.src.Ahead(); v.Void != 0 {
				t.Errorf("%d void events", v.Void)
			}
		})
	}
}

func TestLoopEndsWhenTheLeaseIsTaken(t *testing.T) {
	r := start(t)
	r.eventually(t, "leading", func(v projections.State) bool { return v.Holder == "me" })
	_, err := r.log.Log.Append(t.Context(), []bus.Record{{Envelope: events.Envelope{Subject: events.LeaseSubject, Type: events.LeaseTaken,
		Version: 1, Body: []byte(`{"holder":"another"}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-r.end:
		if !errors.Is(err, ErrLeaseLost) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("goes on")
	}
	if _, err := r.Submit(t.Context(), wish("1", conf("a"))); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("a request is answered with %v", err)
	}
}

func TestLoopTakesOverFromAFormerHolder(t *testing.T) {
	mem := memory.NewLog(time.Now)
	old := events.Envelope{Subject: events.LeaseSubject, Type: events.LeaseTaken, Version: 1, Body: []byte(`{"holder":"former"}`)}
	made := events.Envelope{Subject: events.SpecSubject(conf("a")), Type: "configmaps.created", Version: 1, Epoch: 1, Body: []byte(`{"uid":"u","object":{}}`)}
	if _, err := mem.Append(t.Context(), []bus.Record{{Envelope: old}, {Envelope: made}}); err != nil {
		t.Fatal(err)
	}
	p := &probe{name: "probe", decide: remove}
	src := watch(t, mem)
	if err := src.WaitAhead(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	l, err := NewLoop(Config{Cluster: "c", Holder: "me", Log: mem, Source: src, Clock: Wall{}, Reconcilers: []reconcilers.Reconciler{p}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- l.Run(ctx) }()
	if err := src.WaitAhead(t.Context(), 4); err != nil { // lease and removal
		t.Fatal(err)
	}
	stop()
	if err := <-end; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if v := src.Ahead(); v.Holder != "me" || v.Epoch != 3 {
		t.Errorf("%s at %d", v.Holder, v.Epoch)
	}
}

func TestLoopWakesByTheClock(t *testing.T) {
	p := &probe{name: "probe"}
	p.decide = func(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
		o, ok := v.Get(k)
		if !ok {
			return reconcilers.Decision{}
		}
		if at := o.Created.Time.Add(30 * time.Millisecond); now.Before(at) {
			return reconcilers.Decision{WakeAt: at}
		}
		return remove(v, k, now)
	}
	r := start(t, p)
	if _, err := r.Submit(t.Context(), wish("1", conf("a"))); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "woken", func(v projections.State) bool { _, ok := v.Get(conf("a")); return !ok })
}
