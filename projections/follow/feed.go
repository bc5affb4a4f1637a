package follow

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// The headers that the live feed adds to an envelope's own.
const (
	HeaderSequence = "Stave-Sequence" // of the event
	HeaderPosition = "Stave-Position" // of the object's row
	HeaderPrev     = "Stave-Prev"     // of the message before it on this subject; 0 for the first
	HeaderChange   = "Stave-Change"   // ADDED, MODIFIED, DELETED
)

// maxBehind is how many events the feed may be behind. It then leaves out what
// it has not told and lets everybody see a gap.
const maxBehind = 1 << 14

// beaconEvery is how soon a lost last message shows.
const beaconEvery = time.Second

// Feed publishes the durable fold on the wires: each changed object for people
// and programs that tap, each node's changed rows, the changed services, and
// the beacon.
type Feed struct {
	Wires  bus.Wires
	Source *Follower
	Holds  func() bool // whether this process holds the lease: only its feed is the feed
	Logger *slog.Logger

	mu    sync.Mutex
	queue []tick
	spare []tick // room for as many again, empty
	some  chan struct{}
	lost  bool // the queue overflowed: some ticks are missing

	changes []projections.Change // room for those of a flush

	before projections.State              // the view before the queue's first tick
	base   events.Position                // the least that every node feed is taken to stand at
	last   map[string]events.Position     // node → position of the last message to it
	turn   string                         // the node with which the next beacon begins
	net    events.Position                // of the last message on the network feed
	shown  map[events.Key]events.Position // derived objects: the last position told
}

// Run publishes until ctx ends. It is called once.
func (f *Feed) Run(ctx context.Context) error {
	f.some = make(chan struct{}, 1)
	f.last = map[string]events.Position{}
	f.shown = map[events.Key]events.Position{}
	stop := f.Source.OnDurable(f.put)
	defer stop()
	f.restart(f.Source.Durable())
	beat := time.NewTicker(beaconEvery)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.Source.Done():
			return fmt.Errorf("feed: %w", ErrStopped)
		case <-beat.C:
			f.beacon()
		case <-f.some:
			f.flush()
		}
	}
}

// restart begins anew at a view: whoever has less sees a gap.
func (f *Feed) restart(v projections.State) {
	f.before, f.base, f.net = v, v.End(), v.End()
	clear(f.last)
}

func (f *Feed) put(v projections.State, e events.Envelope, changes []projections.Change) {
	f.mu.Lock()
	if len(f.queue) >= maxBehind {
		f.queue, f.lost = nil, true
	}
	f.queue = append(f.queue, tick{v, e, changes})
	f.mu.Unlock()
	select {
	case f.some <- struct{}{}:
	default:
	}
}

func (f *Feed) take() ([]tick, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, lost := f.queue, f.lost
	f.queue, f.spare, f.lost = f.spare, nil, false
	return q, lost
}

// maxSpare is how much room is kept for the next ticks.
const maxSpare = 4096

// told gives back what take gave: a tick is a kilobyte, and its view keeps rows that are gone.
func (f *Feed) told(ticks []tick) {
	clear(ticks)
	f.mu.Lock()
	defer f.mu.Unlock()
	if cap(ticks) <= maxSpare {
		f.spare = ticks[:0]
	}
}

// flush tells what was folded since the last flush. Objects are told of change
// by change, rows once: only their newest state counts.
func (f *Feed) flush() {
	ticks, lost := f.take()
	if len(ticks) == 0 {
		return
	}
	defer f.told(ticks)
	newest := ticks[len(ticks)-1].view
	if lost || !f.Holds() {
		f.restart(newest)
		return
	}
	// What was in the view that the feed began with is told by no feed.
	ticks = slices.DeleteFunc(ticks, func(t tick) bool { return t.event.Seq <= f.before.Seq })
	all := f.changes[:0]
	defer func() {
		clear(all)
		if f.changes = all[:0]; cap(all) > maxSpare {
			f.changes = nil
		}
	}()
	for _, t := range ticks {
		all = append(all, t.changes...)
	}
	f.nodes(newest, all) // first: there is work to be done
	f.network(newest, ticks, all)
	for _, t := range ticks {
		for _, c := range t.changes {
			f.object(t, c)
		}
		f.before = t.view
	}
}

// heard tells whether anybody would hear of an object. Few tap the feed, and to encode an object costs more than to fold
// the event that changed it.
func (f *Feed) heard(subject string) bool {
	a, ok := f.Wires.(bus.Audience)
	return !ok || a.Listens(subject)
}

// object tells of one object's change.
func (f *Feed) object(t tick, c projections.Change) {
	if !f.heard(string(events.LiveSubject(c.Key))) {
		return
	}
	how, view, prev := "MODIFIED", t.view, events.Position(0)
	if c.Before == nil {
		how = "ADDED"
	} else {
		prev = c.Before.Position
	}
	if c.After == nil {
		how, view = "DELETED", f.before
	}
	v, ok := view.Object(c.Key, t.view.Time)
	if !ok {
		return // made and removed within what was folded at once
	}
	f.live(c.Key, t, c.Position, prev, how, v)
}

func (f *Feed) live(k events.Key, t tick, at, prev events.Position, how string, v events.Object) {
	raw, err := json.Marshal(v)
	if err != nil {
		f.Logger.Error("encode object for the feed", "key", k.String(), "err", err)
		return
	}
	h := map[string]string{}
	for _, line := range t.event.Headers() {
		h[line.Name] = line.Value
	}
	h[HeaderSequence] = fmt.Sprint(t.event.Seq)
	h[HeaderPosition], h[HeaderPrev], h[HeaderChange] = at.String(), prev.String(), how
	h["Stave-Epoch"] = fmt.Sprint(t.view.Epoch)
	f.publish(string(events.LiveSubject(k)), h, raw)
}

