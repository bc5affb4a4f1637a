package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/follow"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// plant is a control plane on a real log: server, fold, loop, observer, and
// nodes that say at once what a real one would say in time.
type plant struct {
	t        *testing.T
	server   *jetstream.Server
	follower *follow.Follower
	loop     *Loop
	end      chan error // what the loop ended with
	stop     context.CancelFunc
	busy     sync.WaitGroup
	told     map[string]bool // what the nodes have said, by pod and kind
	most     atomic.Int64    // how many pods may still come up
}

func openPlant(t *testing.T, dir, holder string) *plant {
	t.Helper()
	server, err := jetstream.Open(t.Context(), jetstream.Options{Dir: dir, Name: "test", Warn: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	follower, err := follow.Open(t.Context(), server.Log(), follow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &plant{t: t, server: server, follower: follower, told: map[string]bool{}}
	p.most.Store(1 << 30)
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.loop, p.end = p.lead(ctx, holder)
	p.busy.Go(func() { _ = p.loop.Observe(ctx, server.Wires()) }) // ends with ctx
	p.busy.Go(func() { p.nodes(ctx) })
	return p
}

// lead starts a loop on the plant's log.
func (p *plant) lead(ctx context.Context, holder string) (*Loop, chan error) {
	p.t.Helper()
	l, err := NewLoop(Config{Cluster: "test", Holder: holder, Log: p.server.Log(), Source: p.follower, Clock: Wall{},
		Reconcilers: everyone(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		p.t.Fatal(err)
	}
	end := make(chan error, 1)
	p.busy.Go(func() { end <- l.Run(ctx) })
	return l, end
}

func (p *plant) close() {
	p.t.Helper()
	p.stop()
	p.busy.Wait()
	p.follower.Close()
	if err := p.server.Close(); err != nil {
		p.t.Error(err)
	}
}

// nodes looks at the durable rows, as real nodes do, and says what they ask for.
func (p *plant) nodes(ctx context.Context) {
	changed := make(chan struct{}, 1)
	defer p.follower.OnDurable(func(projections.State, events.Envelope, []projections.Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	beat := time.NewTicker(50 * time.Millisecond)
	defer beat.Stop()
	for {
		v := p.follower.Durable()
		for o := range v.List(events.Nodes, "") {
			_ = p.server.Wires().Publish(bus.Message{Subject: projections.HeartbeatSubject(o.Key.Name)}) // the next one is as good
			p.flush(ctx, v, o.Key.Name)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-beat.C:
		}
	}
}

// flush is one node's facts about all of its pods that want any.
func (p *plant) flush(ctx context.Context, v projections.State, node string) {
	var b events.Seen
	if !p.told[node] {
		p.told[node] = true
		b.Node = &events.NodeFacts{Hostname: node, Allocatable: map[string]string{"cpu": "64", "memory": "64Gi", "pods": "110"}}
	}
	for row := range v.PodsOn(node) {
		o, ok := v.Get(row.Key)
		if !ok {
			continue
		}
		kind := "up"
		facts := []events.Fact{{Kind: events.FactSandbox, IP: "10.0.0.1"}, {Kind: events.FactStarted, Container: "c", Run: 1}, {Kind: events.FactReady, Container: "c", Run: 1}}
		if o.Deletion != nil {
			kind, facts = "down", []events.Fact{{Kind: events.FactStopped}}
		}
		if said := kind + string(o.UID); !p.told[said] && (kind == "down" || p.most.Add(-1) >= 0) {
			p.told[said] = true
			b.Pods = append(b.Pods, events.PodSeen{Namespace: o.Key.Namespace, Name: o.Key.Name, UID: o.UID, Assigned: row.Assigned.Seq, Facts: facts})
		}
	}
	if b.Node == nil && len(b.Pods) == 0 {
		return
	}
	e := events.Envelope{Subject: events.SeenSubject(node), Type: events.PodsSeen, Version: 1, Actor: events.NodeActor(node), Body: events.MustBody(b)}
	if _, err := p.server.Log().Append(ctx, []bus.Record{{Envelope: e}}); err != nil && ctx.Err() == nil {
		p.t.Errorf("node %s: %v", node, err)
	}
}

// wish lets a person create, change or (with object "") delete something.
func (p *plant) wish(l *Loop, id string, k events.Key, object string) {
	p.t.Helper()
	_, err := l.Submit(p.t.Context(), Request{Actor: "user:ann", ID: id, Key: k, Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
		o, ok := v.Get(k)
		switch {
		case !ok:
			return []reconcilers.Draft{reconcilers.Create(k, events.Created{Object: json.RawMessage(object)})}, nil
		case object == "":
			return []reconcilers.Draft{reconcilers.RequestDeletion(o, events.DeletionRequested{})}, nil
		}
		b := reconcilers.Same(o)
		b.Object, b.Template, b.Generation = json.RawMessage(object), "", o.Generation+1
		return []reconcilers.Draft{reconcilers.Change(o, b)}, nil
	}})
	if err != nil {
		p.t.Fatal(err)
	}
}

// until waits for a durable view in which so many pods of an image are ready
// and no other pod is there.
func (p *plant) until(image string, ready, others int) {
	p.t.Helper()
	p.wait(func(v projections.State) bool {
		have, rest := 0, 0
		for o := range v.List(events.Pods, "") {
			row, _ := v.PodOf(o.Key)
			if o.PodSpec().Containers[0].Image == image && o.Deletion == nil && !row.ReadySince.IsZero() {
				have++
				continue
			}
			rest++
		}
		return have >= ready && rest <= others
	})
}

func (p *plant) wait(holds func(projections.State) bool) {
	p.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds(p.follower.Durable()) {
			return
		}
	}
	p.t.Fatal("never came about")
}

// audit reads the log again and holds it against the running fold.
func (p *plant) audit() {
	p.t.Helper()
	s, created, given := projections.Empty(), map[events.UID]int{}, map[events.UID]int{}
	b, err := p.server.Log().Bounds(p.t.Context())
	if err == nil {
		err = p.follower.WaitAhead(p.t.Context(), b.Last)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	live := p.follower.Ahead()
	err = p.server.Log().Read(p.t.Context(), 1, func(e events.Envelope) error {
		if e.Seq > live.Seq {
			return nil
		}
		var changes []projections.Change
		s, changes = projections.Apply(s, e)
		for _, c := range changes {
			switch {
			case c.Key.Resource != events.Pods || c.After == nil:
			case c.Before == nil:
				created[c.After.UID]++
			case c.PodBefore.Node == "" && c.PodAfter.Node != "":
				given[c.After.UID]++
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if !bytes.Equal(s.Dump(), live.Dump()) {
		p.t.Error("the log folds to another state than the running one")
	}
	for uid := range created {
		if created[uid] != 1 || given[uid] != 1 {
			p.t.Errorf("pod %s was made %d times and given %d times", uid, created[uid], given[uid])
		}
	}
}

// One deployment's life on a real log: up, scaled, updated with a restart of
// the server in the middle, taken over by another process, deleted.
func TestLifeOnARealLog(t *testing.T) {
	dir := t.TempDir()
	p := openPlant(t, dir, "first")
	for _, n := range []string{"n1", "n2", "n3", "n4"} {
		p.wish(p.loop, "admit "+n, stage.NodeKey(n), `{"metadata":{"name":"`+n+`"}}`)
	}
	p.wait(func(v projections.State) bool { n, ok := v.Node("n4"); return ok && n.Report.Ready })
	began := time.Now()
	p.wish(p.loop, "1", web, deploymentOf(1, "nginx:1", quarters))
	p.until("nginx:1", 1, 0)
	t.Logf("one pod ready after %s", time.Since(began))
	began = time.Now()
	p.wish(p.loop, "2", web, deploymentOf(200, "nginx:1", quarters))
	p.until("nginx:1", 200, 0)
	t.Logf("200 pods ready after %s", time.Since(began))
	p.most.Store(70) // the rollout stands still in the middle
	p.wish(p.loop, "3", web, deploymentOf(200, "nginx:2", quarters))
	p.until("nginx:2", 70, 200)
	p.close()

	p = openPlant(t, dir, "second")
	defer func() { p.close() }()
	p.wait(func(v projections.State) bool { return v.Holder == "second" })
	p.until("nginx:2", 200, 0)
	p.audit()

	old := p.follower.Ahead().Epoch
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	third, _ := p.lead(ctx, "third")
	if err := <-p.end; !errors.Is(err, ErrLeaseLost) {
		t.Fatalf("the former holder ended with %v", err)
	}
	p.wait(func(v projections.State) bool { return v.Holder == "third" })
	p.tooLate(old)
	p.wish(third, "4", web, "")
	p.wait(func(v projections.State) bool { return len(listed(v)) == 0 })
	p.audit()
	stop()
}

// tooLate appends what a former holder had decided: it is void.
func (p *plant) tooLate(epoch events.Seq) {
	p.t.Helper()
	before := p.follower.Ahead().Void
	k := stage.In(events.ConfigMaps, "late")
	seq, err := p.server.Log().Append(p.t.Context(), []bus.Record{bus.Expecting(events.Envelope{Subject: events.SpecSubject(k),
		Type: events.TypeOf(k.Resource, events.VerbCreated), Version: 1, Epoch: epoch, Body: []byte(`{"uid":"late","object":{}}`)}, 0)})
	if err != nil {
		p.t.Fatal(err)
	}
	v, err := p.follower.WaitDurable(p.t.Context(), seq)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, there := v.Get(k); there || v.Void != before+1 {
		p.t.Errorf("an event of a former lease was folded: there %v, %d void", there, v.Void-before)
	}
}

// listed are the objects but for the nodes.
func listed(v projections.State) []events.Key {
	var out []events.Key
	for o := range v.All() {
		if o.Key.Resource != events.Nodes {
			out = append(out, o.Key)
		}
	}
	return out
}
