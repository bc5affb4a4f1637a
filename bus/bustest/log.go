package bustest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// LogUnderTest is an empty log with the doors that only tests use.
type LogUnderTest struct {
	Log bus.Log
	// Cut drops every event before first, as a janitor does; nil for a log that
	// cannot be cut just anywhere.
	Cut func(ctx context.Context, first events.Seq) error
}

// each is what reconcilers append with.
type each interface {
	AppendEach(ctx context.Context, batches [][]bus.Record) ([]events.Seq, []error)
}

// timeout bounds every wait of the suite.
const timeout = 20 * time.Second

// Log runs the suite; open makes an empty log that is closed with the test.
func Log(t *testing.T, open func(t *testing.T) LogUnderTest) {
	for name, f := range map[string]func(*testing.T, LogUnderTest){
		"appends in order":                   order,
		"keeps envelopes":                    envelopes,
		"refuses stale expectations":         conflicts,
		"stores a batch whole or not at all": atomicity,
		"expects before the batch":           sameSubject,
		"appends each for itself":            appendEach,
		"appends bodies before what needs":   bodiesBefore,
		"holds its limits":                   limits,
		"follows without gaps":               follow,
		"reads to the end it had":            readBounds,
		"refuses a start that is not there":  starts,
		"waits for durability":               durability,
		"finds what speaks of an object":     about,
		"lets one of many writers win":       race,
		"ends when closed":                   closing,
	} {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// event is an event on a subject of its own kind.
func event(name string) events.Envelope {
	return events.Envelope{Subject: events.SpecSubject(events.Key{Resource: "pods", Namespace: "default", Name: name}),
		Type: "pods.created", Version: 1, Actor: "user:alice", Body: []byte(`{"name":"` + name + `"}`)}
}

func plain(names ...string) []bus.Record {
	var out []bus.Record
	for _, n := range names {
		out = append(out, bus.Record{Envelope: event(n)})
	}
	return out
}

func numbered(from, n int) []bus.Record {
	var out []bus.Record
	for i := range n {
		out = append(out, bus.Record{Envelope: event(fmt.Sprintf("p%d", from+i))})
	}
	return out
}

func must(t *testing.T, l bus.Log, batch []bus.Record) events.Seq {
	t.Helper()
	seq, err := l.Append(bounded(t), batch)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return seq
}

func all(t *testing.T, l bus.Log) []events.Envelope {
	t.Helper()
	var out []events.Envelope
	if err := l.Read(bounded(t), 1, func(e events.Envelope) error { out = append(out, e); return nil }); err != nil {
		t.Fatalf("read: %v", err)
	}
	return out
}

func order(t *testing.T, u LogUnderTest) {
	b, err := u.Log.Bounds(bounded(t))
	if err != nil || b != (bus.Bounds{First: 1, Last: 0}) {
		t.Fatalf("bounds of an empty log: %+v, %v", b, err)
	}
	if seq := must(t, u.Log, plain("a")); seq != 1 {
		t.Errorf("first sequence %d", seq)
	}
	if seq := must(t, u.Log, plain("b", "c", "d")); seq != 2 {
		t.Errorf("first of a batch of 3: %d", seq)
	}
	if seq := must(t, u.Log, plain("e")); seq != 5 {
		t.Errorf("after the batch: %d", seq)
	}
	got := all(t, u.Log)
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		if i >= len(got) || got[i].Seq != events.Seq(i+1) || got[i].Subject != event(name).Subject {
			t.Fatalf("event %d: %+v", i+1, got)
		}
		if i > 0 && got[i].Time.Before(got[i-1].Time) || got[i].Time.IsZero() {
			t.Errorf("time of %d runs back: %s", i+1, got[i].Time)
		}
	}
	if b, err = u.Log.Bounds(bounded(t)); err != nil || b != (bus.Bounds{First: 1, Last: 5}) {
		t.Errorf("bounds: %+v, %v", b, err)
	}
}

func envelopes(t *testing.T, u LogUnderTest) {
	e := event("a")
	e.Actor, e.Cause, e.Basis, e.Epoch, e.Op = "reconciler:deployment", 7, 8, 9, "0123456789abcdef"
	e.Reconciler, e.Message = "deployment/1", "stave apply -f -\n\twith \"quotes\", an ä, and\r\nlines "
	e.Now = time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	big := event("big")
	big.Body = []byte(`"` + strings.Repeat("x", 6<<20) + `"`)
	must(t, u.Log, []bus.Record{{Envelope: e}})
	must(t, u.Log, []bus.Record{{Envelope: big}})
	empty := event("empty")
	empty.Body = nil
	must(t, u.Log, []bus.Record{{Envelope: empty}, {Envelope: big}})
	got := all(t, u.Log)
	if len(got) != 4 {
		t.Fatalf("%d events", len(got))
	}
	for i, want := range []events.Envelope{e, big, empty, big} {
		have := got[i]
		if string(have.Body) != string(want.Body) {
			t.Errorf("event %d: body of %d bytes, want %d", i, len(have.Body), len(want.Body))
		}
		have.Body, want.Body = nil, nil
		have.Seq, have.Time = 0, time.Time{}
		if fmt.Sprintf("%#v", have) != fmt.Sprintf("%#v", want) {
			t.Errorf("event %d:\nhave %#v\nwant %#v", i, have, want)
		}
	}
}

func wantConflict(t *testing.T, err error, name string, want, have events.Seq) {
	t.Helper()
	var c *bus.ConflictError
	if !errors.As(err, &c) {
		t.Fatalf("no conflict but %v", err)
	}
	if c.Subject != event(name).Subject || c.Want != want || c.Have != have && c.Have != 0 {
		t.Errorf("conflict %v, want %s: want %d, have %d", c, event(name).Subject, want, have)
	}
}

func conflicts(t *testing.T, u LogUnderTest) {
	ctx := bounded(t)
	put := func(name string, expect events.Seq) (events.Seq, error) {
		return u.Log.Append(ctx, []bus.Record{bus.Expecting(event(name), expect)})
	}
	if seq, err := put("a", 0); err != nil || seq != 1 {
		t.Fatalf("first of a subject: %d, %v", seq, err)
	}
	_, err := put("a", 0)
	wantConflict(t, err, "a", 0, 1)
	if seq, err := put("b", 0); err != nil || seq != 2 {
		t.Fatalf("another subject: %d, %v", seq, err)
	}
	_, err = put("a", 2) // of the log, but not of this subject
	wantConflict(t, err, "a", 2, 1)
	if seq, err := put("a", 1); err != nil || seq != 3 {
		t.Fatalf("with the right expectation: %d, %v", seq, err)
	}
	_, err = put("never", 3)
	wantConflict(t, err, "never", 3, 0)
	if n := len(all(t, u.Log)); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

func atomicity(t *testing.T, u LogUnderTest) {
	must(t, u.Log, plain("a"))
	_, err := u.Log.Append(bounded(t), []bus.Record{bus.Expecting(event("x"), 0), bus.Expecting(event("a"), 9), bus.Expecting(event("y"), 0)})
	wantConflict(t, err, "a", 9, 1)
	if n := len(all(t, u.Log)); n != 1 {
		t.Fatalf("%d events after a refused batch, want 1", n)
	}
	seq := must(t, u.Log, []bus.Record{bus.Expecting(event("x"), 0), bus.Expecting(event("a"), 1), bus.Expecting(event("y"), 0)})
	if seq != 2 {
		t.Errorf("a refused batch took sequences: next is %d", seq)
	}
}

func sameSubject(t *testing.T, u LogUnderTest) {
	first := must(t, u.Log, []bus.Record{{Envelope: event("a")}, bus.Expecting(event("a"), 0), {Envelope: event("a")}})
	if first != 1 {
		t.Fatalf("first of one subject three times: %d", first)
	}
	_, err := u.Log.Append(bounded(t), []bus.Record{bus.Expecting(event("a"), 3), bus.Expecting(event("a"), 4)})
	wantConflict(t, err, "a", 4, 3)
	if n := len(all(t, u.Log)); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

func appendEach(t *testing.T, u LogUnderTest) {
	l, ok := u.Log.(each)
	if !ok {
		t.Fatal("the log has no AppendEach")
	}
	must(t, u.Log, plain("old"))
	for _, more := range [][]bus.Record{plain("s"), plain("m", "n")} {
		before := len(all(t, u.Log))
		batches := [][]bus.Record{plain("a"), {bus.Expecting(event("old"), 99)}, nil, more, plain("z")}
		firsts, errs := l.AppendEach(bounded(t), batches)
		if len(firsts) != 5 || len(errs) != 5 {
			t.Fatalf("%d sequences and %d errors for 5 batches", len(firsts), len(errs))
		}
		wantConflict(t, errs[1], "old", 99, 1)
		if errs[2] == nil {
			t.Error("an empty batch was stored")
		}
		got := all(t, u.Log)
		for _, i := range []int{0, 3, 4} {
			if errs[i] != nil {
				t.Fatalf("batch %d: %v", i, errs[i])
			}
			for j, r := range batches[i] {
				if e := got[int(firsts[i])-1+j]; e.Subject != r.Envelope.Subject {
					t.Errorf("batch %d at %d: %s, want %s", i, firsts[i], e.Subject, r.Envelope.Subject)
				}
			}
		}
		if len(got)-before != 2+len(more) {
			t.Errorf("%d events more, want %d", len(got)-before, 2+len(more))
		}
	}
}

// bodiesBefore appends events with the bodies that they refer to: these are there when the event is.
func bodiesBefore(t *testing.T, u LogUnderTest) {
	l, ok := u.Log.(each)
	if !ok {
		t.Fatal("the log has no AppendEach")
	}
	must(t, u.Log, plain("old"))
	body := func(hash string) bus.Record {
		return bus.Record{Envelope: events.Envelope{Subject: events.TemplateSubject(events.Hash(hash)), Type: events.TemplateStored, Version: 1, Body: []byte(`{}`)}}
	}
	batches := [][]bus.Record{{body("h1"), bus.Expecting(event("new"), 0)}, {body("h2"), body("h3"), bus.Expecting(event("old"), 99)}, plain("z")}
	firsts, errs := l.AppendEach(bounded(t), batches)
	if errs[0] != nil || errs[2] != nil {
		t.Fatal(errs)
	}
	wantConflict(t, errs[1], "old", 99, 1)
	got := all(t, u.Log)
	for _, i := range []int{0, 2} {
		for j, r := range batches[i] {
			if e := got[int(firsts[i])-1+j]; e.Subject != r.Envelope.Subject {
				t.Errorf("batch %d at %d: %s, want %s", i, firsts[i], e.Subject, r.Envelope.Subject)
			}
		}
	}
	if got[len(got)-1].Subject != batches[2][0].Envelope.Subject {
		t.Errorf("the last is %s", got[len(got)-1].Subject)
	}
}

func limits(t *testing.T, u LogUnderTest) {
	if first := must(t, u.Log, numbered(0, bus.MaxBatch)); first != 1 {
		t.Errorf("first of a full batch: %d", first)
	}
	if _, err := u.Log.Append(bounded(t), numbered(0, bus.MaxBatch+1)); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("a batch over the limit: %v", err)
	}
	e := event("big")
	e.Body = make([]byte, bus.MaxBody+1)
	if _, err := u.Log.Append(bounded(t), []bus.Record{{Envelope: e}}); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("a body over the limit: %v", err)
	}
	if _, err := u.Log.Append(bounded(t), nil); err == nil {
		t.Error("an empty batch was stored")
	}
	if n := len(all(t, u.Log)); n != bus.MaxBatch {
		t.Errorf("%d events, want %d", n, bus.MaxBatch)
	}
}

// race lets many expect the same and counts who got through.
func race(t *testing.T, u LogUnderTest) {
	const writers, rounds = 8, 20
	ctx := bounded(t)
	last := events.Seq(0)
	for round := range rounds {
		var wg sync.WaitGroup
		won := make(chan events.Seq, writers)
		for range writers {
			wg.Go(func() {
				seq, err := u.Log.Append(ctx, []bus.Record{bus.Expecting(event("a"), last)})
				if err == nil {
					won <- seq
				} else if c := (*bus.ConflictError)(nil); !errors.As(err, &c) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d writers won", round, len(won))
		}
		last = <-won
	}
	if n := len(all(t, u.Log)); n != rounds {
		t.Errorf("%d events, want %d", n, rounds)
	}
}
