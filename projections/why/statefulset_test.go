package why_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/why"
)

// A set that is stuck as Kubernetes' sets are says on whom it waits, and what lets it go on.
func TestWhyASetIsStuck(t *testing.T) {
	l := foldtest.Nginx(1)
	set := foldtest.Key(events.StatefulSets, "db")
	l.Create(set, `{"spec":{"replicas":2,"podManagementPolicy":"OrderedReady","selector":{"matchLabels":{"app":"db"}},"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":1}},
		"template":{"metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	report := func(current, update string) {
		l.Add(events.Envelope{Subject: events.StatusSubject(set), Type: events.TypeOf(set.Resource, events.VerbStatus), Actor: events.Controller("statefulset"),
			Body: events.MustBody(events.RevisionsReported{UID: foldtest.UID(set, 1), Generation: 1, Current: current, Update: update})})
	}
	report("db-a", "db-a")
	pod := func(name, revision string) events.Key {
		k := foldtest.Key(events.Pods, name)
		l.CreateChild(k, set, 0, `{"metadata":{"labels":{"app":"db","controller-revision-hash":"`+revision+`"}},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
		l.Assign("n1", k)
		return k
	}
	first := pod("db-0", "db-a")
	l.Saw(first, foldtest.Up("c", "10.1.1.1", l.Now)...)
	second := pod("db-1", "db-b")
	l.Saw(second, events.Fact{Kind: events.FactExited, Container: "c", Run: 1, Code: 1, At: l.Now, StartedAt: l.Now, Reason: "Error"})
	report("db-a", "db-c")
	l.Pass(time.Minute)

	got := ask(l, set)
	text := got.String()
	for _, want := range []string{"has 1 of 2 pods ready, 0 of them of the new template", "db-1: ", "rolls from db-a to db-c: pods below db-1 keep the old one",
		"fix: stave delete pod db-1: in order", "rolls statefulset/db from db-a to db-c"} {
		if !strings.Contains(text+why.Words(l.Events[len(l.Events)-1], set), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	rows := why.EventsOf(l.Events, set)
	if len(rows) != 2 || rows[1].Message != "create Pod db-1 in StatefulSet db successful" || rows[1].From != "statefulset-controller" {
		t.Errorf("%+v", rows)
	}
}
