package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

var colours = events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: "colours"}

// What a question was answered then is what it is answered about then.
func TestThePastReadsAsItWas(t *testing.T) {
	h := open(t)
	read := wire.ReadRequest{Resource: events.ConfigMaps, Namespace: "default"}
	type answer struct {
		at       wire.Moment
		read     wire.ReadReply
		describe wire.TextReply
		why      wire.TextReply
		history  int
	}
	var then []answer
	for i := range 5 {
		var a answer
		seq := h.change(fmt.Sprint(i), wire.Apply, false, configMap("colours", fmt.Sprint(i)))[0].Seq
		read.MinSeq = seq
		h.ask("ann", wire.VerbRead, read, &a.read)
		a.at.Time = a.read.Now
		h.ask("ann", wire.VerbDescribe, wire.DescribeRequest{Key: colours}, &a.describe)
		h.ask("ann", wire.VerbWhy, wire.WhyRequest{Key: colours}, &a.why)
		a.history = i + 1
		then = append(then, a)
		time.Sleep(2 * time.Millisecond) // the next event is at another time
	}
	h.remove("gone", "colours")
	read.MinSeq = 0
	for i, want := range then {
		for _, at := range []wire.Moment{want.at, {Seq: want.read.Position.Seq()}} {
			var have wire.ReadReply
			read.At = at
			h.ask("bob", wire.VerbRead, read, &have)
			if len(have.Objects) != 1 || !bytes.Equal(have.Objects[0], want.read.Objects[0]) || have.Position != want.read.Position {
				t.Errorf("%d at %s: %s\nwant %s", i, at, have.Objects, want.read.Objects)
			}
			if at.Seq == 0 && !have.Now.Equal(want.read.Now) {
				t.Errorf("%d: ages count from %s, then from %s", i, have.Now, want.read.Now)
			}
			var text wire.TextReply
			h.ask("bob", wire.VerbDescribe, wire.DescribeRequest{Key: colours, At: at}, &text)
			if text.Error != nil || text.Text != want.describe.Text {
				t.Errorf("%d at %s: described as %q, then as %q", i, at, text.Text, want.describe.Text)
			}
			h.ask("bob", wire.VerbWhy, wire.WhyRequest{Key: colours, At: at}, &text)
			if text.Error != nil || text.Text != want.why.Text {
				t.Errorf("%d at %s: because %q, then %q", i, at, text.Text, want.why.Text)
			}
			var past wire.HistoryReply
			h.ask("bob", wire.VerbHistory, wire.HistoryRequest{Key: colours, At: at}, &past)
			if len(past.Rows) != want.history {
				t.Errorf("%d at %s: %d rows of history, then %d", i, at, len(past.Rows), want.history)
			}
		}
	}
}

func TestMomentsThatCannotBeTold(t *testing.T) {
	h := open(t)
	end := h.end()
	for want, at := range map[string]wire.Moment{
		fmt.Sprintf("the log ends at %d", end): {Seq: end + 5},
		"future":                               {Time: time.Now().Add(time.Hour)},
		"before the log's first event":         {Time: time.Now().Add(-time.Hour)},
	} {
		var reply struct{ Error *metav1.Status }
		h.ask("ann", wire.VerbRead, wire.ReadRequest{Resource: events.ConfigMaps, At: at}, &reply)
		if reply.Error == nil || reply.Error.Reason != metav1.StatusReasonBadRequest || !strings.Contains(reply.Error.Message, want) {
			t.Errorf("%s: %+v, want %q", at, reply.Error, want)
		}
	}
}

// Whoever goes on folding gets the whole state of a moment, and the empty one for a moment before the log.
func TestAStateIsSentWhole(t *testing.T) {
	h := open(t)
	seq := h.change("1", wire.Apply, false, configMap("a", "1"))[0].Seq
	h.change("2", wire.Apply, false, configMap("b", "1"))
	state := func(at wire.Moment) (head wire.StateHead, v projections.State) {
		stream, err := h.wires.Dial(h.Context(), wire.Subject("ann", wire.VerbState), events.MustBody(wire.StateRequest{At: at}))
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		var rows bytes.Buffer
		for first := true; ; first = false {
			f, err := stream.Recv(h.Context())
			switch {
			case errors.Is(err, io.EOF):
				if head.Seq == 0 {
					return head, projections.Empty()
				}
				if v, err = projections.Restore(head.Version, &rows); err != nil {
					t.Fatal(err)
				}
				return head, v
			case err != nil || f.Channel != wire.Stdout:
				t.Fatalf("%v: %s", err, f.Data)
			case first:
				if err := json.Unmarshal(f.Data, &head); err != nil {
					t.Fatal(err)
				}
			default:
				rows.Write(f.Data)
			}
		}
	}
	head, v := state(wire.Moment{Seq: seq})
	_, a := v.Get(events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: "a"})
	_, b := v.Get(events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: "b"})
	if head.Seq != seq || v.Seq != seq || !a || b {
		t.Errorf("at %d: %d, has a %t, has b %t", head.Seq, v.Seq, a, b)
	}
	if head, _ := state(wire.Moment{Time: time.Now().Add(-time.Hour)}); head.Seq != 0 {
		t.Errorf("an hour before the log: the state at %d", head.Seq)
	}
}
