package why

import (
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

func TestEditsAndConfigChanges(t *testing.T) {
	k := events.Key{Resource: events.ConfigMaps, Namespace: "shop", Name: "settings"}
	at := func(seq events.Seq, verb, object string) events.Envelope {
		body := `{"uid":"u","object":` + object + `}`
		if verb == events.VerbRemoved {
			body = `{"uid":"u"}`
		}
		return events.Envelope{Seq: seq, Version: 1, Actor: "user:ann", Subject: events.SpecSubject(k), Type: events.TypeOf(k.Resource, verb), Body: []byte(body)}
	}
	log := []events.Envelope{
		at(3, events.VerbCreated, `{"data":{"tea":"3","milk":"1"}}`),
		at(5, events.VerbChanged, `{"data":{"tea":"4","rum":"9"}}`),
		at(7, events.VerbRemoved, ""),
		at(9, events.VerbCreated, `{"data":{"tea":"4"}}`),
	}
	edits := Edits(projections.Empty(), nil, log, k)
	if have := strings.Join(edits[5], "|"); have != `- data.milk: "1"|+ data.rum: "9"|~ data.tea: "3" → "4"` {
		t.Errorf("at 5: %s", have)
	}
	if have := strings.Join(edits[9], "|"); !strings.Contains(have, `+ data.tea: "4"`) || len(edits[7]) != 0 {
		t.Errorf("at 9, another life: %s", have)
	}
	hash := func(v string) string { return string(events.HashOf([]byte(v)))[:hashed] }
	changes := ConfigChanges(log[:2], k, 3)
	if len(changes) != 3 || changes[2] != (ConfigChange{Map: k, Key: "tea", Old: hash("3"), New: hash("4"), Seq: 5, Actor: "user:ann"}) || changes[0].New != "" || changes[1].Old != "" {
		t.Errorf("%+v", changes)
	}
	if gone := ConfigChanges(log, k, 5); len(gone) != 3 || gone[0].Seq != 7 || gone[0].New != "" || gone[2].Key != "tea" || gone[2].Seq != 9 {
		t.Errorf("gone and there again: %+v", gone)
	}
	if words := changes[2].words(Question{Key: events.Key{Resource: events.Pods, Namespace: "shop", Name: "p"}}); !strings.Contains(words, "configmap/settings changed since: key tea went from "+hash("3")+" to "+hash("4")+", by user:ann at 5") {
		t.Error(words)
	}
}
