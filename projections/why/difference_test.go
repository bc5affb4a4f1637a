package why_test

import (
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/why"
)

func TestCompare(t *testing.T) {
	l := foldtest.Nginx(3)
	before := l.State
	explain := func(projections.State, events.Key) []events.Reason {
		return []events.Reason{{Code: "Unschedulable", Said: "0/1 nodes are available."}}
	}
	if d := why.Compare(before, before, explain); !d.Empty() || !strings.HasPrefix(d.String(), "no pod") {
		t.Errorf("nothing changed: %s", d)
	}
	l.Delete(foldtest.Pod(0), "user:ann", 30) // wanted gone
	l.Remove(foldtest.Pod(1))                 // gone
	big := foldtest.Key(events.Pods, "big")
	l.Create(big, `{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	placed := foldtest.Key(events.Pods, "placed")
	l.Create(placed, `{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	l.Assign("n1", placed)
	d := why.Compare(before, l.State, explain)
	if len(d.Gone) != 2 || len(d.Made) != 1 || len(d.Unplaced) != 1 || d.Unplaced[0].Before || d.Unplaced[0].Pod != big {
		t.Errorf("%+v", d)
	}
	if d.Gone[0].Owner != foldtest.Deployment || d.Gone[0].Node != "n1" || d.Made[0].Node != "n1" {
		t.Errorf("%+v", d)
	}
	for _, want := range []string{"2 gone (n1 2)", "1 made (n1 1)", "1 left without a node\n", "0/1 nodes are available."} {
		if !strings.Contains(d.String(), want) {
			t.Errorf("no %q in\n%s", want, d)
		}
	}
	if d := why.Compare(l.State, l.State, explain); len(d.Made)+len(d.Gone) != 0 || d.Moves() || !strings.Contains(d.String(), "as before") {
		t.Errorf("what waited before: %s", d)
	}
	waited := l.State
	l.Assign("n1", big)
	if d := why.Compare(waited, l.State, explain); len(d.Made) != 1 || d.Made[0].Pod != big {
		t.Errorf("what waits no longer: %+v", d)
	}
}

// Who may make no more pods is told, with what keeps it from that; it is no news when it was so before.
func TestCompareTellsWhoIsBarred(t *testing.T) {
	l := foldtest.Nginx(3)
	before := l.State
	l.Conclude(foldtest.ReplicaSet, events.Reason{Code: events.FailedCreate, About: foldtest.Pod(3), Said: "exceeded quota: few"})
	d := why.Compare(before, l.State, nil)
	want := foldtest.Deployment.String() + ": makes no more pods: exceeded quota: few\n"
	if len(d.Barred) != 1 || !d.Moves() || d.String() != want {
		t.Errorf("got %+v\n%s", d, d)
	}
	d = why.Compare(l.State, l.State, nil)
	if len(d.Barred) != 1 || d.Moves() || !strings.Contains(d.String(), "makes no more pods, as before: exceeded") {
		t.Errorf("got %+v\n%s", d, d)
	}
	l.Conclude(foldtest.ReplicaSet)
	if d := why.Compare(before, l.State, nil); !d.Empty() {
		t.Errorf("got %+v", d)
	}
}
