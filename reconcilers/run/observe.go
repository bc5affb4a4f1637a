package run

import (
	"cmp"
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// The times by which a node's silence is judged, as Kubernetes has them.
const (
	// NodeGrace is how long a node may be silent while somebody listened.
	NodeGrace = 40 * time.Second
	// ObserveEvery is how often silence is counted.
	ObserveEvery = time.Second
	// maxHeard is the most that one count may add: a process that was stopped or
	// starved did not listen meanwhile.
	maxHeard = 2 * ObserveEvery
)

// Observer turns heartbeats into facts. It has no clock and no goroutine, but
// heartbeats may come from another one.
type Observer struct {
	grace  time.Duration // how long a node may be silent
	mu     sync.Mutex
	last   time.Time                // the last Tick
	silent map[string]time.Duration // node → how long nothing was heard while somebody listened
	beaten map[string]bool          // heard since the last Tick
}

// NewObserver makes an Observer that begins to listen at the first Tick. grace is how long a
// node may be silent; 0 means NodeGrace.
func NewObserver(grace time.Duration) *Observer {
	return &Observer{grace: cmp.Or(grace, NodeGrace), silent: map[string]time.Duration{}, beaten: map[string]bool{}}
}

// Beat notes a heartbeat.
func (o *Observer) Beat(node string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.beaten[node] = true
}

// heard tells whether a heartbeat of the node waits for the next Tick.
func (o *Observer) heard(node string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.beaten[node]
}

// awaited tells whether a heartbeat of this node would be news.
func awaited(v reconcilers.View, node string) bool {
	n, ok := v.Get(events.Key{Resource: events.Nodes, Name: node})
	row, told := v.Node(node)
	return ok && told && awaits(n, row)
}

// awaits tells whether a heartbeat makes a node ready: it has said what it has to give, without
// which nothing could be placed there, and it is not ready yet in this life of it.
func awaits(n *projections.Object, row *projections.Node) bool {
	return !row.Seen.IsZero() && (row.Report.UID != n.UID || !row.Report.Ready)
}

// Tick counts the time since the last Tick, and says which nodes' state has to
// be reported: those that fell silent and those that came back.
func (o *Observer) Tick(v reconcilers.View, now time.Time) []reconcilers.Draft {
	o.mu.Lock()
	defer o.mu.Unlock()
	var heard time.Duration
	if !o.last.IsZero() {
		heard = min(max(now.Sub(o.last), 0), maxHeard)
	}
	o.last = now
	var out []reconcilers.Draft
	known := map[string]time.Duration{}
	for n := range v.List(events.Nodes, "") {
		name := n.Key.Name
		row, ok := v.Node(name)
		if !ok {
			row = &projections.Node{}
		}
		beat := o.beaten[name]
		if !row.Seen.IsZero() { // else it counts when the node has said what it has
			delete(o.beaten, name)
		}
		if !beat {
			known[name] = o.silent[name] + heard
		}
		if d, ok := o.report(n, row, beat, known[name]); ok && len(out) < reconcilers.MaxSteps {
			out = append(out, d)
		}
	}
	o.silent = known // nodes that were removed are forgotten
	return out
}

func (o *Observer) report(n *projections.Object, row *projections.Node, beat bool, silent time.Duration) (reconcilers.Draft, bool) {
	said := row.Report.UID == n.UID // about this life of the node
	switch {
	case beat && awaits(n, row):
		return reconcilers.Report(n.Key, events.NodeReported{UID: n.UID, Ready: true,
			Reason: "KubeletReady", Said: "kubelet is posting ready status"}), true
	case silent >= o.grace && (!said || row.Report.Ready):
		return reconcilers.Report(n.Key, events.NodeReported{UID: n.UID, Ready: false,
			Reason: "NodeStatusUnknown", Said: "Kubelet stopped posting node status."}), true
	}
	return reconcilers.Draft{}, false
}

// Observe listens to heartbeats and reports through Submit until ctx ends. A
// node that comes up is reported at once, silence when it is counted.
func (l *Loop) Observe(ctx context.Context, wires bus.Wires) error {
	o, news := NewObserver(l.NodeGrace), make(chan struct{}, 1)
	hurry := func(v reconcilers.View, node string) {
		if awaited(v, node) {
			select {
			case news <- struct{}{}:
			default: // somebody else's news is not looked at yet
			}
		}
	}
	stop, err := wires.Subscribe(projections.HeartbeatSubjects, func(m bus.Message) {
		if node, err := events.Subject(m.Subject).Tail(); err == nil {
			o.Beat(node)
			hurry(l.Source.Ahead(), node)
		}
	})
	if err != nil {
		return fmt.Errorf("listen to heartbeats: %w", err)
	}
	defer stop()
	defer l.Source.OnAhead(func(v projections.State, _ events.Envelope, changes []projections.Change) {
		for _, c := range changes { // a node may be heard before it is admitted and before it says what it has
			if c.Key.Resource == events.Nodes && o.heard(c.Key.Name) {
				hurry(v, c.Key.Name)
			}
		}
	})()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		case <-l.Clock.After(ObserveEvery):
		}
		l.observed(ctx, o)
	}
}

// observed reports what an observer has to say.
func (l *Loop) observed(ctx context.Context, o *Observer) {
	now := l.Clock.Now()
	drafts := o.Tick(l.Source.Ahead(), now)
	if len(drafts) == 0 {
		return
	}
	r := Request{Actor: events.Controller("observer"), ID: l.Holder + "/" + now.UTC().Format(time.RFC3339Nano),
		Key:    events.Key{Resource: events.Nodes, Name: "*"}, // one report may be about many
		Decide: func(reconcilers.View, time.Time) ([]reconcilers.Draft, error) { return drafts, nil }}
	if _, err := l.Submit(ctx, r); err != nil {
		l.Logger.Warn("heartbeats not reported", "err", err) // the next tick says it again
	}
}

// Graph prints who reads and writes what, one line a reconciler, by name.
func Graph(rs []reconcilers.Reconciler) string {
	var lines []string
	for _, r := range rs {
		var reads, writes []string
		for _, x := range r.Reads() {
			reads = append(reads, string(x))
		}
		for _, x := range r.Writes() {
			writes = append(writes, string(x))
		}
		lines = append(lines, fmt.Sprintf("%s/%d: %s -> %s\n", r.Name(), r.Version(), strings.Join(reads, " "), strings.Join(writes, " ")))
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}
