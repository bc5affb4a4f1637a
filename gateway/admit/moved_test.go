package admit

import (
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

func TestUnmoved(t *testing.T) {
	w := newTown(t)
	colours := events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: "colours"}
	node := events.Key{Resource: events.Nodes, Name: "n1"}
	w.do(wire.Apply, "apiVersion: v1\nkind: Node\nmetadata: {name: n1}")
	reads := []wire.Read{{Key: colours, Seq: LastMoved(w.v, colours)}, {Key: node, Seq: LastMoved(w.v, node)}}
	if moved := Unmoved(w.v, reads); reads[0].Seq != 0 || len(moved) > 0 {
		t.Fatalf("nothing happened, and %+v", moved)
	}
	w.do(wire.Apply, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: colours}")
	if moved := Unmoved(w.v, reads); len(moved) != 1 || moved[0].Key != colours || moved[0].Now != w.v.Seq {
		t.Errorf("what was not there is there: %+v", moved)
	}
	reads[0].Seq = w.v.Seq
	o, _ := w.v.Get(node)
	w.event(events.Envelope{Subject: events.StatusSubject(node), Type: events.TypeOf(events.Nodes, events.VerbStatus),
		Body: events.MustBody(events.NodeReported{UID: o.UID, Ready: true, Reason: "KubeletReady"})})
	if moved := Unmoved(w.v, reads); len(moved) != 1 || moved[0].Key != node {
		t.Errorf("a node came: %+v", moved)
	}
	reads[1].Seq = w.v.Seq
	w.do(wire.Apply, "apiVersion: v1\nkind: Node\nmetadata: {name: n2}")
	if moved := Unmoved(w.v, reads); len(moved) != 1 || moved[0].Key.Name != "n2" || moved[0].Seq != 0 {
		t.Errorf("a node more: %+v", moved)
	}
	if moved := Unmoved(w.v, reads[:1]); len(moved) != 0 {
		t.Errorf("where no node was read: %+v", moved)
	}
}
