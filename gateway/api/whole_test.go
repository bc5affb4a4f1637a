package api_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
)

// whole asks for a change of all or none.
func (h house) whole(req wire.ChangeRequest, objects ...json.RawMessage) wire.ChangeReply {
	h.Helper()
	req.Operation, req.Whole = wire.Apply, true
	for _, o := range objects {
		req.Items = append(req.Items, wire.Item{Object: o})
	}
	var reply wire.ChangeReply
	h.ask("ann", wire.VerbChange, req, &reply)
	if reply.Error != nil {
		h.Fatalf("change %s: %s", req.ID, reply.Error.Message)
	}
	return reply
}

func namespace(name string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, name))
}

func in(ns, name, value string) json.RawMessage {
	return json.RawMessage(strings.Replace(string(configMap(name, value)), `"default"`, fmt.Sprintf("%q", ns), 1))
}

func TestAWholeChangeIsAllOrNothing(t *testing.T) {
	h := open(t)
	end := h.end()
	for _, dry := range []bool{false, true} {
		r := h.whole(wire.ChangeRequest{ID: "1", DryRun: dry}, configMap("a", "1"), configMap("B_d", "1"), in("nowhere", "c", "1")).Results
		if r[0].Error != nil || r[0].Outcome != "" || r[1].Error == nil || r[2].Error == nil || r[2].Error.Reason != metav1.StatusReasonNotFound {
			t.Errorf("%+v", r)
		}
	}
	if h.end() != end {
		t.Fatalf("the log grew from %d to %d", end, h.end())
	}
	// The namespace goes first wherever it stands; the answers keep the order asked.
	objects := []json.RawMessage{in("shop", "c", "1"), configMap("a", "1"), namespace("shop")}
	for _, dry := range []bool{true, false, false} { // the last is a retry
		r := h.whole(wire.ChangeRequest{ID: "2", DryRun: dry}, objects...).Results
		for i, want := range []string{"configmaps/shop/c", "configmaps/default/a", "namespaces/shop"} {
			if r[i].Key.String() != want || r[i].Outcome != admit.Created || r[i].Error != nil || dry != (r[i].Seq == 0) || len(r[i].Object) == 0 {
				t.Errorf("dry %v: %+v", dry, r[i])
			}
		}
	}
	if have := h.end(); have != end+3 {
		t.Errorf("the log went from %d to %d for three objects", end, have)
	}
	if r := h.whole(wire.ChangeRequest{ID: "3"}, configMap("x", "1"), configMap("x", "1")).Results; r[1].Outcome != admit.Unchanged {
		t.Errorf("the same twice: %+v", r)
	}
	if r := h.whole(wire.ChangeRequest{ID: "4"}, configMap("y", "1"), configMap("y", "2")).Results; r[1].Error == nil || !strings.Contains(r[1].Error.Message, "twice") {
		t.Errorf("two of one name: %+v", r)
	}
}

func TestUndoTakesBackTheWholeChange(t *testing.T) {
	h := open(t)
	h.whole(wire.ChangeRequest{ID: "before"}, configMap("a", "old"))
	r := h.whole(wire.ChangeRequest{ID: "zyx"}, configMap("a", "new"), in("shop", "c", "1"), namespace("shop"))
	var list wire.ChangesReply
	h.ask("bob", wire.VerbChanges, wire.ChangesRequest{}, &list)
	if len(list.Changes) != 2 || list.Changes[0].ID != "zyx" || list.Changes[0].Count != 3 || list.Changes[1].Count != 1 {
		t.Fatalf("%+v", list)
	}
	var reply wire.UndoReply
	h.ask("bob", wire.VerbUndo, wire.UndoRequest{ID: "u", Seq: r.Results[0].Seq, Preview: true, Only: true}, &reply)
	if len(reply.Results) != 1 {
		t.Errorf("one event alone: %+v", reply)
	}
	reply = wire.UndoReply{}
	h.ask("bob", wire.VerbUndo, wire.UndoRequest{ID: "u", Change: "zy"}, &reply)
	if reply.Error != nil || len(reply.Results) != 3 || h.read("default", "a") != "old" {
		t.Fatalf("%+v, a is %s", reply, h.read("default", "a"))
	}
	// The changes of other people with the same id are not meant.
	var other wire.ChangeReply
	h.ask("eve", wire.VerbChange, wire.ChangeRequest{ID: "zyx", Operation: wire.Apply, Items: []wire.Item{{Object: configMap("e", "1")}}}, &other)
	reply = wire.UndoReply{}
	h.ask("eve", wire.VerbUndo, wire.UndoRequest{ID: "v", Seq: other.Results[0].Seq, Preview: true}, &reply)
	if reply.Error != nil || len(reply.Results) != 1 {
		t.Errorf("%+v", reply)
	}
	var no wire.UndoReply
	h.ask("bob", wire.VerbUndo, wire.UndoRequest{ID: "w", Change: "kkkk"}, &no)
	if no.Error == nil || no.Error.Reason != metav1.StatusReasonBadRequest {
		t.Errorf("an id that is not there: %+v", no)
	}
}

// read is the one value of a ConfigMap of the tests.
func (h house) read(ns, name string) string {
	h.Helper()
	var reply wire.ReadReply
	h.ask("ann", wire.VerbRead, wire.ReadRequest{Resource: events.ConfigMaps, Namespace: ns, Names: []string{name}, MinSeq: h.end()}, &reply)
	if len(reply.Objects) == 0 {
		return ""
	}
	var o struct{ Data map[string]string }
	if err := json.Unmarshal(reply.Objects[0], &o); err != nil {
		h.Fatal(err)
	}
	return o.Data["key"]
}

