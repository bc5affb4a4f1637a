package run

import (
	"cmp"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// fate draws what a log may do to an append that did not land.
func fate(t *rapid.T) error {
	switch rapid.IntRange(0, 9).Draw(t, "fate") {
	case 0:
		return &bus.ConflictError{}
	case 1:
		return bus.ErrDoubt
	}
	return nil
}

// probe is a reconciler that a test scripts.
type probe struct {
	name   string
	decide func(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision
	asked  []events.Key
	// resource is what it is asked about; empty is ConfigMaps.
	resource events.Resource
}

func (p *probe) Name() string             { return p.name }
func (p *probe) Version() int             { return 7 }
func (p *probe) Reads() []events.Resource { return []events.Resource{events.ConfigMaps} }
func (p *probe) Writes() []events.Type {
	return []events.Type{events.TypeOf(events.ConfigMaps, events.VerbCreated), events.TypeOf(events.ConfigMaps, events.VerbRemoved),
		events.TypeOf(events.Jobs, events.VerbDeletionRequested)}
}

func (p *probe) Keys(_ reconcilers.View, c projections.Change) []events.Key {
	if c.Key.Resource != cmp.Or(p.resource, events.ConfigMaps) || c.After == nil {
		return nil
	}
	return []events.Key{c.Key}
}

func (p *probe) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	p.asked = append(p.asked, k)
	return p.decide(v, k, now)
}

func nothing(reconcilers.View, events.Key, time.Time) reconcilers.Decision {
	return reconcilers.Decision{}
}

func conf(name string) events.Key { return stage.In(events.ConfigMaps, name) }

func probed(t *testing.T, ps ...*probe) (*stage.World, *Step) {
	t.Helper()
	var rs []reconcilers.Reconciler
	for _, p := range ps {
		rs = append(rs, p)
	}
	s, err := NewStep("c", rs...)
	if err != nil {
		t.Fatal(err)
	}
	w := stage.New()
	w.OnFold = func(e events.Envelope, changes []projections.Change) { s.Changed(w.State, e, changes) }
	return w, s
}

func lease(w *stage.World, s *Step) {
	s.Lease(w.Append(events.Envelope{Subject: events.LeaseSubject, Type: events.LeaseTaken, Body: []byte(`{"holder":"me"}`)}))
}

func remove(v reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok {
		return reconcilers.Decision{}
	}
	return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Remove(o)}}
}

func TestRecordSaysWhoWhyAndOnWhatBasis(t *testing.T) {
	p := &probe{name: "probe", decide: func(_ reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
		return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Create(conf("child"), events.Created{Object: []byte(`{}`)})}}
	}}
	w, s := probed(t, p)
	w.Apply(conf("a"), `{}`)
	if _, ok := s.Next(w.State, w.Now); ok {
		t.Fatal("decided without a lease")
	}
	lease(w, s)
	work, ok := s.Next(w.State, w.Now)
	if !ok || len(work.Records) != 1 {
		t.Fatalf("no work: %+v", work)
	}
	e := work.Records[0].Envelope
	op := events.NewOpID("c", "reconciler:probe", "2", conf("a"), 0)
	if e.Actor != "reconciler:probe" || e.Cause != 1 || e.Basis != 2 || e.Epoch != 2 || e.Op != op || e.Reconciler != "probe/7" || !e.Now.Equal(w.Now) {
		t.Errorf("envelope %+v", e)
	}
	if b, err := events.Decode[events.Created](e); err != nil || b.UID != events.NewUID(op) {
		t.Errorf("body %s: %v", e.Body, err)
	}
	if x := work.Records[0].Expect; x == nil || *x != 0 {
		t.Errorf("expects %v", x)
	}
}

func TestRefusesWhatIsNotDeclared(t *testing.T) {
	for name, drafts := range map[string][]reconcilers.Draft{
		"type":     {reconcilers.Assign("n", events.Assigned{})},
		"too many": make([]reconcilers.Draft, reconcilers.MaxSteps+1),
		"twice":    {reconcilers.Create(conf("x"), events.Created{}), reconcilers.Create(conf("x"), events.Created{})},
	} {
		t.Run(name, func(t *testing.T) {
			p := &probe{name: "probe", decide: func(reconcilers.View, events.Key, time.Time) reconcilers.Decision {
				return reconcilers.Decision{Events: drafts, More: true}
			}}
			w, s := probed(t, p)
			lease(w, s)
			w.Apply(conf("a"), `{}`)
			work, ok := s.Next(w.State, w.Now)
			if !ok || work.Refused == nil || len(work.Records) != 0 {
				t.Fatalf("not refused: %+v", work)
			}
			s.Done(work, 0, nil)
			if !s.Idle() {
				t.Error("a refused decision is asked for again and again")
			}
		})
	}
}

