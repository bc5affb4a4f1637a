package why_test

import (
	"reflect"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/table"
	"github.com/stave-run/stave/projections/why"
)

// rowsOf is what a teller says of one object.
func rowsOf(t *why.Teller, k events.Key) []table.EventRow {
	var out []table.EventRow
	for _, x := range t.Rows(func(other events.Key) bool { return other == k }) {
		out = append(out, x.Row)
	}
	return out
}

func TestTellerSaysOfEachObjectWhatDescribeSays(t *testing.T) {
	l := foldtest.Nginx(2)
	all := why.NewTeller(l.State)
	for _, e := range l.Events {
		all.Take(e)
	}
	for _, k := range []events.Key{foldtest.Deployment, foldtest.Pod(0), foldtest.Pod(1), foldtest.Key(events.Nodes, "n1")} {
		f := why.For(l.State, k)
		var kept []events.Envelope
		for _, e := range l.Events {
			if e.Seq >= f.From && f.Keep(e) {
				kept = append(kept, e)
			}
		}
		want, got := why.EventsOf(kept, k), rowsOf(all, k)
		if len(want) == 0 || len(want) != len(got) {
			t.Fatalf("%s: %d rows, want %d", k, len(got), len(want))
		}
		for _, r := range want {
			found := false
			for _, g := range got {
				found = found || reflect.DeepEqual(r, g)
			}
			if !found {
				t.Errorf("%s: nobody told %+v", k, r)
			}
		}
	}
}

func TestTellerThatBeginsInTheMiddleInventsNoScaling(t *testing.T) {
	l := foldtest.Nginx(2)
	late := why.NewTeller(l.State)
	for _, e := range l.Events {
		if k, err := e.Subject.Key(); err == nil && k.Resource == events.ReplicaSets && e.Type.Verb() == events.VerbCreated {
			continue // it lies before the first event that is read
		}
		late.Take(e)
	}
	for _, r := range rowsOf(late, foldtest.Deployment) {
		if r.Reason == "ScalingReplicaSet" {
			t.Errorf("told %q", r.Message)
		}
	}
}
