// Package recheck decides again what a log says was decided: with the
// reconcilers of this program, on the view and at the time that each decision
// had. What would be decided differently is what an upgrade to this program would
// change; on a log that this program wrote, nothing may be.
//
// An event names the sequence that was decided on, the time, the reconciler, and
// an operation id that only the right key gives again: so the log alone suffices.
package recheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

const (
	// kept is how many states are kept for decisions to be made on: between what
	// was seen and what was appended lie milliseconds.
	kept = 4096
	// span is within how many events all of one decision have come: it is one append.
	span = 1000
	// recent is how many keys that woke last are tried first for a decision.
	recent = 64
)

// Finding is one decision that would be another one.
type Finding struct {
	Seq        events.Seq   `json:"seq"`        // of its first event
	Reconciler string       `json:"reconciler"` // who decided, and in which version
	Key        events.Key   `json:"key"`
	Basis      events.Seq   `json:"basis"` // what it was decided on
	Now        time.Time    `json:"now"`
	Recorded   []string     `json:"recorded"` // its events, a line each
	Decides    []string     `json:"decides"`  // what would be decided instead
	Cause      events.Seq   `json:"cause,omitempty"`
	Actor      events.Actor `json:"actor"`
}

// Tally counts what was checked.
type Tally struct {
	Decisions int `json:"decisions"` // that were decided again
	Different int `json:"different"`
	// Unknown are decisions of reconcilers that this program does not have, or for
	// keys that nothing in the log read so far would have woken.
	Unknown int `json:"unknown"`
	// Cut are decisions of which a power cut took the end: who made them wrote
	// nothing more under that lease.
	Cut int `json:"cut"`
	// Old are decisions on a view from before the first event that was read, or
	// longer ago than states are kept.
	Old int `json:"old"`
}

// Check reads a log, event by event. It is not safe for concurrent use.
type Check struct {
	Tally
	cluster string
	by      map[string]*member
	order   []*member
	states  map[events.Seq]projections.State
	state   projections.State
	open    []*decision               // oldest first
	next    map[events.OpID]*decision // whose next event has this operation id
	found   func(Finding)
}

// member is one reconciler with the keys that it was woken for.
type member struct {
	reconcilers.Reconciler
	keys  map[events.Key]bool
	order []events.Key // as they first came
	last  []events.Key // the last ones that woke, newest last
}

// decision is one recorded decision whose events are being read.
type decision struct {
	Finding
	want []reconcilers.Draft
	have []events.Envelope
	over bool // its lease is; on: the writer wrote something else after it
	on   bool
}

// New begins to check from a state on: the empty one for a whole log. found is
// told of every decision that would be different.
func New(cluster string, from projections.State, rs []reconcilers.Reconciler, found func(Finding)) *Check {
	c := &Check{cluster: cluster, by: map[string]*member{}, states: map[events.Seq]projections.State{from.Seq: from}, state: from, next: map[events.OpID]*decision{}, found: found}
	for _, r := range rs {
		m := &member{Reconciler: r, keys: map[events.Key]bool{}}
		c.by[r.Name()], c.order = m, append(c.order, m)
	}
	for o := range from.All() {
		ch := projections.Change{Key: o.Key, After: o, Position: o.Position}
		ch.PodAfter, _ = from.PodOf(o.Key)
		c.wake([]projections.Change{ch})
	}
	return c
}

// Take reads the next event.
func (c *Check) Take(e events.Envelope) {
	if !c.continues(e) {
		c.begin(e)
	}
	for len(c.open) > 0 && c.open[0].Seq+span < e.Seq {
		c.close()
	}
	for _, d := range c.open {
		d.over = d.over || e.Type == events.LeaseTaken
		d.on = d.on || !d.over && e.Epoch == d.have[0].Epoch && e.Seq > d.have[len(d.have)-1].Seq
	}
	var changes []projections.Change
	c.state, changes = projections.Apply(c.state, e)
	c.states[e.Seq] = c.state
	if e.Seq > kept {
		delete(c.states, e.Seq-kept)
	}
	c.wake(changes)
}

// Close ends the decisions that are being read: the log is at its end.
func (c *Check) Close() {
	for len(c.open) > 0 {
		c.close()
	}
}

// close ends the oldest of them.
func (c *Check) close() {
	d := c.open[0]
	c.open = c.open[1:]
	delete(c.next, c.op(d.Actor, d.Basis, d.Key, len(d.have)))
	c.Decisions++
	agrees := c.agrees(d)
	switch {
	case agrees && len(d.have) == len(d.want):
		return
	case agrees && !d.on:
		c.Cut++
		return
	}
	for _, e := range d.have {
		d.Recorded = append(d.Recorded, line(e.Subject, e.Type, e.Body))
	}
	for i, w := range d.want {
		d.Decides = append(d.Decides, line(w.Subject, w.Type, drafted(w, c.op(d.Actor, d.Basis, d.Key, i))))
	}
	c.Different++
	c.found(d.Finding)
}