func TestTwoOfOneNameAreRefused(t *testing.T) {
	if _, err := NewStep("c", &probe{name: "p"}, &probe{name: "p"}); err == nil {
		t.Error("accepted")
	}
}

func TestTurnsAreFair(t *testing.T) {
	p := &probe{name: "probe"}
	p.decide = func(_ reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
		return reconcilers.Decision{More: k == conf("big")}
	}
	w, s := probed(t, p)
	lease(w, s)
	for _, name := range []string{"big", "b", "c"} {
		w.Apply(conf(name), `{}`)
	}
	for range 5 {
		work, _ := s.Next(w.State, w.Now)
		s.Done(work, 0, nil)
	}
	var got []string
	for _, k := range p.asked {
		got = append(got, k.Name)
	}
	if strings.Join(got, " ") != "big b c big big" {
		t.Errorf("turns %v", got)
	}
}

func TestNoDecisionOnAViewWithoutOwnAppends(t *testing.T) {
	p := &probe{name: "probe", decide: remove}
	w, s := probed(t, p)
	lease(w, s)
	w.Apply(conf("a"), `{}`)
	w.Apply(conf("b"), `{}`)
	old := w.State
	work, _ := s.Next(old, w.Now)
	first := w.Append(work.Records[0].Envelope)
	s.Done(work, first, nil)
	if _, ok := s.Next(old, w.Now); ok {
		t.Error("decided on a view that lacks the append")
	}
	if work, ok := s.Next(w.State, w.Now); !ok || work.Key != conf("b") {
		t.Errorf("next is %v", work.Key)
	}
}

func TestTwoReconcilersNeverWriteOneObjectOnOneView(t *testing.T) {
	p, q := &probe{name: "p", decide: remove}, &probe{name: "q", decide: remove}
	w, s := probed(t, p, q)
	lease(w, s)
	w.Apply(conf("a"), `{}`)
	first, ok := s.Next(w.State, w.Now)
	if !ok {
		t.Fatal("no work")
	}
	if _, ok := s.Next(w.State, w.Now); ok {
		t.Fatal("both write")
	}
	if s.Idle() {
		t.Fatal("the second one is forgotten")
	}
	s.Done(first, w.Append(first.Records[0].Envelope), nil)
	if work, ok := s.Next(w.State, w.Now); !ok || len(work.Records) != 0 {
		t.Errorf("the second one decides %v on the new view", work.Records)
	}
}

// TestNothingIsMadeForOneThatIsAskedToGo: on one view either the owner is asked to go or something is made for it.
func TestNothingIsMadeForOneThatIsAskedToGo(t *testing.T) {
	ends := func(v reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
		o, ok := v.Get(k)
		if !ok || o.Deletion != nil {
			return reconcilers.Decision{}
		}
		return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.RequestDeletion(o, events.DeletionRequested{})}}
	}
	makes := func(v reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
		o, ok := v.Get(k)
		if !ok || o.Deletion != nil {
			return reconcilers.Decision{}
		}
		owner := &events.Owner{Resource: k.Resource, Name: k.Name, UID: o.UID}
		return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Create(conf("child"), events.Created{Owner: owner, Object: []byte(`{}`)})}}
	}
	for _, order := range [][]*probe{{{name: "a", decide: ends}, {name: "b", decide: makes}}, {{name: "a", decide: makes}, {name: "b", decide: ends}}} {
		for _, p := range order {
			p.resource = events.Jobs
		}
		w, s := probed(t, order...)
		lease(w, s)
		w.Apply(stage.In(events.Jobs, "j"), `{}`)
		first, ok := s.Next(w.State, w.Now)
		if !ok || len(first.Records) != 1 {
			t.Fatal("no work")
		}
		if second, ok := s.Next(w.State, w.Now); ok {
			t.Errorf("beside %s comes %s", first.Records[0].Envelope.Type, second.Records[0].Envelope.Type)
		}
		s.Done(first, w.Append(first.Records[0].Envelope), nil)
		if second, ok := s.Next(w.State, w.Now); !ok || (len(second.Records) == 0) != (first.Records[0].Envelope.Type.Verb() == events.VerbDeletionRequested) {
			t.Errorf("after %s: %v", first.Records[0].Envelope.Type, second.Records)
		}
	}
}

