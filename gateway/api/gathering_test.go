package api

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	inmemory "github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/why"
)

// What the index gives is what a walk along the whole log gives, for every
// object, living or gone, and for every moment.
func TestTheIndexFindsWhatAWalkFinds(t *testing.T) {
	story := foldtest.Nginx(4)
	story.Delete(foldtest.Pod(1), foldtest.Person, 30)
	story.Saw(foldtest.Pod(1), events.Fact{Kind: events.FactStopped})
	story.Remove(foldtest.Pod(1))
	story.Conclude(foldtest.Pod(2), events.Reason{Code: "Unschedulable"})
	story.Change(foldtest.Deployment, foldtest.Person, foldtest.DeploymentJSON(5, ""))
	story.Heard("n1", false)
	log := inmemory.NewLog(func() time.Time { return foldtest.Start })
	s := &Server{Options: Options{Log: log, Now: time.Now}}
	keys := []events.Key{foldtest.Deployment, foldtest.ReplicaSet, foldtest.Service, foldtest.Key(events.Nodes, "n1"), foldtest.Key(events.Pods, "nobody")}
	for i := range 4 {
		keys = append(keys, foldtest.Pod(i))
	}
	v := projections.Empty()
	for n, e := range story.Events {
		if _, err := log.Append(t.Context(), []bus.Record{{Envelope: e}}); err != nil {
			t.Fatal(err)
		}
		v, _ = projections.Apply(v, e)
		for _, k := range keys {
			f := why.For(v, k)
			var want []string
			for _, e := range story.Events[:n+1] {
				if e.Seq >= f.From && f.Keep(e) {
					want = append(want, fmt.Sprint(e.Seq, e.Type))
				}
			}
			past, err := s.past(t.Context(), v, k)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range past {
				got = append(got, fmt.Sprint(e.Seq, e.Type))
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s at %d: %v\nwant %v", k, v.Seq, got, want)
			}
		}
	}
}