func TestPruneTakesWhatTheSetNoLongerHas(t *testing.T) {
	h := open(t)
	h.whole(wire.ChangeRequest{ID: "others"}, namespace("blog"), in("blog", "theirs", "1"))
	h.whole(wire.ChangeRequest{ID: "1", Set: "shop"}, namespace("shop"), in("shop", "a", "1"), in("shop", "b", "1"), in("blog", "b", "1"))
	h.whole(wire.ChangeRequest{ID: "2", Set: "blog"}, in("blog", "posts", "1"))
	h.whole(wire.ChangeRequest{ID: "3"}, in("shop", "a", "2")) // an apply without the set leaves it a member

	var refusal wire.ChangeReply
	h.ask("ann", wire.VerbChange, wire.ChangeRequest{ID: "x", Operation: wire.Apply, Whole: true, Set: "blog", Items: []wire.Item{{Object: in("shop", "a", "3")}}}, &refusal)
	if e := refusal.Results[0].Error; e == nil || !strings.Contains(e.Message, `the set "shop"`) {
		t.Errorf("a member of another set: %+v", refusal)
	}
	end := h.end()
	preview := h.whole(wire.ChangeRequest{ID: "4", Set: "shop", Prune: true, DryRun: true}, in("shop", "b", "2"))
	if h.end() != end {
		t.Fatal("a preview appends")
	}
	done := h.whole(wire.ChangeRequest{ID: "4", Set: "shop", Prune: true}, in("shop", "b", "2"))
	for _, reply := range []wire.ChangeReply{preview, done} {
		said := map[string]string{}
		for _, r := range reply.Pruned {
			said[r.Key.String()] = r.Outcome
		}
		want := map[string]string{"configmaps/shop/a": admit.Pruned, "configmaps/blog/b": admit.Pruned, "namespaces/shop": admit.Kept}
		if fmt.Sprint(said) != fmt.Sprint(want) {
			t.Errorf("pruned %v, want %v", said, want)
		}
	}
	if h.read("shop", "b") != "2" || h.read("shop", "a") != "" || h.read("blog", "theirs") != "1" || h.read("blog", "posts") != "1" {
		t.Error("what stays and what goes is not as the set says")
	}
	var reply wire.UndoReply
	h.ask("ann", wire.VerbUndo, wire.UndoRequest{ID: "u", Seq: done.Results[0].Seq}, &reply)
	if h.read("shop", "a") != "2" || h.read("shop", "b") != "1" || h.read("blog", "b") != "1" {
		t.Errorf("the undo of a prune: %+v", reply)
	}
	h.whole(wire.ChangeRequest{ID: "5", Set: "bare"}, namespace("bare"), in("default", "x", "1"))
	if r := h.whole(wire.ChangeRequest{ID: "6", Set: "bare", Prune: true, DryRun: true}, in("default", "x", "1")); len(r.Pruned) != 1 || r.Pruned[0].Outcome != admit.Pruned {
		t.Errorf("a namespace with nothing of others in it: %+v", r.Pruned)
	}
}

// TestABriefAnswerLeavesOnlyTheObjectsOut: whatever is asked for, and whatever a dry run is for is told.
func TestABriefAnswerLeavesOnlyTheObjectsOut(t *testing.T) {
	deployment := json.RawMessage(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},` +
		`"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	key := events.Key{Resource: events.Deployments, Namespace: "default", Name: "d"}
	tell := func(brief bool) (told []wire.Result) {
		h := open(t)
		for i, req := range []wire.ChangeRequest{{Operation: wire.Create, Items: []wire.Item{{Object: configMap("a", "1")}, {Object: deployment}, {Object: configMap("B_d", "1")}}},
			{Operation: wire.Apply, Whole: true, Items: []wire.Item{{Object: configMap("a", "2")}, {Object: namespace("shop")}}}, {Operation: wire.Apply, Items: []wire.Item{{Object: configMap("a", "2")}}},
			{Operation: wire.Replace, Items: []wire.Item{{Object: configMap("a", "3")}}}, {Operation: wire.Scale, Replicas: 3, Items: []wire.Item{{Key: key}}},
			{Operation: wire.Apply, DryRun: true, Items: []wire.Item{{Object: configMap("a", "4")}}}, {Operation: wire.Delete, Items: []wire.Item{{Key: key}}}} {
			var reply wire.ChangeReply
			req.ID, req.Brief = fmt.Sprint(i), brief
			h.ask("ann", wire.VerbChange, req, &reply)
			for _, r := range reply.Results {
				if has := len(r.Object) > 0; brief && has != req.DryRun || !brief && !has && r.Error == nil && r.Outcome != admit.Deleted {
					t.Errorf("brief %t, %s %s: the object %s", brief, req.Operation, r.Key, r.Object)
				}
				r.Object, r.Seq = nil, min(r.Seq, 1) // controllers write in between
				told = append(told, r)
			}
		}
		return told
	}
	long, brief := tell(false), tell(true)
	if len(long) != 10 || !reflect.DeepEqual(long, brief) {
		t.Errorf("at length %+v\nin brief %+v", long, brief)
	}
}
