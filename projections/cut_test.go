package projections_test

import (
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
)

// templated makes an object whose body is a template stored by content.
func templated(l *foldtest.Log, k events.Key, life int, labels string) events.Hash {
	body := []byte(foldtest.Template(labels))
	hash := events.HashOf(body)
	if _, ok := l.State.Template(hash); !ok {
		l.Add(events.Envelope{Subject: events.TemplateSubject(hash), Type: events.TemplateStored, Body: body})
	}
	l.Spec(k, events.VerbCreated, events.Controller("replicaset"), 0, events.Created{UID: foldtest.UID(k, life), Template: hash, Object: []byte(`{}`)})
	return hash
}

// A cut forgets what only events below the horizon could ask for, and nothing else.
func TestACutForgetsWhatLiesBelow(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	stays, goes, later := foldtest.Pod(1), foldtest.Pod(2), foldtest.Pod(3)
	templated(l, stays, 1, `,"a":"stays"`)
	gone := templated(l, goes, 1, `,"a":"goes"`)
	l.Remove(goes)
	below := l.State.Seq + 1
	templated(l, later, 1, `,"a":"later"`)
	l.Remove(later)

	first := l.Cut(below)
	s := l.State
	if s.Horizon != below || s.LastSpec(goes) != 0 || s.LastSpec(stays) == 0 || s.LastSpec(later) == 0 {
		t.Errorf("horizon %d, last sequences %d %d %d", s.Horizon, s.LastSpec(goes), s.LastSpec(stays), s.LastSpec(later))
	}
	// That nothing refers to the template is known from the cut on.
	if _, ok := s.Template(gone); !ok {
		t.Error("a template is forgotten while events above the horizon may refer to it")
	}
	l.Cut(first)
	if _, ok := l.State.Template(gone); !ok {
		t.Error("a template is forgotten at the cut that the horizon has just reached")
	}
	l.Cut(first + 1)
	if _, ok := l.State.Template(gone); ok {
		t.Error("a template that nothing inside the horizon refers to is kept")
	}
	if o, ok := l.State.Get(stays); !ok || len(o.PodSpec().Containers) != 1 {
		t.Error("a template in use is forgotten")
	}
	if l.Cut(l.State.Seq + 2); l.State.Horizon != first+1 || l.State.Void != 1 {
		t.Errorf("what has not happened is cut: horizon %d", l.State.Horizon)
	}
	if l.Cut(2); l.State.Horizon != first+1 {
		t.Errorf("the horizon went back to %d", l.State.Horizon)
	}
}

// A template that is used again is in use: the next cuts leave it.
func TestATemplateUsedAgainStays(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	k := foldtest.Pod(1)
	hash := templated(l, k, 1, "")
	l.Remove(k)
	idle := l.Cut(1)
	templated(l, k, 2, "")
	l.Cut(idle + 1)
	l.Remove(k)
	last := l.Cut(idle + 1)
	if _, ok := l.State.Template(hash); !ok {
		t.Error("the template of the second life is forgotten by the idleness of the first")
	}
	l.Cut(last + 1)
	if _, ok := l.State.Template(hash); ok {
		t.Error("it is kept for ever")
	}
}

// However long a log, with a horizon its state does not grow.
func TestWithAHorizonAStateIsBounded(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	size := func(turns int) int {
		for range turns {
			n := int(l.State.Seq)
			k := foldtest.Pod(n)
			templated(l, k, n, `,"n":"`+k.Name+`"`)
			l.Remove(k)
			l.Cut(max(l.State.Seq, 60) - 59)
		}
		return len(kept(t, l.State))
	}
	once := size(60)
	if later := size(600); later > once+once/10 {
		t.Errorf("%d bytes after 60 lives, %d after 660", once, later)
	}
}
