package follow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/follow"
)

// disk is a memory log whose watermark the test moves.
type disk struct {
	*memory.Log
	mu     sync.Mutex
	synced events.Seq
	moved  chan struct{}
}

func newDisk() *disk {
	return &disk{Log: memory.NewLog(func() time.Time { return foldtest.Start }), moved: make(chan struct{})}
}

func (d *disk) sync(to events.Seq) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced = to
	close(d.moved)
	d.moved = make(chan struct{})
}

func (d *disk) Durable() events.Seq { d.mu.Lock(); defer d.mu.Unlock(); return d.synced }

func (d *disk) WaitDurable(ctx context.Context, seq events.Seq) error {
	for {
		d.mu.Lock()
		at, moved := d.synced, d.moved
		d.mu.Unlock()
		if at >= seq {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write appends what a test log holds from a sequence on.
func (d *disk) write(t *testing.T, l *foldtest.Log, from events.Seq) {
	t.Helper()
	for _, e := range l.Events[from:] {
		if _, err := d.Append(t.Context(), []bus.Record{{Envelope: e}}); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, d *disk) *follow.Follower {
	t.Helper()
	f, err := follow.Open(t.Context(), d, follow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(stop)
	return ctx
}

func TestDurableWaitsForTheDisk(t *testing.T) {
	d, l := newDisk(), foldtest.Nginx(2)
	f := open(t, d)
	var told []events.Seq
	f.OnDurable(func(v projections.State, e events.Envelope, _ []projections.Change) { told = append(told, e.Seq) })
	d.write(t, l, 0)
	end := l.State.Seq
	if err := f.WaitAhead(soon(t), end); err != nil {
		t.Fatal(err)
	}
	if f.Ahead().Seq != end || f.Durable().Seq != 0 {
		t.Fatalf("ahead %d, durable %d before any sync", f.Ahead().Seq, f.Durable().Seq)
	}
	d.sync(end - 3)
	v, err := f.WaitDurable(soon(t), end-3)
	if err != nil || v.Seq != end-3 {
		t.Fatalf("durable is %d, %v", v.Seq, err)
	}
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if _, err := f.WaitDurable(short, end-2); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("waiting above the watermark: %v", err)
	}
	d.sync(end)
	if v, err = f.WaitDurable(soon(t), end); err != nil || !bytes.Equal(v.Dump(), f.Ahead().Dump()) {
		t.Fatalf("the durable snapshot differs from the ahead one: %v", err)
	}
	for i, seq := range told {
		if seq != events.Seq(i)+1 {
			t.Fatalf("told of %v", told)
		}
	}
	if len(told) != int(end) {
		t.Fatalf("told of %d of %d events", len(told), end)
	}
}

func TestListenersHearBeforeWaitersWake(t *testing.T) {
	d, l := newDisk(), foldtest.Nginx(1)
	f := open(t, d)
	var heard atomic.Uint64
	var late atomic.Bool
	stop := f.OnAhead(func(v projections.State, e events.Envelope, _ []projections.Change) {
		if f.Ahead().Seq < e.Seq {
			late.Store(true)
		}
		time.Sleep(100 * time.Microsecond)
		heard.Store(uint64(e.Seq))
	})
	d.write(t, l, 0)
	for seq := events.Seq(1); seq <= l.State.Seq; seq++ {
		if err := f.WaitAhead(soon(t), seq); err != nil {
			t.Fatal(err)
		}
		if heard.Load() < uint64(seq) {
			t.Fatalf("woken for %d before the listener heard of it (%d)", seq, heard.Load())
		}
	}
	if late.Load() {
		t.Fatal("a listener was told of more than the snapshot has")
	}
	stop()
	l.Create(foldtest.Key(events.ConfigMaps, "more"), `{}`)
	d.write(t, l, l.State.Seq-1)
	if err := f.WaitAhead(soon(t), l.State.Seq); err != nil || heard.Load() == uint64(l.State.Seq) {
		t.Fatalf("heard after stop: %v", err)
	}
}

func TestOpenFoldsWhatIsThere(t *testing.T) {
	d, l := newDisk(), foldtest.Nginx(2)
	d.write(t, l, 0)
	d.sync(l.State.Seq)
	var done, of events.Seq
	f, err := follow.Open(t.Context(), d, follow.Options{Progress: func(a, b events.Seq) { done, of = a, b }})
	if err != nil {
		t.Fatal(err)
	}
	if done != l.State.Seq || of != done || !bytes.Equal(f.Durable().Dump(), f.Ahead().Dump()) || f.Durable().Seq != done {
		t.Fatalf("progress %d of %d, durable %d", done, of, f.Durable().Seq)
	}
	f.Close()
	if err := f.WaitAhead(t.Context(), done+1); !errors.Is(err, follow.ErrStopped) || f.Err() != nil {
		t.Fatalf("waiting after Close: %v, %v", err, f.Err())
	}
}

// tap gathers what is published.
type tap struct {
	bus.Wires
	mu       sync.Mutex
	messages []bus.Message
}

func (w *tap) Publish(m bus.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.messages = append(w.messages, m)
	return nil
}

func (w *tap) on(prefix string) []bus.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []bus.Message
	for _, m := range w.messages {
		if len(m.Subject) >= len(prefix) && m.Subject[:len(prefix)] == prefix {
			out = append(out, m)
		}
	}
	return out
}

func (w *tap) wait(t *testing.T, prefix string, n int) []bus.Message {
	t.Helper()
	ctx := soon(t)
	for ctx.Err() == nil {
		if got := w.on(prefix); len(got) >= n {
			return got
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatalf("%d messages on %s, want %d", len(w.on(prefix)), prefix, n)
	return nil
}

func startFeed(t *testing.T, f *follow.Follower, holds *atomic.Bool) *tap {
	t.Helper()
	w := &tap{}
	feed := &follow.Feed{Wires: w, Source: f, Holds: holds.Load, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- feed.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	w.wait(t, projections.BeaconSubject, 1) // it runs
	return w
}

func message(t *testing.T, m bus.Message) projections.FeedMessage {
	t.Helper()
	var out projections.FeedMessage
	if err := json.Unmarshal(m.Body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFeedTellsOnlyWhatIsDurable(t *testing.T) {
	d, l := newDisk(), foldtest.Nginx(1)
	d.write(t, l, 0)
	d.sync(l.State.Seq)
	f := open(t, d)
	holds := &atomic.Bool{}
	holds.Store(true)
	w := startFeed(t, f, holds)
	started := f.Durable().End()

	from := l.State.Seq
	late := foldtest.Key(events.Pods, "late")
	l.CreateChild(late, foldtest.ReplicaSet, 7, foldtest.Template(""))
	l.Assign("n1", late)
	d.write(t, l, from)
	if err := f.WaitAhead(soon(t), l.State.Seq); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if got := w.on(string(events.LiveSubject(late))); len(got) != 0 {
		t.Fatalf("told of %s before it was durable", got[0].Subject)
	}
	d.sync(l.State.Seq)

	live := w.wait(t, string(events.LiveSubject(late)), 2)
	h := live[0].Header
	if h["Stave-Change"] != "ADDED" || h["Stave-Cause"] != "7" || h["Stave-Actor"] != "reconciler:replicaset" || h["Stave-Prev"] != "0" || h["Stave-Sequence"] != fmt.Sprint(from+1) {
		t.Errorf("first message: %v", h)
	}
	if live[1].Header["Stave-Change"] != "MODIFIED" || live[1].Header["Stave-Prev"] != h["Stave-Position"] {
		t.Errorf("second message does not follow the first: %v", live[1].Header)
	}
	node := message(t, w.wait(t, string(events.NodeFeedSubject("n1")), 1)[0])
	if len(node.Pods) != 1 || node.Pods[0].Pod.Name != "late" || node.Pods[0].Assigned != l.State.Seq || node.Prev != started {
		t.Errorf("node feed: %+v", node)
	}
}

func TestFeedOfNetworkAndRemovals(t *testing.T) {
	d, l := newDisk(), foldtest.Nginx(2)
	d.write(t, l, 0)
	d.sync(l.State.Seq)
	f := open(t, d)
	holds := &atomic.Bool{}
	holds.Store(true)
	w := startFeed(t, f, holds)
	from := l.State.Seq
	l.Delete(foldtest.Pod(0), foldtest.Person, 0)
	l.Remove(foldtest.Pod(0))
	l.Remove(foldtest.Service)
	d.write(t, l, from)
	d.sync(l.State.Seq)
	ends := w.wait(t, string(events.LiveSubject(foldtest.Pod(0))), 2)
	if h := ends[len(ends)-1].Header; h["Stave-Change"] != "DELETED" || !bytes.Contains(ends[len(ends)-1].Body, []byte(`"10.244.0.5"`)) {
		t.Errorf("the end of a pod: %v %s", h, ends[len(ends)-1].Body)
	}
	var gone, dropped int
	prev := events.Position(0)
	ctx := soon(t)
	for ; dropped == 0 && ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
		gone, dropped, prev = 0, 0, 0
		for _, m := range w.on("live.n") { // live.node and live.net
			x := message(t, m)
			gone += len(x.Gone)
			dropped += len(x.Dropped)
			if len(x.Services)+len(x.Dropped) > 0 {
				if prev != 0 && x.Prev != prev {
					t.Fatalf("network feed: after %d comes %+v", prev, x)
				}
				prev = x.Position
			}
		}
	}
	if gone != 1 || dropped != 1 {
		t.Errorf("%d pods gone, %d services dropped", gone, dropped)
	}
}

func TestOnlyTheHolderFeeds(t *testing.T) {
	d, l := newDisk(), foldtest.Nginx(1)
	d.write(t, l, 0)
	d.sync(l.State.Seq)
	f := open(t, d)
	holds := &atomic.Bool{}
	holds.Store(true)
	w := startFeed(t, f, holds)
	holds.Store(false)
	from := l.State.Seq
	l.Create(foldtest.Key(events.ConfigMaps, "quiet"), `{}`)
	l.Delete(foldtest.Pod(0), foldtest.Person, 30)
	d.write(t, l, from)
	d.sync(l.State.Seq)
	if _, err := f.WaitDurable(soon(t), l.State.Seq); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // for the feed to look, and to be refused
	missed := f.Durable().End()
	holds.Store(true)
	from = l.State.Seq
	l.Remove(foldtest.Pod(0))
	d.write(t, l, from)
	d.sync(l.State.Seq)
	got := message(t, w.wait(t, string(events.NodeFeedSubject("n1")), 1)[0])
	if len(w.on("live.configmaps")) != 0 || got.Prev < missed {
		t.Errorf("fed without the lease, or hid the gap: prev %d, missed up to %d", got.Prev, missed)
	}
	beacons := w.on(projections.BeaconSubject)
	if !slices.ContainsFunc(beacons, func(m bus.Message) bool { return bytes.Contains(m.Body, []byte(`"n1"`)) }) {
		t.Errorf("no beacon names the node: %d", len(beacons))
	}
}
