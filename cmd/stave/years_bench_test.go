package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/bus/segment"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/api"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/follow"
	"github.com/stave-run/stave/reconcilers/schedule"
)

// The log of years: this many events, about 20,000 ConfigMaps in turn, each a
// person's change, sealed as a cluster seals it.
const (
	yearsEvents   = 1_000_000
	yearsObjects  = 20_000
	yearsSegment  = 16_384
	yearsKeptEach = 32_768
)

func yearsKey(i int) events.Key {
	return events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: fmt.Sprintf("conf-%05d", i%yearsObjects)}
}

// years writes the log into a directory and gives how long the fold of it took.
func years(b *testing.B, dir string) (fold time.Duration) {
	b.Helper()
	say := func(line string) { b.Error(line) }
	sealed, err := segment.Open(jetstream.Segments(dir), say)
	if err != nil {
		b.Fatal(err)
	}
	kept, err := follow.OpenCheckpoints(checkpointsIn(dir))
	if err != nil {
		b.Fatal(err)
	}
	s, at := projections.Empty(), time.Now().Add(-yearsEvents*time.Second)
	var some []events.Envelope
	for i := range yearsEvents {
		k, verb := yearsKey(i), events.VerbChanged
		uid := events.NewUID(events.NewOpID("years", "user:ann", "", k, 0))
		object := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"labels":{"app":"years"}},"data":{"n":"%d"}}`, k.Name, i)
		body := events.MustBody(events.Changed{UID: uid, Generation: 1, Object: []byte(object)})
		if i < yearsObjects {
			verb, body = events.VerbCreated, events.MustBody(events.Created{UID: uid, Object: []byte(object)})
		}
		some = append(some, events.Envelope{Subject: events.SpecSubject(k), Seq: events.Seq(i + 1), Time: at.Add(time.Duration(i) * time.Second).UTC(), Version: 1,
			Type: events.TypeOf(k.Resource, verb), Actor: "user:ann", Op: events.NewOpID("years", "user:ann", fmt.Sprint(i), k, 0), Message: "stave apply", Body: body})
		if len(some) < yearsSegment && i+1 < yearsEvents {
			continue
		}
		began := time.Now()
		bulk := projections.NewBulk(s)
		for _, e := range some {
			bulk.Apply(e)
		}
		s = bulk.State()
		fold += time.Since(began)
		if err := sealed.Seal(some); err != nil {
			b.Fatal(err)
		}
		if last := some[len(some)-1]; last.Seq%yearsKeptEach == 0 || i+1 == yearsEvents {
			if err := kept.Save(s, last); err != nil {
				b.Fatal(err)
			}
		}
		some = nil
	}
	return fold
}

// BenchmarkYears is what people do with a log of a million events: a start on
// it, a look at any moment, and questions about one object; medians. Run it with
// go test ./cmd/stave -run xxx -bench Years -benchtime 15x -timeout 20m
func BenchmarkYears(b *testing.B) {
	dir := b.TempDir()
	fold := years(b, dir)
	began := time.Now()
	foldAll(b, dir)
	measured(b, "verify and fold all from segments", time.Since(began), yearsEvents/fold.Seconds())
	cred, err := jetstream.LoadOrCreate(filepath.Join(b.TempDir(), "credentials"), personName)
	if err != nil {
		b.Fatal(err)
	}
	began = time.Now()
	s, err := jetstream.Open(b.Context(), jetstream.Options{Dir: dir, Name: "years", Credentials: []jetstream.Credential{cred}, Reserve: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	kept, err := follow.OpenCheckpoints(checkpointsIn(dir))
	if err != nil {
		b.Fatal(err)
	}
	view, err := follow.Open(b.Context(), s.Log(), follow.Options{Checkpoints: kept})
	if err != nil {
		b.Fatal(err)
	}
	defer view.Close()
	door, err := api.Serve(api.Options{Wires: s.Wires(), Log: s.Log(), Views: view, Past: kept, Writer: previewer{view}, Explain: schedule.Explain, Cluster: "years", Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer door.Close()
	measured(b, "start", time.Since(began), 0)
	c, err := s.Connect(personName)
	if err != nil {
		b.Fatal(err)
	}
	ask := func(verb string, request func(i int) any) func(*testing.B) {
		return func(b *testing.B) { median(b, c, verb, request) }
	}
	moment := func(i int) wire.Moment {
		return wire.Moment{Seq: events.Seq(yearsEvents - 1 - i*104729%(yearsEvents-yearsObjects))}
	}
	b.Run("get --at any moment", ask(wire.VerbRead, func(i int) any {
		return wire.ReadRequest{Resource: events.ConfigMaps, Namespace: "default", Names: []string{yearsKey(i).Name}, At: moment(i)}
	}))
	b.Run("get --at any time", ask(wire.VerbRead, func(i int) any {
		return wire.ReadRequest{Resource: events.ConfigMaps, Namespace: "default", Names: []string{yearsKey(i).Name},
			At: wire.Moment{Time: time.Now().Add(-time.Duration(i*104729%(yearsEvents-yearsObjects)) * time.Second)}}
	}))
	b.Run("history of the last changes", ask(wire.VerbChanges, func(int) any { return wire.ChangesRequest{Last: shownChanges} }))
	b.Run("undo --preview of any change", ask(wire.VerbUndo, func(i int) any {
		return wire.UndoRequest{Seq: moment(i).Seq, Preview: true, Force: true}
	}))
	b.Run("why", ask(wire.VerbWhy, func(i int) any { return wire.WhyRequest{Key: yearsKey(i * 31)} }))
	b.Run("history", ask(wire.VerbHistory, func(i int) any { return wire.HistoryRequest{Key: yearsKey(i * 37)} }))
	b.Run("blame", ask(wire.VerbBlame, func(i int) any { return wire.WhyRequest{Key: yearsKey(i * 41)} }))
}

// measured reports what was done once: it takes too long to be done again.
func measured(b *testing.B, name string, took time.Duration, foldAlone float64) {
	b.Run(name, func(b *testing.B) {
		for b.Loop() {
			_ = took // no more than this: it is over
		}
		b.ReportMetric(float64(took.Microseconds())/1000, "ms")
		if foldAlone > 0 {
			b.ReportMetric(foldAlone, "events/s/fold-alone")
		}
	})
}

// previewer decides on what is there and appends nothing.
type previewer struct{ *follow.Follower }

// Submit implements api.Writer.
func (p previewer) Submit(_ context.Context, w api.Wish) ([]events.Envelope, error) {
	_, err := w.Decide(p.Durable(), time.Now())
	return nil, err
}

func foldAll(b *testing.B, dir string) {
	b.Helper()
	a, err := segment.Open(jetstream.Segments(dir), func(line string) { b.Error(line) })
	if err != nil {
		b.Fatal(err)
	}
	if err := a.Verify(b.Context(), func(int, int) {}, func(err error) { b.Error(err) }); err != nil {
		b.Fatal(err)
	}
	fold := projections.NewBulk(projections.Empty())
	err = a.Read(b.Context(), 1, yearsEvents, func(e events.Envelope) error { fold.Apply(e); return nil })
	if err != nil || fold.Seq() != yearsEvents {
		b.Fatal(fold.Seq(), err)
	}
}

// median asks again and again and reports the answer that half were faster than.
func median(b *testing.B, c bus.Wires, verb string, request func(i int) any) {
	b.Helper()
	var took []time.Duration
	i := 0
	for b.Loop() {
		i++
		body := events.MustBody(request(i))
		began := time.Now()
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		raw, err := c.Request(ctx, wire.Subject(personName, verb), body)
		cancel()
		took = append(took, time.Since(began))
		var failed struct{ Error json.RawMessage }
		if err == nil {
			err = json.Unmarshal(raw, &failed)
		}
		if err != nil || len(failed.Error) > 0 && string(failed.Error) != "null" {
			b.Fatalf("%s: %v, %s", verb, err, failed.Error)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
}
