package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	inmemory "github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// Every run of a pod is told, also after thirty crashes and after the pod is gone.
func TestThirtyCrashesAreThirtyRows(t *testing.T) {
	const crashes = 30
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	pod := foldtest.Key(events.Pods, "crash")
	l.Create(pod, `{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	l.Assign("n1", pod)
	for run := 1; run <= crashes; run++ {
		began := l.Now
		l.Saw(pod, events.Fact{Kind: events.FactStarted, At: began, Container: "c", Run: run})
		l.Pass(10 * time.Second)
		l.Saw(pod, events.Fact{Kind: events.FactExited, At: l.Now, StartedAt: began, Container: "c", Run: run, Code: 3, Reason: "Error"})
	}
	l.Delete(pod, foldtest.Person, 30)
	l.Saw(pod, events.Fact{Kind: events.FactStopped})
	l.Remove(pod)

	log := inmemory.NewLog(func() time.Time { return foldtest.Start })
	for _, e := range l.Events {
		if _, err := log.Append(t.Context(), []bus.Record{{Envelope: e}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, there := l.State.Get(pod); there {
		t.Fatal("the pod is still there")
	}
	s := &Server{Options: Options{Log: log, Now: time.Now}}
	past, err := s.past(t.Context(), l.State, pod)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := s.restarts(t.Context(), projections.State{}, past, pod)
	if err != nil || reply.Error != nil {
		t.Fatal(reply.Error, err)
	}
	rows := strings.Split(strings.TrimSpace(reply.Text), "\n")[1:]
	if len(rows) != crashes {
		t.Fatalf("%d rows:\n%s", len(rows), reply.Text)
	}
	for i, row := range rows {
		if f := strings.Fields(row); !strings.Contains(row, "10s") || !strings.Contains(row, "Error") || f[2] != fmt.Sprint(i+1) {
			t.Errorf("row %d is %q", i+1, row)
		}
	}
}