// agrees tells whether what is recorded is what is decided, as far as it goes.
func (c *Check) agrees(d *decision) bool {
	for i, e := range d.have {
		if i >= len(d.want) || !same(e, d.want[i], c.op(d.Actor, d.Basis, d.Key, i)) {
			return false
		}
	}
	return true
}

// continues tells whether an event is the next one of an open decision.
func (c *Check) continues(e events.Envelope) bool {
	d, ok := c.next[e.Op]
	if !ok {
		return false
	}
	delete(c.next, e.Op)
	d.have = append(d.have, e)
	c.next[c.op(d.Actor, d.Basis, d.Key, len(d.have))] = d
	return true
}

// begin opens a decision, if the event is one's first.
func (c *Check) begin(e events.Envelope) {
	name, _, _ := strings.Cut(e.Reconciler, "/")
	if e.Reconciler == "" {
		return
	}
	m, known := c.by[name]
	if !known {
		c.Unknown++
		return
	}
	v, there := c.states[e.Basis]
	if !there {
		c.Old++
		return
	}
	k, ok := c.keyOf(m, v, e)
	if !ok {
		c.Unknown++
		return
	}
	d := &decision{have: []events.Envelope{e}, want: m.Decide(v, k, e.Now).Events,
		Finding: Finding{Seq: e.Seq, Reconciler: e.Reconciler, Key: k, Basis: e.Basis, Now: e.Now, Cause: e.Cause, Actor: e.Actor}}
	c.open = append(c.open, d)
	c.next[c.op(e.Actor, e.Basis, k, 1)] = d
}

func (c *Check) op(actor events.Actor, basis events.Seq, k events.Key, ordinal int) events.OpID {
	return events.NewOpID(c.cluster, actor, fmt.Sprint(uint64(basis)), k, ordinal)
}

// keyOf is the key that gives the event's operation id: the likely ones first,
// then all that the reconciler was ever woken for.
func (c *Check) keyOf(m *member, v projections.State, e events.Envelope) (events.Key, bool) {
	fits := func(k events.Key) bool { return c.op(e.Actor, e.Basis, k, 0) == e.Op }
	for _, k := range likely(v, e) {
		if fits(k) {
			return k, true
		}
	}
	for i := len(m.last) - 1; i >= 0; i-- {
		if fits(m.last[i]) {
			return m.last[i], true
		}
	}
	for _, k := range m.order {
		if fits(k) {
			return k, true
		}
	}
	return events.Key{}, false
}

// maxOwners bounds how far owners are followed: people can write a circle of them.
const maxOwners = 16

// likely are the object that an event is about, its owners, its namespace, and
// its node.
func likely(v projections.State, e events.Envelope) []events.Key {
	k, err := e.Subject.Key()
	if err != nil {
		return nil
	}
	out := []events.Key{k}
	o, ok := v.Get(k)
	if b, err := events.Decode[events.Created](e); !ok && err == nil && b.Owner != nil {
		out = append(out, b.Owner.Key(k))
		o, ok = v.Get(b.Owner.Key(k))
	}
	for range maxOwners {
		if !ok || o.Owner == nil {
			break
		}
		out = append(out, o.OwnerKey())
		o, ok = v.Get(o.OwnerKey())
	}
	if p, ok := v.PodOf(k); ok && p.Node != "" {
		out = append(out, events.Key{Resource: events.Nodes, Name: p.Node})
	}
	return append(out, events.Key{Resource: events.Namespaces, Name: k.Namespace})
}

// wake notes the keys that changed rows wake.
func (c *Check) wake(changes []projections.Change) {
	for _, m := range c.order {
		for _, ch := range changes {
			for _, k := range m.Keys(c.state, ch) {
				m.woke(k)
			}
		}
	}
}

func (m *member) woke(k events.Key) {
	if !m.keys[k] {
		m.keys[k], m.order = true, append(m.order, k)
	}
	if n := len(m.last); n > 0 && m.last[n-1] == k {
		return
	}
	if m.last = append(m.last, k); len(m.last) > 2*recent {
		m.last = append(m.last[:0], m.last[recent:]...)
	}
}

// same tells whether an event is what a draft becomes.
func same(e events.Envelope, d reconcilers.Draft, op events.OpID) bool {
	return e.Subject == d.Subject && e.Type == d.Type && (d.Cause == 0 || d.Cause == e.Cause) && bytes.Equal(compact(e.Body), compact(drafted(d, op)))
}

// drafted is the body that a draft gets.
func drafted(d reconcilers.Draft, op events.OpID) json.RawMessage {
	if d.Child == nil {
		return d.Body
	}
	b := d.Child.Body
	b.UID = events.NewUID(op)
	return events.MustBody(b)
}

func compact(raw json.RawMessage) []byte {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return raw
	}
	return out.Bytes()
}

// told is how much of a body a line tells.
const told = 200

func line(s events.Subject, t events.Type, body json.RawMessage) string {
	text := string(compact(body))
	if len(text) > told {
		text = text[:told] + "…"
	}
	return fmt.Sprintf("%s %s %s", t, s, text)
}
