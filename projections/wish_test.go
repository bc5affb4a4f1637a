package projections_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// wish is a large change of a person, written by hand.
type wish struct {
	id   events.ChangeID
	then []events.Wanted
	done int
}

func newWish(id events.ChangeID, n int) *wish {
	w := &wish{id: id}
	for i := range n {
		k := foldtest.Key(events.ConfigMaps, fmt.Sprintf("%s-%d", id, i))
		op := events.NewOpID("test", foldtest.Person, string(id), events.Key{}, i)
		w.then = append(w.then, events.Wanted{Subject: events.SpecSubject(k), Type: events.TypeOf(k.Resource, events.VerbCreated), Op: op,
			Body: events.MustBody(events.Created{UID: events.NewUID(op), Object: []byte(`{}`)})})
	}
	return w
}

// ask appends the wish in parts.
func (w *wish) ask(l *foldtest.Log, part int) {
	for from := 0; from < len(w.then); from += part {
		l.Add(events.Envelope{Subject: events.ChangeSubject(w.id), Type: events.ChangeAsked, Actor: foldtest.Person, Change: w.id, Message: "many", Now: l.Now,
			Body: events.MustBody(events.Asked{Of: len(w.then), From: from, Then: w.then[from:min(len(w.then), from+part)]})})
	}
}

// goOn appends the next n of its events.
func (w *wish) goOn(l *foldtest.Log, n int) {
	for range n {
		x := w.then[w.done]
		l.Add(events.Envelope{Subject: x.Subject, Type: x.Type, Op: x.Op, Actor: foldtest.Person, Change: w.id, Body: x.Body})
		w.done++
	}
}

func TestWishIsUnderWayUntilItsLastEvent(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	w := newWish("xm", 5)
	w.ask(l, 2)
	for done := range 5 {
		all := l.State.Wishes()
		if len(all) != 1 || all[0].Done != done || len(all[0].Rest(2)) != min(2, 5-done) || all[0].Rest(1)[0].Op != w.then[done].Op || all[0].Asked.Seq != 2 {
			t.Fatalf("after %d events: %+v", done, all)
		}
		l.Lease("b") // whoever decides finds it
		w.goOn(l, 1)
	}
	if all := l.State.Wishes(); len(all) != 0 {
		t.Errorf("at the end: %+v", all)
	}
	if m, ok := l.State.MadeBy(foldtest.Person, "xm"); !ok || m.Count != 5 || m.Last != l.State.Seq {
		t.Errorf("what was made: %+v", m)
	}
}

// What is no event of the wish, or one out of turn, is no progress; one that the
// fold makes nothing of is.
func TestWhatAdvancesAWish(t *testing.T) {
	l := foldtest.New()
	old := l.Lease("a")
	w := newWish("xm", 3)
	w.ask(l, 3)
	l.Create(foldtest.Key(events.ConfigMaps, "xm-0"), `{}`) // somebody was faster: the wish's own is void
	x := w.then[1]
	l.Add(events.Envelope{Subject: x.Subject, Type: x.Type, Op: x.Op, Actor: foldtest.Person, Change: "xm", Body: x.Body})
	if all := l.State.Wishes(); all[0].Done != 0 {
		t.Errorf("out of turn: %d", all[0].Done)
	}
	l.Lease("b")
	x = w.then[0]
	late := events.Envelope{Subject: x.Subject, Type: x.Type, Op: x.Op, Actor: foldtest.Person, Change: "xm", Body: x.Body, Epoch: old}
	if l.Add(late); l.State.Wishes()[0].Done != 0 {
		t.Error("an event of a lease that is over is progress")
	}
	void := l.State.Void
	w.goOn(l, 1)
	if l.State.Wishes()[0].Done != 1 || l.State.Void != void+1 {
		t.Errorf("a void event of the wish: %d done, %d void", l.State.Wishes()[0].Done, l.State.Void-void)
	}
}

func TestWishOfWhichAPartIsMissing(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	w := newWish("xm", 4)
	for _, from := range []int{0, 3} {
		l.Add(events.Envelope{Subject: events.ChangeSubject("xm"), Type: events.ChangeAsked, Actor: foldtest.Person, Change: "xm",
			Body: events.MustBody(events.Asked{Of: 4, From: from, Then: w.then[from : from+1]})})
	}
	if all := l.State.Wishes(); len(all) != 0 || l.State.Void != 1 {
		t.Errorf("%d to carry out, %d void", len(all), l.State.Void)
	}
}

func TestLastMadeIsBounded(t *testing.T) {
	l := foldtest.New()
	k := foldtest.Key(events.ConfigMaps, "settings")
	l.Create(k, `{}`)
	for i := range 3 * projections.MaxMade {
		o, _ := l.State.Get(k)
		l.Add(events.Envelope{Subject: events.SpecSubject(k), Type: events.TypeOf(k.Resource, events.VerbChanged), Actor: foldtest.Person,
			Change: events.ChangeID(fmt.Sprint(i / 2)), Body: events.MustBody(events.Changed{UID: o.UID, Generation: 1, Object: []byte(`{}`)})})
	}
	all := l.State.LastMade()
	if len(all) < projections.MaxMade || len(all) > 2*projections.MaxMade {
		t.Fatalf("%d are remembered", len(all))
	}
	for i, m := range all {
		if m.ID == "" {
			continue // the creation
		}
		if m.Count != 2 || m.Last != m.First+1 || i > 0 && all[i-1].First < m.First {
			t.Fatalf("%d: %+v", i, m)
		}
	}
	if s := restored(t, kept(t, l.State)); !bytes.Equal(s.Dump(), l.State.Dump()) {
		t.Error("a checkpoint loses some")
	}
}
