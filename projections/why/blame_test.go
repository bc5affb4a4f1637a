package why_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/why"
)

// about is what For keeps of a log.
func about(l *foldtest.Log, k events.Key) []events.Envelope {
	var out []events.Envelope
	f := why.For(l.State, k)
	for _, e := range l.Events {
		if e.Seq >= f.From && f.Keep(e) {
			out = append(out, e)
		}
	}
	return out
}

func TestBlameNamesTheLastWhoSetAField(t *testing.T) {
	l := foldtest.New()
	cm := foldtest.Key(events.ConfigMaps, "colours")
	l.Create(cm, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"colours"},"data":{"sky":"blue","sun":"yes"}}`)
	first := l.State.Seq
	l.Change(cm, "user:ann", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"colours"},"data":{"sky":"grey","sun":"yes","sea":"true"}}`)
	second := l.State.Seq
	b, ok := why.Blame(l.State, nil, about(l, cm), cm)
	if !ok {
		t.Fatal("the log does not speak of it")
	}
	want := map[string]events.Seq{"data.sky": second, "data.sea": second, "data.sun": first, "metadata.name": first, "kind": first}
	for _, f := range b.Fields {
		if seq, ok := want[f.Path]; ok && seq != f.Seq {
			t.Errorf("%s was set by %d, want %d", f.Path, f.Seq, seq)
		}
		delete(want, f.Path)
	}
	if len(want) != 0 {
		t.Errorf("nothing is said of %v in %+v", want, b.Fields)
	}
	for _, line := range []string{`  sea: "true"`, `  sun: "yes"`, `  sky: grey`, "metadata:"} {
		if !strings.Contains(b.String(), line+"\n") {
			t.Errorf("no line %q in\n%s", line, b)
		}
	}
	l.Remove(cm)
	if gone, ok := why.Blame(l.State, nil, about(l, cm), cm); !ok || gone.String() != b.String() {
		t.Errorf("after its removal:\n%s", gone)
	}
	l.Create(cm, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"colours"},"data":{"sun":"yes"}}`)
	if again, _ := why.Blame(l.State, nil, about(l, cm), cm); again.Fields[len(again.Fields)-1].Seq != l.State.Seq || len(again.Fields) >= len(b.Fields) {
		t.Errorf("a new life keeps marks of the old one: %+v", again.Fields)
	}
	if _, ok := why.Blame(l.State, nil, nil, cm); ok {
		t.Error("nothing is blamed on nobody")
	}
}

// The body of a child is its template and little more; blame sees all of it,
// and a list's item is known by its name.
func TestBlameSeesTemplates(t *testing.T) {
	l := foldtest.Nginx(1)
	pod := foldtest.Pod(0)
	b, ok := why.Blame(l.State, nil, about(l, pod), pod)
	if !ok || !strings.Contains(b.String(), "- image: nginx") && !strings.Contains(b.String(), "image: \"nginx") {
		t.Errorf("%v\n%s", ok, b)
	}
	found := false
	for _, f := range b.Fields {
		found = found || f.Path == "spec.containers[name=nginx].image"
	}
	if !found {
		t.Errorf("no image among %+v", b.Fields)
	}
}

func TestRunsOutliveTheirPod(t *testing.T) {
	l := foldtest.Nginx(1)
	pod := foldtest.Pod(0)
	const crashes = 30
	for run := 1; run <= crashes; run++ {
		at := l.Pass(10 * time.Second).Now
		l.Saw(pod, events.Fact{Kind: events.FactExited, Container: "nginx", Run: run, Code: run, StartedAt: at.Add(-3 * time.Second), At: at, Reason: "Error", Tail: "bye"})
		l.Saw(pod, events.Fact{Kind: events.FactExited, Container: "nginx", Run: run, Code: 99, At: at}) // said again
		l.Saw(pod, events.Fact{Kind: events.FactStarted, Container: "nginx", Run: run + 1, At: at})
	}
	before := why.RunsOf(about(l, pod), pod)
	l.Remove(pod)
	have := why.RunsOf(about(l, pod), pod)
	if len(have) != crashes+1 || have.String() != before.String() {
		t.Fatalf("%d runs, and after the removal\n%s", len(before), have)
	}
	for i, r := range have[:crashes] {
		if r.Run != i+1 || r.Code != i+1 || r.Tail != "bye" || r.Ended.IsZero() || r.Node != "n1" {
			t.Errorf("run %d: %+v", i+1, r)
		}
	}
	if last := have[crashes]; !last.Ended.IsZero() || last.Started.IsZero() {
		t.Errorf("the run under way: %+v", last)
	}
	if n := strings.Count(have.String(), "\n"); n != crashes+2 {
		t.Errorf("%d lines\n%s", n, have)
	}
}