// nodes tells each node of its changed rows.
func (f *Feed) nodes(v projections.State, changes []projections.Change) {
	for _, r := range projections.NodeChanges(v, changes) {
		m := projections.FeedMessage{Position: v.End(), Prev: f.at(r.Node), Epoch: v.Epoch}
		if len(r.Pods) > 0 {
			m.Pods = make([]projections.DesiredPod, 0, len(r.Pods)) // a row is large: no room is made for it twice
		}
		for _, k := range r.Pods {
			if p, ok := v.PodOf(k); !ok || p.Node != r.Node {
				continue
			}
			if d, ok := projections.DesiredRow(v, k); ok {
				m.Pods = append(m.Pods, d)
			}
		}
		for _, ref := range r.Gone {
			if p, ok := v.PodOf(ref.Key); !ok || p.Node != r.Node || p.UID != ref.UID {
				m.Gone = append(m.Gone, ref)
			}
		}
		m.Erase = r.Erase
		if len(m.Pods)+len(m.Gone)+len(m.Erase) == 0 {
			continue
		}
		f.last[r.Node] = m.Position
		m.Pack(v)
		f.publish(string(events.NodeFeedSubject(r.Node)), nil, events.MustBody(m))
	}
}

// at is the position of the last message on a node's feed.
func (f *Feed) at(node string) events.Position { return max(f.base, f.last[node]) }

// moved is the last change of a service or a node within a flush.
type moved struct {
	tick tick
	at   events.Position
}

// policies stands for all NetworkPolicies that changed within a flush: one message tells of them.
var policies = events.Key{Resource: events.NetworkPolicies, Name: "changed"}

// network tells every node of the changed services, nodes and policies, in messages in the order of their positions.
func (f *Feed) network(v projections.State, ticks []tick, all []projections.Change) {
	last := map[events.Key]moved{}
	changed, dropped := projections.PolicyChanges(v, all)
	for _, t := range ticks {
		for _, c := range t.changes {
			switch c.Key.Resource {
			case events.Services, events.Nodes:
				last[c.Key] = moved{t, c.Position}
			case events.NetworkPolicies, events.Pods, events.Namespaces:
				if len(changed)+len(dropped) > 0 {
					last[policies] = moved{t, c.Position}
				}
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(last), func(a, b events.Key) int { return cmp.Compare(last[a].at, last[b].at) })
	for _, k := range keys {
		if k.Resource == events.Services {
			f.endpoints(v, k, last[k])
		}
		m := projections.FeedMessage{Position: last[k].at, Prev: f.net, Epoch: v.Epoch}
		f.net = m.Position
		if !f.heard(string(events.NetFeedSubject(k))) {
			continue // who comes reads the whole first
		}
		if k == policies {
			m.Policies, m.Dropped = policyRows(v, changed), dropped
		} else if row, ok := projections.NetRow(v, k); ok {
			m.Services = []projections.NetService{row}
		} else if row, ok := projections.NetNodeRow(v, k); ok {
			m.Nodes = []projections.NetNode{row}
		} else {
			m.Dropped = []events.Key{k}
		}
		f.publish(string(events.NetFeedSubject(k)), nil, events.MustBody(m))
	}
}

func policyRows(v projections.State, keys []events.Key) []projections.NetPolicy {
	var out []projections.NetPolicy
	for _, k := range keys {
		if row, ok := projections.PolicyRow(v, k); ok {
			out = append(out, row)
		}
	}
	return out
}

// endpoints tells people who tap of what is derived from a service; once a
// flush, because it is as large as the service.
func (f *Feed) endpoints(v projections.State, k events.Key, m moved) {
	k.Resource = events.Endpoints
	if !v.Follows(k) {
		delete(f.shown, k)
		return
	}
	prev, how := f.shown[k], "MODIFIED"
	if prev == 0 {
		how = "ADDED"
	}
	f.shown[k] = m.at
	if !f.heard(string(events.LiveSubject(k))) {
		return
	}
	o, ok := v.Object(k, m.tick.view.Time)
	if !ok {
		delete(f.shown, k)
		return
	}
	f.live(k, m.tick, m.at, prev, how, o)
}

// beacon says where everything stands.
func (f *Feed) beacon() {
	v := f.Source.Durable()
	f.mu.Lock()
	behind := len(f.queue) > 0
	f.mu.Unlock()
	if !f.Holds() || behind {
		return // what it would say is not what was told
	}
	b := projections.Beacon{Epoch: v.Epoch, Durable: v.Seq, Network: f.net, Nodes: map[string]events.Position{}}
	for _, n := range f.round(v) {
		b.Nodes[n] = f.at(n)
	}
	f.publish(projections.BeaconSubject, nil, events.MustBody(b))
}

// maxTold is of how many nodes one beacon says where they stand. Every node reads every beacon: one that spoke of all would
// cost the square of their number.
const maxTold = 64

// round are the nodes whose turn it is, by name.
func (f *Feed) round(v projections.State) []string {
	var all []string
	for o := range v.List(events.Nodes, "") {
		all = append(all, o.Key.Name)
	}
	if len(all) <= maxTold {
		return all
	}
	i, _ := slices.BinarySearch(all, f.turn)
	out := slices.Concat(all[i:], all[:i])
	f.turn = out[maxTold]
	return out[:maxTold]
}

func (f *Feed) publish(subject string, header map[string]string, body []byte) {
	if err := f.Wires.Publish(bus.Message{Subject: subject, Header: header, Body: body}); err != nil {
		f.Logger.Warn("publish on the feed", "subject", subject, "err", err) // a gap shows at the next message or beacon
	}
}
