package undo_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/undo"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// about is the question of a world's change of one event.
func about(w *stage.World, seq events.Seq) undo.Question { return from(w, seq, seq) }

// from is the question of a change of all events from one up to another.
func from(w *stage.World, first, last events.Seq) undo.Question {
	q := undo.Question{Before: projections.Empty(), Now: w.State}
	for _, e := range w.Log {
		switch {
		case e.Seq < first:
			q.Before, _ = projections.Apply(q.Before, e)
		case e.Seq <= last:
			q.Events = append(q.Events, e)
		default:
			q.Later = append(q.Later, e)
		}
	}
	return q
}

// undone appends the inverse of a change and returns where it begins.
func undone(t interface{ Fatal(...any) }, w *stage.World, seq events.Seq) events.Seq {
	steps, err := undo.Undo(about(w, seq))
	if err != nil {
		t.Fatal(err)
	}
	first := w.State.Seq + 1
	for _, s := range steps {
		w.Do(s.Draft)
	}
	return first
}

// bodies are all objects without what a new life changes.
func bodies(s projections.State) string {
	var b strings.Builder
	for o := range s.All() {
		if o.Deletion == nil {
			fmt.Fprintf(&b, "%s %s %s\n", o.Key, o.Raw, o.Applied)
		}
	}
	return b.String()
}

// The undo of any person's change is what was before it; the undo of that is
// what was after it.
func TestUndoOfUndoDoesItAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := stage.New()
		w.Apply(events.Key{Resource: events.Namespaces, Name: "default"}, `{"metadata":{"name":"default"}}`)
		keys := []events.Key{stage.In(events.ConfigMaps, "a"), stage.In(events.ConfigMaps, "b")}
		var before string
		var seq events.Seq
		for i := range rapid.IntRange(1, 12).Draw(t, "changes") {
			k := rapid.SampledFrom(keys).Draw(t, "object")
			before, seq = bodies(w.State), w.State.Seq+1
			if o := w.Get(k); o != nil && rapid.Bool().Draw(t, "remove") {
				w.Do(reconcilers.Remove(o))
				continue
			}
			w.Apply(k, fmt.Sprintf(`{"metadata":{"name":%q},"data":{"n":"%d"}}`, k.Name, i))
		}
		after := bodies(w.State)
		back := undone(t, w, seq)
		if have := bodies(w.State); have != before {
			t.Fatalf("after the undo of %d:\n%swant\n%s", seq, have, before)
		}
		undone(t, w, back)
		if have := bodies(w.State); have != after {
			t.Fatalf("after the undo of the undo:\n%swant\n%s", have, after)
		}
	})
}

