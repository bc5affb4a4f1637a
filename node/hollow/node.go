// Package hollow pretends nodes: they take what they are given and tell what real ones tell, by the same feed and the same
// door, and run nothing. What a control plane can do with a thousand nodes shows on one machine.
//
// The plan for a pod is node/plan's and the books are node/ledger's, as with the agent; machine pretends the rest without
// goroutine or clock, and Node drives it over the wires. A hollow node keeps nothing on disk: when its process ends it is
// like a machine that lost power and its disk, and its pods are started anew.
package hollow

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/ledger"
	"github.com/stave-run/stave/projections"
)

// Label is on every hollow node, with the value "true".
const Label = "stave.run/hollow"

// Options say which node is pretended, and how it speaks to the cluster.
type Options struct {
	Cluster string
	Name    string
	User    string // its user name on the wires
	Wires   bus.Wires
	Log     bus.Appender
	Facts   events.NodeFacts
	Labels  map[string]string
	Model   Model
	Logger  *slog.Logger
}

// The bounds of what a node does on the wires, as the agent's.
const (
	patience  = 15 * time.Second
	pause     = time.Second
	maxUnread = 4096
)

// Node is one pretended node.
type Node struct {
	o       Options
	journal string // its name, new with each life
	joined  chan struct{}

	mu      sync.Mutex
	m       *machine
	unread  [][]byte // messages of the feed
	beats   []byte   // the newest beacon, when not yet read
	lost    bool     // messages were dropped
	wake    chan struct{}
	tells   bool // what the machine tells is being appended
	telling sync.WaitGroup
	shelf   projections.Shelf
}

// New makes a node; Run lets it live.
func New(o Options) (*Node, error) {
	if err := o.Model.Check(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Logger = o.Logger.With("node", o.Name)
	return &Node{o: o, journal: rand.Text(), joined: make(chan struct{}), m: newMachine(o.Name, o.Model, o.Facts),
		wake: make(chan struct{}, 1)}, nil
}

// Joined is closed when the node has taken its place in the cluster.
func (n *Node) Joined() <-chan struct{} { return n.joined }

// Run is the node's life, until ctx ends. A cluster that refuses the node ends it at once.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer n.telling.Wait()
	defer cancel()
	if err := n.join(ctx); err != nil {
		return err
	}
	stop, err := n.follow(ctx)
	if err != nil {
		return err
	}
	defer stop()
	close(n.joined)
	n.live(ctx)
	return nil
}

// follow subscribes to what the node reads, as often as it takes.
func (n *Node) follow(ctx context.Context) (stop func(), err error) {
	for {
		feed, err := n.o.Wires.Subscribe(string(events.NodeFeedSubject(n.o.Name)), n.message)
		if err == nil {
			beacon, bad := n.o.Wires.Subscribe(projections.BeaconSubject, n.beacon)
			if bad == nil {
				return func() { feed(); beacon() }, nil
			}
			feed()
			err = bad
		}
		n.o.Logger.Debug("follow the feed", "error", err)
		if !sleep(ctx, pause) {
			return nil, ctx.Err()
		}
	}
}

// errRefused is a join that no other try mends.
var errRefused = errors.New("the cluster does not take the node")

