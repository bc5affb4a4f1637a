package run

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/stage"
)

// tells appends what a node says that it has.
func (r *running) tells(t *testing.T, node string) {
	t.Helper()
	e := events.Envelope{Subject: events.SeenSubject(node), Type: events.PodsSeen, Version: 1, Actor: events.NodeActor(node),
		Body: events.MustBody(events.Seen{Node: &events.NodeFacts{Hostname: node}})}
	if _, err := r.log.Append(t.Context(), []bus.Record{{Envelope: e}}); err != nil {
		t.Fatal(err)
	}
}

func TestHeartbeatsBecomeFacts(t *testing.T) {
	wires := memory.NewWires()
	r := start(t)
	k := stage.NodeKey("n1")
	if _, err := r.Submit(t.Context(), wish("1", k)); err != nil {
		t.Fatal(err)
	}
	r.tells(t, "n1")
	ctx, stop := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- r.Observe(ctx, wires) }()
	r.eventually(t, "ready", func(v projections.State) bool {
		_ = wires.Publish(bus.Message{Subject: projections.HeartbeatSubject("n1")})
		n, ok := v.Node("n1")
		return ok && n.Report.Ready
	})
	stop()
	if err := <-end; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// frozen is a clock in which no tick ever comes.
type frozen struct{ Wall }

func (frozen) After(time.Duration) <-chan time.Time { return nil }

func TestANodeThatComesUpIsReportedAtOnce(t *testing.T) {
	wires := memory.NewWires()
	r := startAt(t, frozen{})
	r.eventually(t, "leading", func(v projections.State) bool { return v.Holder == "me" })
	ready := func(node string) func(projections.State) bool {
		return func(v projections.State) bool { n, ok := v.Node(node); return ok && n.Report.Ready }
	}
	ctx, stop := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- r.Observe(ctx, wires) }()
	beat := func(node string) {
		_ = wires.Publish(bus.Message{Subject: projections.HeartbeatSubject(node)})
	}
	join := func(node string) {
		if _, err := r.Submit(t.Context(), wish(node, stage.NodeKey(node))); err != nil {
			t.Error(err)
		}
	}
	admit := func(node string) {
		join(node)
		r.tells(t, node)
	}
	admit("n1")
	r.eventually(t, "ready", func(v projections.State) bool { beat("n1"); return ready("n1")(v) }) // it listens now
	admit("n2")
	beat("n2")
	r.eventually(t, "ready after its first heartbeat", ready("n2"))
	beat("n3")
	time.Sleep(5 * time.Millisecond) // the wires deliver in their own time
	admit("n3")
	r.eventually(t, "ready when it is admitted", ready("n3"))
	join("n4")
	beat("n4")
	time.Sleep(5 * time.Millisecond)
	if ready("n4")(r.src.Ahead()) {
		t.Error("ready before it said what it has to give: nothing could be placed there")
	}
	r.tells(t, "n4")
	r.eventually(t, "ready when it has said what it has", ready("n4"))
	stop()
	if err := <-end; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestSilenceCountsOnlyWhileListening(t *testing.T) {
	w := stage.New()
	w.Apply(stage.NodeKey("n1"), `{}`)
	o := NewObserver(0)
	ready := func() bool { n, ok := w.State.Node("n1"); return ok && n.Report.Ready }
	tick := func(d time.Duration) { w.Now = w.Now.Add(d); w.Do(o.Tick(w.State, w.Now)...) }
	tick(0)
	tick(time.Hour) // a pause is no silence
	o.Beat("n1")
	tick(time.Second)
	if _, ok := w.State.Node("n1"); ok {
		t.Fatal("reported before it said what it has")
	}
	w.Facts("n1", nil) // the heartbeat counts now
	tick(time.Second)
	if !ready() {
		t.Fatal("a heartbeat does not make it ready")
	}
	for range 5 {
		tick(time.Hour) // stopped, woken, stopped
	}
	if !ready() {
		t.Fatal("pauses of the observer count as silence")
	}
	before := len(w.Log)
	for s := 0; ready(); s++ {
		if tick(time.Second); s > 60 {
			t.Fatal("never silent")
		}
		if silent := time.Duration(s+1)*time.Second + 10*time.Second; !ready() && silent != NodeGrace {
			t.Fatalf("silent after %s", silent)
		}
	}
	for range 50 {
		tick(time.Second)
	}
	if n := len(w.Log) - before; n != 1 {
		t.Errorf("%d reports of one silence", n)
	}
	o.Beat("n1")
	o.Beat("stranger")
	tick(time.Second)
	if !ready() {
		t.Error("it came back unnoticed")
	}
}
