package api_test

import (
	"encoding/json"
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

// A long time ago is looked up, not read: what came after the change and speaks
// of its objects, or lives in its namespaces, is found among all the rest.
func TestUndoOfLongAgo(t *testing.T) {
	h := open(t)
	h.change("old", wire.Apply, false, configMap("colours", "blue"))
	seq := h.change("mine", wire.Apply, false, configMap("colours", "red"))[0].Seq
	shop := h.change("shop", wire.Apply, false, json.RawMessage(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`))[0].Seq
	for i := range 150 {
		h.change(fmt.Sprint("other", i), wire.Apply, false, configMap("other", fmt.Sprint(i)))
	}
	preview := func(r wire.UndoRequest) wire.UndoReply {
		var reply wire.UndoReply
		r.Preview = true
		h.ask("ann", wire.VerbUndo, r, &reply)
		return reply
	}
	if got := preview(wire.UndoRequest{Seq: seq}); got.Error != nil || got.Results[0].Outcome != undo.Restored {
		t.Errorf("undisturbed: %+v", got)
	}
	if got := preview(wire.UndoRequest{Change: "shop"}); got.Error != nil || got.Results[0].Outcome != undo.Deleted {
		t.Errorf("undisturbed: %+v", got)
	}
	later := h.change("later", wire.Apply, false, configMap("colours", "green"))[0].Seq
	h.change("theirs", wire.Apply, false, json.RawMessage(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"theirs","namespace":"shop"}}`))
	for i := range 150 {
		h.change(fmt.Sprint("more", i), wire.Apply, false, configMap("other", fmt.Sprint(i)))
	}
	if got := preview(wire.UndoRequest{Seq: seq}); got.Error == nil || !strings.Contains(got.Error.Message, fmt.Sprintf("by user:ann at %d", later)) {
		t.Errorf("changed since: %+v", got)
	}
	if got := preview(wire.UndoRequest{Seq: shop}); got.Error == nil || !strings.Contains(got.Error.Message, "user:ann made it") {
		t.Errorf("somebody lives there: %+v", got)
	}
	var no struct{ Error *metav1.Status }
	h.ask("ann", wire.VerbUndo, wire.UndoRequest{Change: "nobody's", Preview: true}, &no)
	if no.Error == nil || !strings.Contains(no.Error.Message, "none of the last changes") {
		t.Errorf("%+v", no.Error)
	}
}
