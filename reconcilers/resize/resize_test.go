package resize

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/reconcilers"
)

func asking(cpu int, more string) string {
	return fmt.Sprintf(`{"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"%dm"}}}]%s}}`, cpu, more)
}

func pod(name string) events.Key { return foldtest.Key(events.Pods, name) }

var n1 = foldtest.Key(events.Nodes, "n1")

// town is a node of 1900m with pods on it.
func town(pods map[string]int) *foldtest.Log {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	for _, name := range []string{"a", "b", "c", "d"} {
		if cpu, ok := pods[name]; ok {
			l.Create(pod(name), asking(cpu, ""))
			l.Assign("n1", pod(name))
		}
	}
	return l
}

// decide appends what is decided, and gives it in words.
func decide(l *foldtest.Log) (out []string) {
	for _, d := range (Reconciler{}).Decide(l.State, n1, l.Now).Events {
		k, _ := d.Subject.Key()
		e := events.Envelope{Subject: d.Subject, Type: d.Type, Body: d.Body}
		b, err := events.Decode[events.Resized](e)
		if err != nil {
			panic(err)
		}
		l.Add(e)
		word := string(b.Refused)
		if word == "" {
			word = "granted"
		}
		out = append(out, k.Name+" "+word+" "+b.Said)
	}
	return out
}

func (r Reconciler) woken(l *foldtest.Log) bool {
	for _, c := range l.Changes {
		if len(r.Keys(l.State, c)) > 0 {
			return true
		}
	}
	return false
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWishesGetWhatRoomThereIs(t *testing.T) {
	l := town(map[string]int{"a": 500, "b": 500, "c": 500})
	same(t, decide(l))
	l.Change(pod("a"), foldtest.Person, asking(900, ""))
	if !(Reconciler{}).woken(l) {
		t.Error("nobody looks at a wish")
	}
	same(t, decide(l), "a granted ")
	l.Change(pod("b"), foldtest.Person, asking(600, ""))
	same(t, decide(l), "b Deferred Node didn't have enough resource: cpu, requested: 600, used: 1400, capacity: 1900")
	same(t, decide(l)) // it is said once
	l.Change(pod("c"), foldtest.Person, asking(2000, ""))
	same(t, decide(l), "c Infeasible Node didn't have enough capacity: cpu, requested: 2000, capacity: 1900")
	// Less of it is granted whatever there is; the room comes when the node has taken it.
	l.Change(pod("a"), foldtest.Person, asking(100, ""))
	same(t, decide(l), "a granted ")
	same(t, decide(l))
	row, _ := l.State.PodOf(pod("a"))
	l.Saw(pod("a"), events.Fact{Kind: events.FactResized, Count: int(row.Resized)})
	if !(Reconciler{}).woken(l) {
		t.Error("nobody looks when room comes")
	}
	same(t, decide(l), "b granted ")
	// What the node will never have may be there when the node is another one.
	facts := foldtest.Facts
	facts.Allocatable = map[string]string{"cpu": "8", "memory": "8Gi", "pods": "110"}
	l.Flush("n1", events.Seen{Node: &facts})
	if !(Reconciler{}).woken(l) {
		t.Error("nobody looks when the node grows")
	}
	same(t, decide(l), "c granted ")
}

func TestWhoComesFirst(t *testing.T) {
	l := town(map[string]int{"a": 400, "b": 400, "c": 400, "d": 400})
	l.Change(pod("a"), foldtest.Person, asking(700, ""))
	l.Change(pod("b"), foldtest.Person, asking(700, ""))
	l.Change(pod("c"), foldtest.Person, asking(700, `,"priority":9`))
	l.Change(pod("d"), foldtest.Person, asking(300, ""))
	const no = " Deferred Node didn't have enough resource: cpu, requested: 700, used: "
	same(t, decide(l), "d granted ", "c granted ", "a"+no+"1500, capacity: 1900", "b"+no+"1500, capacity: 1900")
	l.Delete(pod("b"), foldtest.Person, 30) // who is to go gets nothing more
	l.Delete(pod("c"), foldtest.Person, 0)
	l.Remove(pod("c"))
	if !(Reconciler{}).woken(l) {
		t.Error("nobody looks when a pod goes")
	}
	same(t, decide(l), "a granted ")
	same(t, decide(l))
}

// Whatever is wished for and however it goes on, the pods of a node never keep more of it than it has, a wish that fits is
// granted, and a second look decides nothing.
func TestNoNodeIsOverItsRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := town(map[string]int{"a": 300, "b": 300, "c": 300, "d": 300})
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			k := pod(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "pod"))
			row, _ := l.State.PodOf(k)
			if rapid.Bool().Draw(t, "done") && row.Resized != 0 {
				l.Saw(k, events.Fact{Kind: events.FactResized, Count: int(row.Resized)})
			} else {
				l.Change(k, foldtest.Person, asking(100*rapid.IntRange(0, 21).Draw(t, "cpu"), ""))
			}
			decide(l)
			if again := decide(l); len(again) > 0 {
				t.Fatalf("decided again: %v", again)
			}
			var kept projections.Usage
			for p := range l.State.PodsOn("n1") {
				o, _ := l.State.Get(p.Key)
				kept = kept.Add(p.Keeps(o.PodSpec()), +1)
			}
			if kept.CPU > 1900 {
				t.Fatalf("the node has 1900m and keeps %dm", kept.CPU)
			}
			for p := range l.State.PodsOn("n1") {
				o, _ := l.State.Get(p.Key)
				if more := projections.Asks(o.PodSpec()).CPU - p.Keeps(o.PodSpec()).CPU; p.Resize.Waits() && kept.CPU+more <= 1900 {
					t.Fatalf("%s waits for %dm, and the node has them", p.Key, more)
				}
			}
		}
	})
}

var _ reconcilers.Reconciler = Reconciler{}
