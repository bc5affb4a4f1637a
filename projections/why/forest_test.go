package why

import (
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
)

func TestForestHasOneTreeACause(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	about := func(seq, cause events.Seq, actor events.Actor, name string) events.Envelope {
		return events.Envelope{Seq: seq, Cause: cause, Actor: actor, Time: start, Version: 1,
			Subject: events.SpecSubject(events.Key{Resource: events.ConfigMaps, Namespace: "shop", Name: name}),
			Type:    events.TypeOf(events.ConfigMaps, events.VerbCreated), Body: []byte("{}")}
	}
	seen := events.Envelope{Seq: 14, Time: start, Version: 1, Subject: events.SeenSubject("n1"), Type: events.PodsSeen,
		Body: events.MustBody(events.Seen{Pods: []events.PodSeen{{Namespace: "shop", Name: "p", Assigned: 12}}})}
	log := []events.Envelope{about(10, 0, "user:ann", "a"), about(11, 3, "reconciler:x", "old"), about(12, 10, "reconciler:x", "b"),
		about(13, 10, "reconciler:x", "c"), seen}
	forest := Forest(log)
	if len(forest) != 2 || forest[0].Event.Seq != 10 || forest[1].Event.Seq != 11 {
		t.Fatalf("%d trees", len(forest))
	}
	have := strings.Join(forest[0].Lines(start.Add(time.Minute)), "\n")
	want := `10  60s  user:ann  created configmap/a in namespace shop
├─ 12  60s  reconciler:x  created configmap/b in namespace shop
│  └─ 14  60s  node:n1  pod/p in namespace shop: 
└─ 13  60s  reconciler:x  created configmap/c in namespace shop`
	if have != want {
		t.Errorf("have\n%s\nwant\n%s", have, want)
	}
	if !forest[0].Any(func(e events.Envelope) bool { return e.Seq == 14 }) || forest[1].Any(func(e events.Envelope) bool { return e.Seq == 14 }) {
		t.Error("an event is in the tree of its cause and in no other")
	}
	if !In(seen, "shop") || In(seen, "blog") || !In(log[0], "shop") || In(log[0], "blog") || !In(log[0], "") {
		t.Error("events are not told apart by namespace")
	}
}