func TestFateOfAnAppend(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		after func(w *stage.World, s *Step) // what lets it be asked again
		now   bool                          // it is asked again at once
	}{
		{"conflict", &bus.ConflictError{}, nil, true},
		{"doubt", bus.ErrDoubt, func(w *stage.World, s *Step) { lease(w, s) }, false},
		{"full", bus.ErrFull, func(w *stage.World, _ *Step) { w.Now = w.Now.Add(retryAfter) }, false},
		{"wrapped doubt", errors.Join(errors.New("publish"), bus.ErrDoubt), func(w *stage.World, s *Step) { lease(w, s) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &probe{name: "probe", decide: remove}
			w, s := probed(t, p)
			lease(w, s)
			w.Apply(conf("a"), `{}`)
			work, _ := s.Next(w.State, w.Now)
			s.Done(work, 0, c.err)
			w.Apply(conf("a"), `{"data":{"x":"y"}}`) // events do not unpark what is in doubt
			if c.name == "full" {
				work, ok := s.Next(w.State, w.Now)
				if !ok {
					t.Fatal("an event wakes a key that rests")
				}
				s.Done(work, 0, c.err)
			}
			if _, ok := s.Next(w.State, w.Now); ok != c.now {
				t.Fatalf("asked again at once: %v", ok)
			}
			if c.after == nil {
				return
			}
			c.after(w, s)
			if work, ok := s.Next(w.State, w.Now); !ok || len(work.Records) != 1 {
				t.Errorf("never asked again: %v", ok)
			}
		})
	}
}

func TestWakesInOrder(t *testing.T) {
	p := &probe{name: "probe"}
	w, s := probed(t, p)
	at := map[string]time.Duration{"a": 3 * time.Second, "b": time.Second, "c": 2 * time.Second}
	p.decide = func(_ reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
		if now.Before(stage.Start.Add(at[k.Name])) {
			return reconcilers.Decision{WakeAt: stage.Start.Add(at[k.Name])}
		}
		return reconcilers.Decision{}
	}
	lease(w, s)
	for _, name := range []string{"a", "b", "c"} {
		w.Apply(conf(name), `{}`)
	}
	var order []string
	for range 20 {
		work, ok := s.Next(w.State, w.Now)
		if ok {
			if w.Now.After(stage.Start) {
				order = append(order, work.Key.Name)
			}
			s.Done(work, 0, nil)
			continue
		}
		if s.WakeAt().IsZero() {
			break
		}
		w.Now = s.WakeAt()
	}
	if strings.Join(order, " ") != "b c a" {
		t.Errorf("woken %v", order)
	}
	if len(s.items) != 0 {
		t.Errorf("%d idle keys are kept", len(s.items))
	}
}

func TestCauseStaysThatOfOthers(t *testing.T) {
	p := &probe{name: "probe", decide: nothing}
	w, s := probed(t, p)
	lease(w, s)
	w.Apply(conf("a"), `{}`) // 2
	o := w.Get(conf("a"))
	e := events.Envelope{Subject: events.SpecSubject(o.Key), Type: events.TypeOf(events.ConfigMaps, events.VerbChanged),
		Actor: "reconciler:probe", Body: events.MustBody(reconcilers.Same(o)), Epoch: 1}
	w.Append(e) // 3, its own
	p.decide = remove
	work, _ := s.Next(w.State, w.Now)
	if c := work.Records[0].Envelope.Cause; c != 2 {
		t.Errorf("cause %d", c)
	}
}

func TestPrimeAsksForEverything(t *testing.T) {
	p := &probe{name: "probe", decide: nothing}
	w, _ := probed(t, &probe{name: "other", decide: nothing})
	w.Apply(conf("a"), `{}`)
	w.Apply(conf("b"), `{}`)
	s, err := NewStep("c", p)
	if err != nil {
		t.Fatal(err)
	}
	lease(w, s)
	s.Prime(w.State)
	for work, ok := s.Next(w.State, w.Now); ok; work, ok = s.Next(w.State, w.Now) {
		s.Done(work, 0, nil)
	}
	if len(p.asked) != 2 {
		t.Errorf("asked %v", p.asked)
	}
}

func TestGraphNamesReadsAndWrites(t *testing.T) {
	want := "a/7: configmaps -> configmaps.created configmaps.removed jobs.batch.deletion-requested\nb/7: configmaps -> configmaps.created configmaps.removed jobs.batch.deletion-requested\n"
	if got := Graph([]reconcilers.Reconciler{&probe{name: "b"}, &probe{name: "a"}}); got != want {
		t.Errorf("got %q", got)
	}
}
