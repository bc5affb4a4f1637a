package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/api"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/follow"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// house is a control plane in one process, without controllers.
type house struct {
	*testing.T
	log   *memory.Log
	wires *memory.Wires
	view  *follow.Follower
}

// submitter is the writer as the door knows it.
type submitter struct{ *run.Loop }

func (s submitter) Submit(ctx context.Context, w api.Wish) ([]events.Envelope, error) {
	return s.Loop.Submit(ctx, run.Request{Actor: w.Actor, ID: w.ID, Key: w.Key, Message: w.Message, Change: w.Change, Decide: w.Decide})
}

func open(t *testing.T) house {
	t.Helper()
	h := house{T: t, log: memory.NewLog(time.Now), wires: memory.NewWires()}
	var err error
	if h.view, err = follow.Open(t.Context(), h.log, follow.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.view.Close)
	loop, err := run.NewLoop(run.Config{Cluster: "test", Holder: "me", Log: h.log, Source: h.view, Clock: run.Wall{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = loop.Run(ctx) }() // it ends with the context
	t.Cleanup(func() { cancel(); <-ended })
	cluster := projections.Cluster{Name: "test", PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/16", DNS: "10.96.0.10", Domain: "cluster.local"}
	made, err := loop.Submit(t.Context(), run.Request{Actor: "test", ID: "boot", Key: projections.ClusterKey, Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
		return admit.Bootstrap(v, cluster), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.view.WaitDurable(t.Context(), made[len(made)-1].Seq); err != nil {
		t.Fatal(err) // a test's first reading would race with it
	}
	d, err := api.Serve(api.Options{Wires: h.wires, Log: h.log, Views: h.view, Writer: submitter{loop}, Cluster: "test", Version: "1", Now: time.Now, Fork: forked,
		Explain: func(projections.State, events.Key) []events.Reason { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return h
}

// ask sends a request in somebody's name and decodes the reply into out.
func (h house) ask(user, verb string, request, out any) {
	h.Helper()
	raw, err := h.wires.Request(h.Context(), wire.Subject(user, verb), events.MustBody(request))
	if err != nil {
		h.Fatal(err)
	}
	if err := json.Unmarshal(raw, out); err != nil {
		h.Fatalf("%s: %v in %s", verb, err, raw)
	}
}

func configMap(name, value string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":"default"},"data":{"key":%q}}`, name, value))
}

func (h house) change(id string, op wire.Operation, dry bool, objects ...json.RawMessage) []wire.Result {
	h.Helper()
	req := wire.ChangeRequest{ID: id, Operation: op, DryRun: dry, Message: "because"}
	for _, o := range objects {
		req.Items = append(req.Items, wire.Item{Object: o})
	}
	var reply struct {
		wire.ChangeReply
		Error *metav1.Status
	}
	h.ask("ann", wire.VerbChange, req, &reply)
	if reply.Error != nil {
		h.Fatalf("change %s: %s", id, reply.Error.Message)
	}
	return reply.Results
}

func (h house) end() events.Seq {
	b, err := h.log.Bounds(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return b.Last
}

func TestActorIsReadFromTheSubject(t *testing.T) {
	h := open(t)
	r := h.change("1", wire.Apply, false, configMap("colours", "blue"))[0]
	if r.Outcome != admit.Created || r.Seq == 0 || r.UID == "" || !strings.Contains(string(r.Object), `"resourceVersion"`) {
		t.Fatalf("%+v", r)
	}
	var history wire.HistoryReply
	h.ask("bob", wire.VerbHistory, wire.HistoryRequest{Key: r.Key}, &history)
	if len(history.Rows) != 1 || history.Rows[0].Actor != "user:ann" || history.Rows[0].Message != "because" {
		t.Errorf("history: %+v", history)
	}
}

// The history of a large object is told without its bodies: of all its changes
// they are more than an answer holds.
func TestHistoryWithoutBodies(t *testing.T) {
	h := open(t)
	key := h.change("1", wire.Apply, false, configMap("colours", "blue"))[0].Key
	for _, plain := range []bool{false, true} {
		var history wire.HistoryReply
		h.ask("bob", wire.VerbHistory, wire.HistoryRequest{Key: key, Plain: plain, Diff: true}, &history)
		if len(history.Rows) != 1 || history.Rows[0].Message != "because" || len(history.Rows[0].Diff) == 0 || (len(history.Rows[0].Body) == 0) != plain {
			t.Errorf("plain %v: %+v", plain, history)
		}
	}
}

// A retry of a wish is the same wish: the wires may have lost the answer.
func TestRetryIsNotASecondWish(t *testing.T) {
	h := open(t)
	generated := json.RawMessage(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"c-","namespace":"default"}}`)
	first := h.change("same", wire.Create, false, generated)[0]
	end := h.end()
	again := h.change("same", wire.Create, false, generated)[0]
	if first.Key != again.Key || first.UID != again.UID || again.Outcome != admit.Created || h.end() != end {
		t.Errorf("first %+v, again %+v, the log went from %d to %d", first, again, end, h.end())
	}
	other := h.change("other", wire.Create, false, generated)[0]
	if other.Key == first.Key || h.end() == end {
		t.Errorf("another wish made %s again", other.Key)
	}
}

func TestEachItemStandsAlone(t *testing.T) {
	h := open(t)
	r := h.change("1", wire.Apply, false, configMap("a", "1"), configMap("B_d", "1"), configMap("c", "1"))
	if r[0].Error != nil || r[1].Error == nil || r[2].Error != nil {
		t.Fatalf("%+v", r)
	}
	if r[1].Error.Reason != metav1.StatusReasonInvalid || r[1].Error.Details.Causes[0].Field != "metadata.name" {
		t.Errorf("refused with %+v", r[1].Error)
	}
}

func TestDryRunAppendsNothing(t *testing.T) {
	h := open(t)
	end := h.end()
	r := h.change("1", wire.Apply, true, configMap("colours", "blue"))[0]
	if r.Outcome != admit.Created || !strings.Contains(string(r.Object), `"blue"`) {
		t.Errorf("%+v", r)
	}
	if h.end() != end {
		t.Errorf("the log grew from %d to %d", end, h.end())
	}
}

func TestChangeWithoutIDIsRefused(t *testing.T) {
	var reply struct{ Error *metav1.Status }
	open(t).ask("ann", wire.VerbChange, wire.ChangeRequest{Operation: wire.Apply}, &reply)
	if reply.Error == nil || reply.Error.Reason != metav1.StatusReasonBadRequest {
		t.Errorf("%+v", reply.Error)
	}
}

func TestReadSelects(t *testing.T) {
	h := open(t)
	labelled := json.RawMessage(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"default","labels":{"app":"web"}}}`)
	seq := h.change("1", wire.Apply, false, labelled, configMap("y", "1"))[1].Seq
	for name, c := range map[string]struct {
		wire.ReadRequest
		want int
	}{
		"all":           {wire.ReadRequest{}, 2},
		"by label":      {wire.ReadRequest{LabelSelector: "app in (web)"}, 1},
		"by field":      {wire.ReadRequest{FieldSelector: "metadata.name=y"}, 1},
		"by name":       {wire.ReadRequest{Names: []string{"x"}}, 1},
		"elsewhere":     {wire.ReadRequest{Namespace: "kube-public"}, 0},
		"not any label": {wire.ReadRequest{LabelSelector: "!app"}, 1},
	} {
		c.Resource, c.MinSeq = events.ConfigMaps, seq
		if c.Namespace == "" {
			c.Namespace = "default"
		}
		var reply wire.ReadReply
		h.ask("ann", wire.VerbRead, c.ReadRequest, &reply)
		if len(reply.Objects) != c.want || reply.Error != nil {
			t.Errorf("%s: %d objects, want %d (%+v)", name, len(reply.Objects), c.want, reply.Error)
		}
	}
	for _, bad := range []wire.ReadRequest{{Resource: "gadgets"}, {Resource: events.Pods, LabelSelector: "a in ("}, {Resource: events.Pods, FieldSelector: "spec.colour=blue"}} {
		var reply wire.ReadReply
		h.ask("ann", wire.VerbRead, bad, &reply)
		if reply.Error == nil || reply.Error.Reason != metav1.StatusReasonBadRequest {
			t.Errorf("%+v is answered with %+v", bad, reply.Error)
		}
	}
}

// A watch goes on exactly where a read ended: what happened in between is told
// first, deletions too.
func TestWatchGoesOnAfterARead(t *testing.T) {
	h := open(t)
	h.change("1", wire.Apply, false, configMap("a", "1"), configMap("b", "1"))
	read := wire.ReadRequest{Resource: events.ConfigMaps, Namespace: "default"}
	var reply wire.ReadReply
	h.ask("ann", wire.VerbRead, read, &reply)
	h.change("2", wire.Apply, false, configMap("a", "2"))
	h.remove("3", "b")

	stream, err := h.wires.Dial(h.Context(), wire.Subject("ann", wire.VerbWatch), events.MustBody(wire.WatchRequest{ReadRequest: read, From: reply.Position}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	next := func() string {
		t.Helper()
		f, err := stream.Recv(t.Context())
		if err != nil || f.Channel == wire.Failed {
			t.Fatalf("%v %s", err, f.Data)
		}
		var e wire.WatchEvent
		if err := json.Unmarshal(f.Data, &e); err != nil {
			t.Fatal(err)
		}
		var o metav1.PartialObjectMetadata
		if err := json.Unmarshal(e.Object, &o); err != nil {
			t.Fatal(err)
		}
		return e.Type + " " + o.Name
	}
	got := []string{next(), next()}
	h.change("4", wire.Apply, false, configMap("c", "1"))
	got = append(got, next())
	h.remove("5", "a")
	got = append(got, next())
	if want := "MODIFIED a, DELETED b, ADDED c, DELETED a"; strings.Join(got, ", ") != want {
		t.Errorf("watched %s, want %s", strings.Join(got, ", "), want)
	}
}

// What a watch missed comes in the order in which it happened: its client goes on from the last that it saw when it is cut
// off in the middle.
func TestAWatchCatchesUpInOrder(t *testing.T) {
	h := open(t)
	h.change("1", wire.Apply, false, configMap("a", "1"), configMap("b", "1"), configMap("c", "1"), configMap("d", "1"))
	read := wire.ReadRequest{Resource: events.ConfigMaps, Namespace: "default"}
	var reply wire.ReadReply
	h.ask("ann", wire.VerbRead, read, &reply)
	h.change("2", wire.Apply, false, configMap("d", "2"))
	h.change("3", wire.Apply, false, configMap("a", "2"))
	h.remove("4", "c")
	h.change("5", wire.Apply, false, configMap("b", "2"))
	stream, err := h.wires.Dial(h.Context(), wire.Subject("ann", wire.VerbWatch), events.MustBody(wire.WatchRequest{ReadRequest: read, From: reply.Position}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	last := reply.Position
	for range 4 {
		f, err := stream.Recv(t.Context())
		var e wire.WatchEvent
		if err != nil || json.Unmarshal(f.Data, &e) != nil {
			t.Fatalf("%v %s", err, f.Data)
		}
		if e.Position <= last {
			t.Errorf("after %s comes %s of %s", last, e.Type, e.Position)
		}
		last = e.Position
	}
}

func (h house) remove(id, name string) {
	h.Helper()
	var reply wire.ChangeReply
	k := events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: name}
	h.ask("ann", wire.VerbChange, wire.ChangeRequest{ID: id, Operation: wire.Delete, Items: []wire.Item{{Key: k}}}, &reply)
	if len(reply.Results) != 1 || reply.Results[0].Error != nil {
		h.Fatalf("delete %s: %+v", name, reply)
	}
}

func TestTailFollowsACause(t *testing.T) {
	h := open(t)
	seq := h.change("1", wire.Apply, false, configMap("a", "1"))[0].Seq
	h.change("2", wire.Apply, false, configMap("b", "1"))
	stream, err := h.wires.Dial(h.Context(), wire.Subject("ann", wire.VerbTail), events.MustBody(wire.TailRequest{From: 1, Filter: wire.TailFilter{Cause: seq}}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var got []events.Seq
	for {
		f, err := stream.Recv(t.Context())
		if err != nil {
			break // its end: nothing more is followed
		}
		var e wire.TailEvent
		if err := json.Unmarshal(f.Data, &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Seq)
	}
	if fmt.Sprint(got) != fmt.Sprint([]events.Seq{seq}) {
		t.Errorf("tail of cause %d: %v", seq, got)
	}
}

func TestJoinGivesEachNodeItsPlace(t *testing.T) {
	h := open(t)
	facts := events.NodeFacts{Hostname: "n", Addresses: []string{"192.0.2.1"}, Capacity: map[string]string{"cpu": "2"}, Allocatable: map[string]string{"cpu": "2"}}
	place := map[string]string{}
	for _, n := range []string{"n1", "n2", "n1"} {
		var r wire.JoinReply
		h.ask("node-"+n, wire.VerbJoin, wire.JoinRequest{Node: n, Facts: facts}, &r)
		if r.Error != nil || r.PodCIDR == "" || r.DNS != "10.96.0.10" {
			t.Fatalf("%s: %+v", n, r)
		}
		if old, again := place[n]; again && old != r.PodCIDR {
			t.Errorf("%s had %s and now has %s", n, old, r.PodCIDR)
		}
		place[n] = r.PodCIDR
	}
	if place["n1"] == place["n2"] {
		t.Errorf("both nodes got %s", place["n1"])
	}
}

// An agent's credential opens no more than its node needs, and a person's does
// not speak for a node.
func TestAgentsAndPeopleKeepToTheirVerbs(t *testing.T) {
	h := open(t)
	k := events.Key{Resource: events.Namespaces, Name: "default"}
	for name, c := range map[string]struct {
		user, verb string
		request    any
	}{
		"an agent changes":            {"node-n1", wire.VerbChange, wire.ChangeRequest{ID: "1", Operation: wire.Delete, Items: []wire.Item{{Key: k}}}},
		"an agent reads":              {"node-n1", wire.VerbRead, wire.ReadRequest{Resource: events.ConfigMaps}},
		"an agent joins as another":   {"node-n1", wire.VerbJoin, wire.JoinRequest{Node: "n2"}},
		"an agent reads another's":    {"node-n1", wire.VerbDesired, wire.DesiredRequest{Node: "n2"}},
		"a person joins":              {"ann", wire.VerbJoin, wire.JoinRequest{Node: "ann"}},
		"a person reads a node's set": {"ann", wire.VerbDesired, wire.DesiredRequest{Node: "n1"}},
	} {
		var reply struct{ Error *metav1.Status }
		h.ask(c.user, c.verb, c.request, &reply)
		if reply.Error == nil || reply.Error.Reason != metav1.StatusReasonForbidden {
			t.Errorf("%s: %+v", name, reply.Error)
		}
	}
}
