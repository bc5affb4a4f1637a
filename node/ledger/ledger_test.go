package ledger

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// A feed that loses messages: whoever reads by the rules never stands on rows that lack a change, once the next message,
// or a beacon that speaks of him, has come.
func TestReadingNeverMissesAGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Reading{Stale: true}
		var last, lost events.Position
		epoch := events.Seq(1)
		r.Whole(projections.DesiredSet{Epoch: epoch})
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1: // a message
				m := projections.FeedMessage{Position: last + 1, Prev: last, Epoch: epoch}
				last++
				if rapid.Bool().Draw(t, "lost") {
					lost = last
					continue
				}
				news := r.Take(m)
				if news && lost != 0 {
					t.Fatalf("took %d though %d was lost", m.Position, lost)
				}
				if !news && !r.Stale {
					t.Fatalf("a message that is news was left out: %+v", m)
				}
			case 2: // one that came before
				if r.Take(projections.FeedMessage{Position: last, Prev: last, Epoch: epoch}) && lost != 0 {
					t.Fatal("took what follows a loss")
				}
			case 3:
				r.Beacon(projections.Beacon{Epoch: epoch, Nodes: map[string]events.Position{"n": last}}, "n")
				if lost != 0 && !r.Stale {
					t.Fatalf("the beacon at %d does not show that %d was lost", last, lost)
				}
			case 4:
				if r.Stale {
					r.Whole(projections.DesiredSet{Position: last, Epoch: epoch})
					lost = 0
				}
			}
		}
	})
}

// What a replica says that lags behind is not acted on: a pod that is over would run again. A log that was set back is believed in the end.
func TestReadingRefusesWhoIsBehind(t *testing.T) {
	at := func(seq events.Seq) projections.DesiredSet {
		return projections.DesiredSet{Position: events.At(seq, 0), Epoch: 7}
	}
	now := time.Unix(1000, 0)
	r := Reading{Stale: true}
	r.Settled(30)
	for _, step := range []struct {
		seq    events.Seq
		after  time.Duration
		behind bool
	}{{29, 0, true}, {30, 0, false}, {45, 0, false}, {44, 0, true}, {44, Patience - 1, true}, {44, Patience, false}, {31, 0, true}, {44, 0, false}} {
		if got := r.Behind(at(step.seq), now.Add(step.after)); got != step.behind {
			t.Fatalf("a set of %d for %+v is behind: %t", step.seq, r, got)
		}
		if !step.behind {
			r.Whole(at(step.seq))
			r.Settled(step.seq)
		}
	}
}

func TestReadingBeginsAnewWithAnotherWriter(t *testing.T) {
	r := Reading{At: 5, Epoch: 1}
	if r.Take(projections.FeedMessage{Position: 6, Prev: 5, Epoch: 2}) || !r.Stale {
		t.Errorf("took another writer's message: %+v", r)
	}
	r = Reading{At: 5, Epoch: 1}
	r.Beacon(projections.Beacon{Epoch: 2}, "n")
	if !r.Stale {
		t.Error("another writer's beacon is not noticed")
	}
	r = Reading{At: 5, Epoch: 1}
	r.Beacon(projections.Beacon{Epoch: 1, Nodes: map[string]events.Position{"m": 9}}, "n")
	if r.Stale {
		t.Error("a beacon that speaks of others makes stale")
	}
}

func TestFlightsLetGoOnlyOfWhatIsDurable(t *testing.T) {
	f := Flights{}
	f.Hear(7, 0)
	for i, seq := range []events.Seq{20, 21, 30} {
		if !f.Landed(uint64(i+1), seq, 7) {
			t.Fatal("a flush under the present lease does not count")
		}
	}
	if done := f.Hear(7, 21); done != 2 {
		t.Errorf("done %d, want 2", done)
	}
	// Another writer: what was not durable is said again.
	if done := f.Hear(8, 40); done != 2 || f.Sent != 2 {
		t.Errorf("done %d, sent %d, want 2 and 2", done, f.Sent)
	}
	if f.Landed(3, 41, 7) {
		t.Error("a flush under the old lease counts")
	}
	var g Flights
	g.Resume(8, []Flight{{3, 41}})
	if done := g.Hear(8, 41); done != 3 || g.Sent != 3 {
		t.Errorf("resumed: done %d, sent %d", done, g.Sent)
	}
}

func TestEventJoinsWhatIsOfOnePod(t *testing.T) {
	piece := func(num uint64, uid events.UID, assigned events.Seq, kind events.FactKind) Piece {
		return Piece{Num: num, Pod: &events.PodSeen{UID: uid, Assigned: assigned, Facts: []events.Fact{{Kind: kind}}}}
	}
	pieces := []Piece{piece(4, "a", 10, events.FactSandbox), piece(5, "b", 12, events.FactSandbox), piece(6, "a", 10, events.FactStarted),
		piece(7, "a", 11, events.FactStopped), {Num: 8, Node: &events.NodeFacts{Hostname: "h"}}}
	who := Teller{Cluster: "c", Node: "n", Journal: "j"}
	e := who.Event(pieces, time.Unix(1, 0))
	var seen events.Seen
	if err := json.Unmarshal(e.Body, &seen); err != nil {
		t.Fatal(err)
	}
	if len(seen.Pods) != 3 || len(seen.Pods[0].Facts) != 2 || seen.Node == nil || e.Cause != 12 {
		t.Errorf("event %s, cause %d", e.Body, e.Cause)
	}
	if again := who.Event(pieces, time.Unix(9, 0)); again.Op != e.Op {
		t.Error("the same pieces have another operation id")
	}
	if other := who.Event(pieces[:4], time.Unix(1, 0)); other.Op == e.Op {
		t.Error("other pieces have the same operation id")
	}
	if len(pieces[0].Pod.Facts) != 1 {
		t.Error("the piece itself was changed")
	}
}
