package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	inmemory "github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/reconcilers/stage"
)

// BenchmarkRefold is the first question about the middle of a log of 100,000
// changes, and the next one near it.
func BenchmarkRefold(b *testing.B) {
	w := stage.New()
	const many = 100_000
	for i := range many {
		k := stage.In(events.ConfigMaps, fmt.Sprint("c", i%1000))
		w.Apply(k, fmt.Sprintf(`{"metadata":{"name":%q},"data":{"n":"%d"}}`, k.Name, i))
	}
	log := inmemory.NewLog(func() time.Time { return stage.Start })
	for _, e := range w.Log {
		if _, err := log.Append(b.Context(), []bus.Record{{Envelope: e}}); err != nil {
			b.Fatal(err)
		}
	}
	ask := func(s *Server, seq events.Seq) {
		v, err := s.refold(b.Context(), w.State, wire.Moment{Seq: seq})
		if err != nil || v.Seq != seq {
			b.Fatal(v.Seq, err)
		}
	}
	b.Run("first", func(b *testing.B) {
		for range b.N {
			ask(&Server{Options: Options{Log: log, Now: time.Now}}, many-1)
		}
	})
	b.Run("next", func(b *testing.B) {
		s := &Server{Options: Options{Log: log, Now: time.Now}}
		ask(s, many-1)
		b.ResetTimer()
		for i := range b.N {
			ask(s, events.Seq(many/2+i%1000))
		}
	})
}
