package projections_test

import (
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// Each of these events changes nothing and is counted.
func TestVoid(t *testing.T) {
	k := foldtest.Pod(0)
	seen := func(l *foldtest.Log, node string, uid events.UID, assigned events.Seq) {
		l.Flush(node, events.Seen{Pods: []events.PodSeen{{Namespace: k.Namespace, Name: k.Name, UID: uid, Assigned: assigned,
			Facts: []events.Fact{{Kind: events.FactExited, Container: "nginx", Run: 1, Code: 9}}}}})
	}
	given := func(l *foldtest.Log) events.Seq { p, _ := l.State.PodOf(k); return p.Assigned.Seq }
	for name, late := range map[string]func(*foldtest.Log){
		"an old epoch": func(l *foldtest.Log) {
			l.Add(events.Envelope{Subject: events.SpecSubject(k), Type: "pods.removed", Epoch: 1, Body: events.MustBody(events.Removed{UID: foldtest.UID(k, 1)})})
		},
		"a second life beside the first": func(l *foldtest.Log) { l.Create(k, `{}`) },
		"a change of another life": func(l *foldtest.Log) {
			l.Spec(k, events.VerbChanged, foldtest.Person, 0, events.Changed{UID: "other", Object: []byte(`{}`)})
		},
		"a removal of another life": func(l *foldtest.Log) { l.Spec(k, events.VerbRemoved, foldtest.Person, 0, events.Removed{UID: "other"}) },
		"a second assignment":       func(l *foldtest.Log) { l.Assign("n2", k) },
		"facts of another life":     func(l *foldtest.Log) { seen(l, "n1", "other", given(l)) },
		"facts of another node":     func(l *foldtest.Log) { seen(l, "n2", foldtest.UID(k, 1), given(l)) },
		"facts of an assignment that is over": func(l *foldtest.Log) {
			seen(l, "n1", foldtest.UID(k, 1), given(l)-1)
		},
		"facts of a node that nobody admitted": func(l *foldtest.Log) { l.Flush("n9", events.Seen{Node: &events.NodeFacts{}}) },
		"a template that is not its hash": func(l *foldtest.Log) {
			l.Add(events.Envelope{Subject: events.TemplateSubject("abc"), Type: events.TemplateStored, Body: []byte(`{}`)})
		},
		"a body of a template that is not there": func(l *foldtest.Log) {
			l.Spec(foldtest.Pod(9), events.VerbCreated, foldtest.Person, 0, events.Created{UID: "x", Template: "abc", Object: []byte(`{}`)})
		},
		"a body that cannot be read": func(l *foldtest.Log) {
			l.Add(events.Envelope{Subject: events.SpecSubject(foldtest.Pod(9)), Type: "pods.created", Body: []byte(`[`)})
		},
	} {
		l := foldtest.Nginx(1)
		l.Node("n2", foldtest.Facts)
		l.Lease("b")
		before, rows := l.State, positions(l.State)
		late(l)
		if l.State.Void != before.Void+1 || positions(l.State) != rows || len(l.Changes) != 0 {
			t.Errorf("%s: void %d → %d, %d changes", name, before.Void, l.State.Void, len(l.Changes))
		}
		if e := l.Events[len(l.Events)-1]; e.Subject.Class() == "spec" {
			if own, _ := e.Subject.Key(); l.State.LastSpec(own) != e.Seq {
				t.Errorf("%s: the log stored it, so the next append expects %d, not %d", name, e.Seq, l.State.LastSpec(own))
			}
		}
	}
}

func positions(s projections.State) events.Position {
	sum := events.Position(0)
	for o := range s.All() {
		sum += o.Position
	}
	return sum
}

// What is said late about a run that went on changes nothing of it.
func TestLateFacts(t *testing.T) {
	k := foldtest.Pod(0)
	run := func(kind events.FactKind, n int) events.Fact {
		return events.Fact{Kind: kind, Container: "nginx", Run: n, ContainerID: string(kind), Reason: "CrashLoopBackOff"}
	}
	for name, late := range map[string]events.Fact{
		"started twice": run(events.FactStarted, 2), "an earlier start": run(events.FactStarted, 1), "an earlier exit": run(events.FactExited, 1),
		"a back-off while it runs": run(events.FactBackoff, 2), "a pull while it runs": run(events.FactPulled, 2),
	} {
		l := foldtest.Nginx(1)
		l.Saw(k, run(events.FactExited, 1), run(events.FactBackoff, 2), run(events.FactStarted, 2), run(events.FactReady, 2))
		before, _ := l.State.PodOf(k)
		l.Pass(time.Second).Saw(k, late)
		after, _ := l.State.PodOf(k)
		b, a := before.Containers[0], after.Containers[0]
		if a.Phase != b.Phase || a.Run != b.Run || a.ContainerID != b.ContainerID || a.Since != b.Since || !a.Ready {
			t.Errorf("%s: %+v became %+v", name, b, a)
		}
	}
	l := foldtest.Nginx(1)
	l.Saw(k, run(events.FactExited, 1), run(events.FactBackoff, 2), run(events.FactStarted, 1), run(events.FactExited, 1))
	if p, _ := l.State.PodOf(k); p.Containers[0].Phase != projections.Waiting {
		t.Errorf("a run that ended began again: %+v", p.Containers[0])
	}
}

// After a new lease a node says again what it is not sure of: nothing of it is
// news, so no row changes and no resourceVersion moves.
func TestSaidAgain(t *testing.T) {
	k := foldtest.Pod(0)
	ended := []events.Fact{
		{Kind: events.FactSandbox, IP: "10.244.0.5", HostIP: "10.0.0.1"},
		{Kind: events.FactPulling, Container: "nginx", Run: 1, Image: "nginx:1.14"},
		{Kind: events.FactPulled, Container: "nginx", Run: 1, Image: "nginx:1.14", ImageID: "sha256:1"},
		{Kind: events.FactStarted, Container: "nginx", Run: 1, ContainerID: "x1"},
		{Kind: events.FactReady, Container: "nginx", Run: 1},
		{Kind: events.FactExited, Container: "nginx", Run: 1, Code: 3, Reason: "Error"},
		{Kind: events.FactBackoff, Container: "nginx", Run: 2, Reason: "CrashLoopBackOff", Message: "back-off"},
	}
	for n := range ended {
		l := foldtest.Nginx(1)
		l.Saw(k, ended[:n+1]...)
		before, _ := l.State.Get(k)
		l.Pass(time.Second).Saw(k, ended[:n+1]...)
		if after, _ := l.State.Get(k); after.Position != before.Position {
			p, _ := l.State.PodOf(k)
			t.Errorf("up to %s, said again: position %s became %s: %+v", ended[n].Kind, before.Position, after.Position, p.Containers)
		}
	}
}

func TestUnknownEventsAreCounted(t *testing.T) {
	l := foldtest.Nginx(1)
	rows := positions(l.State)
	l.Add(events.Envelope{Subject: "log.weather.today", Type: "weather.changed"})
	l.Add(events.Envelope{Subject: events.SpecSubject(events.Key{Resource: "gadgets", Name: "x"}), Type: "gadgets.created"})
	if l.State.Unknown != 2 || positions(l.State) != rows {
		t.Errorf("unknown %d", l.State.Unknown)
	}
}

func TestOperationsAreForgottenInGenerations(t *testing.T) {
	s := projections.Empty()
	op := func(n int) events.OpID { return events.OpID(time.Duration(n).String()) }
	for i := 1; i <= 3*projections.MaxOps; i++ {
		s, _ = projections.Apply(s, events.Envelope{Seq: events.Seq(i), Subject: "log.weather.today", Op: op(i)})
	}
	for _, n := range []int{3 * projections.MaxOps, 2*projections.MaxOps + 1} {
		if seq, ok := s.Landed(op(n)); !ok || seq != events.Seq(n) {
			t.Errorf("operation %d: %d, %v", n, seq, ok)
		}
	}
	if _, ok := s.Landed(op(1)); ok {
		t.Error("the first operation is still remembered")
	}
}

func BenchmarkApply(b *testing.B) {
	l := foldtest.Nginx(100)
	for b.Loop() {
		s := projections.Empty()
		for _, e := range l.Events {
			s, _ = projections.Apply(s, e)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(l.Events)), "ns/event")
}

// Fold time goes on by what the writer says where the log's stands still; nobody else's word counts.
func TestFoldTimeFollowsTheWriter(t *testing.T) {
	l := foldtest.New()
	lease, at := l.Lease("here"), l.Now
	for _, c := range []struct {
		says string
		e    events.Envelope
		want time.Duration
	}{
		{"the writer", events.Envelope{Subject: events.SpecSubject(foldtest.Pod(1)), Type: "pods.created", Epoch: lease, Now: at.Add(time.Minute)}, time.Minute},
		{"a writer that lost the lease", events.Envelope{Subject: events.SpecSubject(foldtest.Pod(1)), Type: "pods.created", Epoch: lease - 1, Now: at.Add(time.Hour)}, time.Minute},
		{"a node", events.Envelope{Subject: events.SeenSubject("n1"), Type: events.PodsSeen, Epoch: lease, Now: at.Add(time.Hour)}, time.Minute},
		{"the writer, earlier", events.Envelope{Subject: events.SpecSubject(foldtest.Pod(1)), Type: "pods.created", Epoch: lease, Now: at}, time.Minute},
		{"the log", events.Envelope{Subject: events.SeenSubject("n1"), Type: events.PodsSeen, Time: at.Add(2 * time.Minute)}, 2 * time.Minute},
	} {
		c.e.Seq, c.e.Version = l.State.Seq+1, 1
		if c.e.Time.IsZero() {
			c.e.Time = at.Add(-time.Hour)
		}
		l.State, _ = projections.Apply(l.State, c.e)
		if got := l.State.Time.Sub(at); got != c.want {
			t.Errorf("%s: fold time is %s later, want %s", c.says, got, c.want)
		}
	}
}