// join takes the node's place in the cluster, as often as it takes.
func (n *Node) join(ctx context.Context) error {
	for {
		err := n.enter(ctx)
		if err == nil || errors.Is(err, errRefused) {
			return err
		}
		n.o.Logger.Debug("join", "error", err)
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

func (n *Node) enter(ctx context.Context) error {
	var place wire.JoinReply
	if err := n.ask(ctx, wire.VerbJoin, wire.JoinRequest{Node: n.o.Name, Facts: n.o.Facts, Labels: n.o.Labels}, &place); err != nil {
		return err
	}
	if e := place.Error; e != nil {
		switch e.Reason {
		case metav1.StatusReasonForbidden, metav1.StatusReasonConflict, metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest:
			return fmt.Errorf("join %s: %s: %w", n.o.Name, e.Message, errRefused)
		}
		return fmt.Errorf("join %s: %s", n.o.Name, e.Message)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.m.settle(place); err != nil {
		return fmt.Errorf("join %s: %w: %w", n.o.Name, err, errRefused)
	}
	facts := n.o.Facts
	facts.PodCIDR = place.PodCIDR
	n.m.tell(ledger.Piece{Node: &facts})
	return nil
}

// live follows the feed, lets time pass and beats, in one goroutine.
func (n *Node) live(ctx context.Context) {
	boot := rand.Text()
	beats := func() { n.beat(boot) }
	crewed(beats)
	beat := time.NewTicker(projections.HeartbeatEvery)
	defer beat.Stop()
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for ctx.Err() == nil {
		n.fetch(ctx)
		var at time.Time
		crewed(func() { at = n.turn(ctx) })
		alarm.Stop()
		if !at.IsZero() {
			alarm.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
		case <-n.wake:
		case <-alarm.C:
		case <-beat.C:
			crewed(beats)
		}
	}
}

// turn lets the machine do what is due, and tells when something will be again.
func (n *Node) turn(ctx context.Context) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.hear(now)
	n.m.due(now)
	if !n.tells && len(n.m.unsent()) > 0 {
		n.tells = true
		n.telling.Go(func() { n.send(ctx) })
	}
	if n.m.reads.Stale {
		return now.Add(pause)
	}
	return n.m.wakes.first()
}

// hear reads what has come.
func (n *Node) hear(now time.Time) {
	messages, beacon, lost := n.unread, n.beats, n.lost
	n.unread, n.beats, n.lost = nil, nil, false
	for _, raw := range messages {
		msg, err := projections.ReadFeed(raw)
		if err == nil {
			err = n.shelf.Unpack(msg.Pods, msg.Bodies)
		}
		if err != nil {
			n.o.Logger.Warn("feed message unread", "error", err)
			lost = true
			continue
		}
		n.m.take(msg, now)
	}
	if lost {
		n.m.take(projections.FeedMessage{Prev: ^events.Position(0)}, now) // a gap: the set is read again
	}
	if beacon == nil {
		return
	}
	b, err := projections.ReadBeacon(beacon, n.o.Name)
	if err != nil {
		n.o.Logger.Warn("beacon unread", "error", err)
		return
	}
	n.m.beacon(b, now)
}

// fetch reads the whole set where it has to be; what cannot be read now is read at the next turn.
func (n *Node) fetch(ctx context.Context) {
	n.mu.Lock()
	stale := n.m.reads.Stale
	n.mu.Unlock()
	if !stale {
		return
	}
	var set projections.DesiredSet
	err := n.ask(ctx, wire.VerbDesired, wire.DesiredRequest{Node: n.o.Name}, &set)
	if err != nil || set.Node != n.o.Name {
		n.o.Logger.Debug("fetch desired set", "error", err, "for", set.Node)
		return
	}
	crewed(func() { n.read(set) })
}

// read takes the whole set.
func (n *Node) read(set projections.DesiredSet) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.shelf.Unpack(set.Pods, set.Bodies); err != nil {
		n.o.Logger.Warn("desired set unread", "error", err)
		return
	}
	if now := time.Now(); !n.m.reads.Behind(set, now) {
		n.m.whole(set, now)
	}
}

func (n *Node) beat(boot string) {
	err := n.o.Wires.Publish(bus.Message{Subject: projections.HeartbeatSubject(n.o.Name), Body: events.MustBody(projections.Heartbeat{Node: n.o.Name, Boot: boot})})
	if err != nil {
		n.o.Logger.Debug("heartbeat", "error", err)
	}
}

// message and beacon only keep what comes: it is read in the node's turn.
func (n *Node) message(m bus.Message) {
	n.mu.Lock()
	if len(n.unread) >= maxUnread {
		n.o.Logger.Warn("feed messages dropped", "messages", len(n.unread))
		n.unread, n.lost = nil, true
	} else {
		n.unread = append(n.unread, m.Body)
	}
	n.mu.Unlock()
	ring(n.wake)
}

func (n *Node) beacon(m bus.Message) {
	n.mu.Lock()
	n.beats = m.Body
	n.mu.Unlock()
	ring(n.wake)
}

// send appends what the machine tells until there is no more: at once what there is, and together what gathers meanwhile.
func (n *Node) send(ctx context.Context) {
	for n.flush(ctx) {
	}
}

// flush appends one event, again and again until it landed. It tells whether there may be more.
func (n *Node) flush(ctx context.Context) bool {
	n.mu.Lock()
	pieces, epoch := n.m.unsent(), n.m.flies.Epoch
	if len(pieces) == 0 {
		n.tells = false // the next turn that finds some begins anew
		n.mu.Unlock()
		return false
	}
	last := pieces[len(pieces)-1].Num
	e := ledger.Teller{Cluster: n.o.Cluster, Node: n.o.Name, Journal: n.journal}.Event(pieces, time.Now())
	n.mu.Unlock()
	for {
		seq, err := n.o.Log.Append(ctx, []bus.Record{{Envelope: e}})
		if err == nil {
			n.mu.Lock()
			n.m.flies.Landed(last, seq, epoch) // if not, a new lease came meanwhile, and all is said again
			n.mu.Unlock()
			return true
		}
		n.o.Logger.Debug("append facts", "error", err)
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// ask sends one request to the control plane.
func (n *Node) ask(ctx context.Context, verb string, request, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b, err := n.o.Wires.Request(ctx, wire.Subject(n.o.User, verb), events.MustBody(request))
	if err != nil {
		return fmt.Errorf("ask for %s: %w", verb, err)
	}
	if err := json.Unmarshal(b, reply); err != nil {
		return fmt.Errorf("read %s: %w", verb, err)
	}
	return nil
}

// ring wakes whoever waits on a bell that holds one token.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// sleep waits for a while, and tells whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