func TestNamespaceComesBackWithAllInIt(t *testing.T) {
	w := stage.New()
	ns := events.Key{Resource: events.Namespaces, Name: "shop"}
	in := func(r events.Resource, name string) events.Key {
		return events.Key{Resource: r, Namespace: "shop", Name: name}
	}
	w.Apply(ns, `{"metadata":{"name":"shop"}}`)
	w.Apply(in(events.ConfigMaps, "prices"), `{"metadata":{"name":"prices"},"data":{"tea":"3"}}`)
	w.Apply(in(events.Deployments, "web"), `{"metadata":{"name":"web"},"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	w.Apply(in(events.Services, "web"), `{"metadata":{"name":"web"},"spec":{"clusterIP":"10.96.0.9","ports":[{"port":80}]}}`)
	dep := w.Get(in(events.Deployments, "web"))
	w.Do(reconcilers.Create(in(events.Pods, "child"), events.Created{Owner: &events.Owner{Resource: events.Deployments, Name: "web", UID: dep.UID}, Object: []byte(`{"metadata":{"name":"child"},"spec":{"containers":[]}}`)}))
	w.Do(reconcilers.RequestDeletion(w.Get(ns), events.DeletionRequested{}))
	seq := w.State.Seq
	var refused *undo.Refusal
	if _, err := undo.Undo(about(w, seq)); !errors.As(err, &refused) || !strings.Contains(refused.Said, "not gone yet") {
		t.Fatalf("while it is going: %v", err)
	}
	for _, k := range []events.Key{in(events.Pods, "child"), in(events.Services, "web"), in(events.Deployments, "web"), in(events.ConfigMaps, "prices"), ns} {
		w.Do(reconcilers.Remove(w.Get(k)))
	}
	first := undone(t, w, seq)
	for _, k := range []events.Key{ns, in(events.ConfigMaps, "prices"), in(events.Deployments, "web"), in(events.Services, "web")} {
		if w.Get(k) == nil {
			t.Errorf("%s is not there again", k)
		}
	}
	if w.Get(in(events.Pods, "child")) != nil {
		t.Error("the child is made by the undo, not by its owner")
	}
	if w.State.Void != 0 {
		t.Errorf("%d events of the undo are void", w.State.Void)
	}
	var no *undo.Refusal
	if _, err := undo.Undo(about(w, first)); !errors.As(err, &no) || !strings.Contains(no.Said, "would go with namespaces/shop") {
		t.Errorf("the namespace alone, with what lives in it: %v", err)
	}
	steps, err := undo.Undo(from(w, first, w.State.Seq))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		w.Do(s.Draft)
	}
	if w.Get(ns).Deletion == nil {
		t.Error("the undo of the undo does not delete the namespace again")
	}
}

// A change of many objects is taken back whole, also when it made, changed and
// removed in one, and whatever stands in the way is named, all of it.
func TestAChangeOfManyIsTakenBackWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := stage.New()
		w.Apply(events.Key{Resource: events.Namespaces, Name: "default"}, `{"metadata":{"name":"default"}}`)
		keys := []events.Key{stage.In(events.ConfigMaps, "a"), stage.In(events.ConfigMaps, "b"), stage.In(events.ConfigMaps, "c"), stage.In(events.ConfigMaps, "d")}
		change := func(label string) (first events.Seq) {
			first = w.State.Seq + 1
			for i, k := range keys {
				switch o := w.Get(k); rapid.SampledFrom([]string{"write", "remove", "leave"}).Draw(t, label) {
				case "write":
					w.Apply(k, fmt.Sprintf(`{"metadata":{"name":%q},"data":{%q:"%d"}}`, k.Name, label, i))
				case "remove":
					if o != nil {
						w.Do(reconcilers.Remove(o))
					}
				}
			}
			return first
		}
		change("earlier")
		before := bodies(w.State)
		first := change("the change")
		last := w.State.Seq
		if last < first {
			return
		}
		q := from(w, first, last)
		steps, err := undo.Undo(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			w.Do(s.Draft)
		}
		if have := bodies(w.State); have != before {
			t.Fatalf("after the undo of %d to %d:\n%swant\n%s", first, last, have, before)
		}
	})
}

func TestAllThatStandsInTheWayIsNamed(t *testing.T) {
	w := stage.New()
	w.Apply(events.Key{Resource: events.Namespaces, Name: "default"}, `{"metadata":{"name":"default"}}`)
	first := w.State.Seq + 1
	for _, name := range []string{"a", "b", "c"} {
		w.Apply(stage.In(events.ConfigMaps, name), `{"data":{"n":"1"}}`)
	}
	last := w.State.Seq
	w.Apply(stage.In(events.ConfigMaps, "a"), `{"data":{"n":"2"}}`)
	w.Do(reconcilers.Remove(w.Get(stage.In(events.ConfigMaps, "c"))))
	_, err := undo.Undo(from(w, first, last))
	if err == nil || !strings.Contains(err.Error(), "configmaps/default/a was changed") || !strings.Contains(err.Error(), "configmaps/default/c that") {
		t.Errorf("refused with %v", err)
	}
	forced := from(w, first, last)
	forced.Force = true
	if steps, err := undo.Undo(forced); err != nil || len(steps) != 2 {
		t.Errorf("by force: %v, %v", steps, err)
	}
}

func TestRefusals(t *testing.T) {
	w := stage.New()
	w.Apply(events.Key{Resource: events.Namespaces, Name: "default"}, `{"metadata":{"name":"default"}}`)
	cm := stage.In(events.ConfigMaps, "a")
	w.Apply(cm, `{"metadata":{"name":"a"},"data":{"n":"1"}}`)
	made := w.State.Seq
	w.Apply(cm, `{"metadata":{"name":"a"},"data":{"n":"2"}}`)
	changed := w.State.Seq
	w.Apply(cm, `{"metadata":{"name":"a"},"data":{"n":"3"}}`)
	last := w.State.Seq

	check := func(seq events.Seq, conflict events.Seq, want string) {
		t.Helper()
		_, err := undo.Undo(about(w, seq))
		var no *undo.Refusal
		if !errors.As(err, &no) || no.Conflict != conflict || !strings.Contains(no.Said, want) {
			t.Errorf("undo of %d: %v, want conflict %d and %q", seq, err, conflict, want)
		}
	}
	check(made, changed, fmt.Sprintf("by user:test at %d", changed))
	check(changed, last, fmt.Sprintf("by user:test at %d", last))

	force := about(w, changed)
	force.Force = true
	steps, err := undo.Undo(force)
	if err != nil || len(steps) != 1 {
		t.Fatalf("by force: %v, %v", steps, err)
	}
	w.Do(steps[0].Draft)
	if have := string(w.Get(cm).Raw); !strings.Contains(have, `"n":"1"`) {
		t.Errorf("by force it is %s", have)
	}

	moving := about(w, w.State.Seq)
	w.Apply(cm, `{"metadata":{"name":"a"},"data":{"n":"9"}}`)
	moving.Now = w.State // the writer's view is ahead of what was read
	if _, err := undo.Undo(moving); err == nil || !strings.Contains(err.Error(), "right now") {
		t.Errorf("a change that was not read: %v", err)
	}

	w.Do(reconcilers.Remove(w.Get(cm)))
	gone := w.State.Seq
	w.Apply(cm, `{"metadata":{"name":"a"},"data":{"n":"new"}}`)
	check(gone, w.State.Seq, "is there again")

	svc := stage.In(events.Services, "s")
	w.Apply(svc, `{"metadata":{"name":"s"},"spec":{"clusterIP":"10.96.0.7","ports":[{"port":80}]}}`)
	w.Do(reconcilers.Remove(w.Get(svc)))
	gone = w.State.Seq
	w.Apply(stage.In(events.Services, "thief"), `{"metadata":{"name":"thief"},"spec":{"clusterIP":"10.96.0.7","ports":[{"port":80}]}}`)
	check(gone, w.State.Seq, "belongs to services/default/thief")

	w.Append(events.Envelope{Subject: events.SpecSubject(cm), Type: events.TypeOf(events.ConfigMaps, events.VerbChanged), Actor: events.Controller("x"), Cause: made,
		Body: events.MustBody(reconcilers.Same(w.Get(cm)))})
	check(w.State.Seq, 0, fmt.Sprintf("because of %d", made))
	w.Append(events.Envelope{Subject: events.LeaseSubject, Type: events.LeaseTaken, Body: events.MustBody(events.Lease{Holder: "h"})})
	check(w.State.Seq, 0, "nothing to undo")
}

// What the deployment reconciler wrote since is not what the person did.
func TestReconcilersDoNotStandInTheWay(t *testing.T) {
	w := stage.New()
	k := stage.In(events.Deployments, "web")
	w.Apply(k, `{"metadata":{"name":"web"},"spec":{"replicas":1}}`)
	w.Apply(k, `{"metadata":{"name":"web"},"spec":{"replicas":5}}`)
	seq := w.State.Seq
	b := reconcilers.Same(w.Get(k))
	b.Object = []byte(`{"metadata":{"name":"web","annotations":{"deployment.kubernetes.io/revision":"7"}},"spec":{"replicas":5}}`)
	w.Append(events.Envelope{Subject: events.SpecSubject(k), Type: events.TypeOf(events.Deployments, events.VerbChanged), Actor: events.Controller("deployment"), Cause: seq, Body: events.MustBody(b)})
	undone(t, w, seq)
	if raw := string(w.Get(k).Raw); !strings.Contains(raw, `"replicas":1`) || !strings.Contains(raw, `"7"`) {
		t.Errorf("it is %s", raw)
	}
}

// A deployment that comes back after its copies were taken away has them again;
// what is no copy of a rollback's does not come back with it.
func TestCopiesComeBackWithWhoMentionsThem(t *testing.T) {
	w := stage.New()
	w.Apply(events.Key{Resource: events.Namespaces, Name: "default"}, `{"metadata":{"name":"default"}}`)
	copied, plain, web := stage.In(events.ConfigMaps, "settings-abc"), stage.In(events.ConfigMaps, "plain"), stage.In(events.Deployments, "web")
	w.Apply(copied, `{"metadata":{"name":"settings-abc","labels":{"stave.run/copy-of":"settings"}},"immutable":true,"data":{"a":"b"}}`)
	w.Apply(plain, `{"metadata":{"name":"plain"},"data":{"a":"b"}}`)
	with := func(volumes string) string {
		return `{"metadata":{"name":"web"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"volumes":[` + volumes + `],"containers":[{"name":"c","image":"i"}]}}}}`
	}
	w.Apply(web, with(`{"name":"a","configMap":{"name":"settings-abc"}},{"name":"b","configMap":{"name":"plain"}}`))
	for what, change := range map[string]func(){
		"changed": func() { w.Apply(web, with("")) },
		"removed": func() { w.Do(reconcilers.Remove(w.Get(web))) },
	} {
		change()
		seq := w.State.Seq
		w.Do(reconcilers.Remove(w.Get(copied)))
		w.Do(reconcilers.Remove(w.Get(plain)))
		undone(t, w, seq)
		if w.Get(copied) == nil || w.Get(plain) != nil || !strings.Contains(string(w.Get(web).Raw), "settings-abc") {
			t.Errorf("%s and undone: the copy is %v, the plain one %v", what, w.Get(copied), w.Get(plain))
		}
		w.Apply(plain, `{"metadata":{"name":"plain"},"data":{"a":"b"}}`)
	}
}

// What somebody approved must not become another request by force: the approval would be for that.
func TestRequestsForCertificatesComeBackAlone(t *testing.T) {
	k := events.Key{Resource: events.CertRequests, Name: "ann"}
	w := stage.New()
	w.Apply(k, `{"spec":{"signerName":"example.com/one"}}`)
	o, _ := w.State.Get(k)
	w.Do(reconcilers.WriteStatus(o, events.StatusWritten{Status: []byte(`{"conditions":[{"type":"Approved","status":"True"}]}`)}))
	w.Do(reconcilers.Remove(o))
	gone := w.State.Seq
	q := about(w, gone)
	steps, err := undo.Undo(q)
	if err != nil || len(steps) != 1 {
		t.Fatalf("%v, %v", steps, err)
	}
	alone := w.State
	for _, s := range steps {
		w.Do(s.Draft)
	}
	if o, ok := w.State.Get(k); !ok || len(o.Status) != 0 {
		t.Errorf("it comes back approved: %+v", o)
	}
	w.State = alone
	w.Apply(k, `{"spec":{"signerName":"example.com/two"}}`)
	q = about(w, gone)
	q.Force = true
	var refusal *undo.Refusal
	if steps, err := undo.Undo(q); !errors.As(err, &refusal) {
		t.Errorf("%v, %v", steps, err)
	}
}
