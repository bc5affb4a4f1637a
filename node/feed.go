package node

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/ledger"
	"github.com/stave-run/stave/projections"
)

// Bounds of the feed.
const (
	// fetchPatience is how long a request to the control plane may take.
	fetchPatience = 15 * time.Second
	// fetchPause is what lies between two tries.
	fetchPause = time.Second
	// maxUnread bounds what the feed holds while a set is fetched; beyond it the set is fetched once more.
	maxUnread = 4096
)

// feed follows what the node shall run. Messages only queue in the subscription's goroutine; everything else happens in
// run, which never waits for a pod.
type feed struct {
	a       *Agent
	flights flights

	mu     sync.Mutex
	unread []projections.FeedMessage
	beats  *projections.Beacon // the newest, when not yet read
	wake   chan struct{}
	shelf  projections.Shelf

	ledger.Reading
}

func newFeed(a *Agent) *feed {
	f := &feed{a: a, wake: make(chan struct{}, 1), Reading: ledger.Reading{Stale: true, Told: a.journal.told}, flights: flights{heard: make(chan struct{})}}
	f.flights.Resume(a.journal.unsettled())
	a.journal.settled = func() { a.each((*worker).poke) }
	return f
}

// poke lets a worker look again.
func (w *worker) poke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.row == nil {
		w.changedLocked() // only who waits to forget asks for evidence
	}
}

func (f *feed) ring() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *feed) message(m bus.Message) {
	msg, err := projections.ReadFeed(m.Body)
	f.mu.Lock()
	if err == nil {
		err = f.shelf.Unpack(msg.Pods, msg.Bodies)
	}
	if err != nil || len(f.unread) >= maxUnread {
		f.a.log.Warn("feed message dropped", "error", err)
		f.unread = []projections.FeedMessage{{Prev: ^events.Position(0)}} // a gap: the set is read again
	} else {
		f.unread = append(f.unread, msg)
	}
	f.mu.Unlock()
	f.ring()
}

func (f *feed) beacon(m bus.Message) {
	b, err := projections.ReadBeacon(m.Body, f.a.o.Name)
	if err != nil {
		f.a.log.Warn("beacon unread", "error", err)
		return
	}
	f.mu.Lock()
	f.beats = &b
	f.mu.Unlock()
	f.ring()
}

// run applies what comes until ctx ends.
func (f *feed) run(ctx context.Context) {
	for ctx.Err() == nil {
		if f.Stale {
			if err := f.fetch(ctx); err != nil {
				f.a.log.Debug("fetch desired set", "error", err)
				wait(ctx, nil, time.Now().Add(fetchPause), time.Now())
				f.drain() // beacons still say what is durable
				continue
			}
		}
		f.drain()
		if f.Stale {
			continue
		}
		select {
		case <-ctx.Done():
		case <-f.wake:
		}
	}
}

func (f *feed) drain() {
	f.mu.Lock()
	messages, beacon := f.unread, f.beats
	f.unread, f.beats = nil, nil
	f.mu.Unlock()
	for _, m := range messages {
		f.apply(m)
	}
	if beacon == nil {
		return
	}
	f.Beacon(*beacon, f.a.o.Name)
	f.hear(beacon.Epoch, beacon.Durable)
}

// hear lets go of the evidence that nobody needs any more, and has that said again which a new writer may not have.
func (f *feed) hear(epoch, durable events.Seq) {
	done, before, lease := f.flights.hear(epoch, durable)
	if done > before {
		f.Settled(f.a.journal.durable(done))
	}
	if epoch != lease {
		f.a.journal.again()
	}
}

// apply hands changed rows to their workers.
func (f *feed) apply(m projections.FeedMessage) {
	if !f.Take(m) {
		return
	}
	for _, row := range m.Pods { // copies: a row kept must not keep all that came with it
		w, _ := f.a.worker(row.UID, true)
		w.want(&row)
	}
	for _, ref := range m.Gone {
		if w, ok := f.a.worker(ref.UID, false); ok {
			w.want(nil)
		}
	}
	f.a.erase(m.Erase)
}

// fetch reads the whole set: what is not in it shall not be here.
func (f *feed) fetch(ctx context.Context) error {
	var set projections.DesiredSet
	request := wire.DesiredRequest{Node: f.a.o.Name}
	if err := f.a.ask(ctx, wire.VerbDesired, request, &set); err != nil {
		return err
	}
	if set.Node != f.a.o.Name {
		return fmt.Errorf("read desired set: it is for node %q", set.Node)
	}
	if f.Behind(set, time.Now()) {
		return fmt.Errorf("read desired set: it stands at %d, and this node knows what came after", set.Position.Seq())
	}
	f.mu.Lock()
	err := f.shelf.Unpack(set.Pods, set.Bodies)
	f.mu.Unlock()
	if err != nil {
		return fmt.Errorf("read desired set: %w", err)
	}
	f.a.settings(set.DNS, set.Domain)
	listed := map[events.UID]bool{}
	for _, row := range set.Pods {
		listed[row.UID] = true
		w, _ := f.a.worker(row.UID, true)
		w.want(&row)
	}
	f.a.each(func(w *worker) {
		if !listed[w.uid] {
			w.want(nil)
		}
	})
	f.a.erase(set.Erase)
	f.a.heard()
	f.Whole(set)
	f.hear(set.Epoch, 0)
	return nil
}

// ask sends one request to the control plane.
func (a *Agent) ask(ctx context.Context, verb string, request, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	b, err := a.o.Wires.Request(ctx, wire.Subject(a.o.User, verb), events.MustBody(request))
	if err != nil {
		return fmt.Errorf("ask for %s: %w", verb, err)
	}
	if err := json.Unmarshal(b, reply); err != nil {
		return fmt.Errorf("read %s: %w", verb, err)
	}
	return nil
}

func (a *Agent) settings(dns, domain string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if dns != "" {
		a.node.DNS = dns
	}
	if domain != "" {
		a.node.Domain = domain
	}
}

// heard: what the node knows is no longer of before this agent began, and who waited for that may begin.
func (a *Agent) heard() {
	a.mu.Lock()
	first := a.node.Unheard
	a.node.Unheard = false
	a.mu.Unlock()
	if first {
		a.each((*worker).look)
	}
}
