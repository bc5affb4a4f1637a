package projections

import (
	"testing"

	"github.com/stave-run/stave/events"
)

// An event of a newer program changes nothing here and is counted: neither its
// body nor its void rules are known.
func TestNewerVersionsAreUnknown(t *testing.T) {
	k := events.Key{Resource: events.ConfigMaps, Namespace: "a", Name: "b"}
	e := events.Envelope{Subject: events.SpecSubject(k), Seq: 1, Type: events.TypeOf(k.Resource, events.VerbCreated), Version: events.Version + 1, Op: "x",
		Body: events.MustBody(events.Created{UID: "u", Object: []byte(`{"kind":"ConfigMap"}`)})}
	s, changes := Apply(Empty(), e)
	if _, there := s.Get(k); there || len(changes) != 0 || s.Unknown != 1 || s.Void != 0 || s.Seq != 1 {
		t.Errorf("state at %d, %d unknown, %d void, changes %v", s.Seq, s.Unknown, s.Void, changes)
	}
	if s.LastSpec(k) != 1 {
		t.Error("its subject has a last sequence all the same: the log counts it")
	}
	e.Seq, e.Version = 2, events.Version
	if s, _ = Apply(s, e); s.Unknown != 1 {
		t.Errorf("%d unknown", s.Unknown)
	}
	if _, there := s.Get(k); !there {
		t.Error("an event of this version was not folded")
	}
}
