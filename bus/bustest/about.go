package bustest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// about looks for the events of objects, and reads single ones.
func about(t *testing.T, u LogUnderTest) {
	ctx := bounded(t)
	key := func(n int) events.Key {
		return events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: fmt.Sprint("c", n)}
	}
	want := map[events.Key][]events.Seq{}
	write := func(i int) {
		k := key(i % 7)
		e := events.Envelope{Subject: events.SpecSubject(k), Type: "configmaps.changed", Version: 1, Body: []byte(fmt.Sprint(i))}
		seq := must(t, u.Log, []bus.Record{{Envelope: e}})
		want[k] = append(want[k], seq)
		if err := u.Log.WaitDurable(ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
	find := func(k events.Key) {
		t.Helper()
		seqs, err := u.Log.About(ctx, k)
		if err != nil || !slices.Equal(seqs, want[k]) {
			t.Fatalf("about %s: %v, %v, want %v", k, seqs, err, want[k])
		}
		var got []events.Seq
		err = u.Log.At(ctx, seqs, func(e events.Envelope) error {
			if k, err := e.Subject.Key(); err != nil || !slices.Contains(want[k], e.Seq) {
				t.Errorf("event %d is %+v", e.Seq, e)
			}
			got = append(got, e.Seq)
			return nil
		})
		if err != nil || !slices.Equal(got, seqs) {
			t.Fatalf("read %v, %v, want %v", got, err, seqs)
		}
	}
	for i := range 60 {
		write(i)
		if i%20 == 10 {
			find(key(i % 7))
		}
	}
	for i := range 8 {
		find(key(i))
	}
	if err := u.Log.At(ctx, []events.Seq{999}, func(e events.Envelope) error { return fmt.Errorf("got %d", e.Seq) }); err != nil {
		t.Errorf("an event that is not there: %v", err)
	}
	if u.Cut == nil {
		return
	}
	cut(t, u, 30)
	for k := range want {
		want[k] = slices.DeleteFunc(want[k], func(seq events.Seq) bool { return seq < 30 })
	}
	write(60)
	find(key(60 % 7))
}
