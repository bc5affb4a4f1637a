package api_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/gateway/undo"
	"github.com/stave-run/stave/gateway/wire"
)

func TestUndoIsAChangeOfItsOwn(t *testing.T) {
	h := open(t)
	h.change("1", wire.Apply, false, configMap("colours", "blue"))
	seq := h.change("2", wire.Apply, false, configMap("colours", "red"))[0].Seq
	value := func() string {
		var reply wire.ReadReply
		h.ask("ann", wire.VerbRead, wire.ReadRequest{Resource: colours.Resource, Namespace: "default", Names: []string{"colours"}, MinSeq: h.end()}, &reply)
		if len(reply.Objects) != 1 {
			t.Fatalf("%+v", reply)
		}
		_, after, _ := strings.Cut(string(reply.Objects[0]), `"data":{"key":"`)
		v, _, _ := strings.Cut(after, `"`)
		return v
	}
	end := h.end()
	var reply wire.UndoReply
	h.ask("bob", wire.VerbUndo, wire.UndoRequest{Seq: seq, Preview: true}, &reply)
	if reply.Error != nil || len(reply.Results) != 1 || reply.Results[0].Outcome != undo.Restored || h.end() != end {
		t.Fatalf("a preview: %+v, the log goes from %d to %d", reply, end, h.end())
	}
	h.ask("bob", wire.VerbUndo, wire.UndoRequest{ID: "u", Seq: seq, Message: "too loud"}, &reply)
	if reply.Error != nil || value() != "blue" {
		t.Fatalf("%+v, and it is %s", reply, value())
	}
	first := reply.Results[0].Seq
	h.ask("bob", wire.VerbUndo, wire.UndoRequest{ID: "u", Seq: seq}, &reply)
	if reply.Error != nil || reply.Results[0].Seq != first || h.end() != first {
		t.Errorf("a retry: %+v", reply)
	}
	var history wire.HistoryReply
	h.ask("ann", wire.VerbHistory, wire.HistoryRequest{Key: colours}, &history)
	last := history.Rows[len(history.Rows)-1]
	if last.Actor != "user:bob" || last.Message != fmt.Sprintf("undo of %d: too loud", seq) {
		t.Errorf("%+v", last)
	}
	h.ask("ann", wire.VerbUndo, wire.UndoRequest{ID: "again", Seq: seq}, &reply)
	if reply.Error == nil || reply.Error.Reason != metav1.StatusReasonConflict || !strings.Contains(reply.Error.Message, fmt.Sprint(first)) {
		t.Errorf("what changed since: %+v", reply.Error)
	}
	reply = wire.UndoReply{}
	h.ask("ann", wire.VerbUndo, wire.UndoRequest{ID: "redo", Seq: first}, &reply)
	if reply.Error != nil || value() != "red" {
		t.Errorf("the undo of the undo: %+v, and it is %s", reply, value())
	}
	for _, seq := range []wire.UndoRequest{{ID: "x"}, {ID: "x", Seq: h.end() + 9}, {Seq: first}} {
		var no struct{ Error *metav1.Status }
		h.ask("ann", wire.VerbUndo, seq, &no)
		if no.Error == nil || no.Error.Reason != metav1.StatusReasonBadRequest {
			t.Errorf("%+v is answered with %+v", seq, no.Error)
		}
	}
}
