package jetstream

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// benchRecords are events of 300 bytes, each on a subject of its own.
func benchRecords(n int, expect bool) []bus.Record {
	body := make([]byte, 300)
	for i := range body {
		body[i] = '7'
	}
	out := make([]bus.Record, n)
	for i := range out {
		k := events.Key{Resource: "pods", Namespace: "default", Name: fmt.Sprintf("p%d", i)}
		e := events.Envelope{Subject: events.SpecSubject(k), Type: "pods.created", Version: 1, Actor: "user:alice", Body: body}
		out[i] = bus.Record{Envelope: e}
		if expect {
			out[i] = bus.Expecting(e, 0)
		}
	}
	return out
}

func durably(b *testing.B, l *Log, seq events.Seq, err error) {
	if err == nil {
		err = l.WaitDurable(b.Context(), seq)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAppend is one event at a time, durable before the next.
func BenchmarkAppend(b *testing.B) {
	l := openTest(b, b.TempDir(), nil).Log()
	r := benchRecords(1, false)
	for b.Loop() {
		seq, err := l.Append(b.Context(), r)
		durably(b, l, seq, err)
	}
}

// BenchmarkCompareAndAppend is the same with the subject's last sequence.
func BenchmarkCompareAndAppend(b *testing.B) {
	l := openTest(b, b.TempDir(), nil).Log()
	e, last := benchRecords(1, false)[0].Envelope, events.Seq(0)
	for b.Loop() {
		seq, err := l.Append(b.Context(), []bus.Record{bus.Expecting(e, last)})
		durably(b, l, seq, err)
		last = seq
	}
}

// BenchmarkAppendEach is a reconcilers' pass of independent events; per event.
func BenchmarkAppendEach(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := openTest(b, b.TempDir(), nil).Log()
			var batches [][]bus.Record
			for _, r := range benchRecords(n, false) {
				batches = append(batches, []bus.Record{r})
			}
			for i := 0; i < b.N; i += n {
				firsts, errs := l.AppendEach(b.Context(), batches)
				durably(b, l, firsts[n-1], errors.Join(errs...))
			}
		})
	}
}

// BenchmarkAppendAtomic is one batch, whole or not at all; per event.
func BenchmarkAppendAtomic(b *testing.B) {
	for _, n := range []int{2, 10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := openTest(b, b.TempDir(), nil).Log()
			batch := benchRecords(n, false)
			for i := 0; i < b.N; i += n {
				first, err := l.Append(b.Context(), batch)
				durably(b, l, first+events.Seq(n-1), err)
			}
		})
	}
}

// BenchmarkRead is what a fold reads at start; per event.
func BenchmarkRead(b *testing.B) {
	l := openTest(b, b.TempDir(), nil).Log()
	const n = 50_000
	for range n / bus.MaxBatch {
		if _, err := l.Append(b.Context(), benchRecords(bus.MaxBatch, false)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for i := 0; i < b.N; i += n {
		if err := l.Read(b.Context(), 1, func(events.Envelope) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFollow is from Append to the follower.
func BenchmarkFollow(b *testing.B) {
	l := openTest(b, b.TempDir(), nil).Log()
	seen := make(chan events.Seq, 1)
	go func() {
		_ = l.Follow(b.Context(), 1, func(e events.Envelope) error { seen <- e.Seq; return nil }) // ends with the benchmark
	}()
	r := benchRecords(1, false)
	for b.Loop() {
		seq, err := l.Append(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		if got := <-seen; got != seq {
			b.Fatalf("followed %d, appended %d", got, seq)
		}
	}
}
