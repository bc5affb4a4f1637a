package why

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/table"
)

// Told is one row of what happened, and to which object.
type Told struct {
	Key events.Key
	Row table.EventRow
}

// Teller is EventsOf for every object at once: give it a log's events in order.
// It knows the owners of objects that were there before from a state.
type Teller struct {
	state    projections.State
	tellings map[events.Key]*telling
	order    []*telling
	owners   map[events.Key]events.Key
}

// NewTeller begins to tell.
func NewTeller(s projections.State) *Teller {
	return &Teller{state: s, tellings: map[events.Key]*telling{}, owners: map[events.Key]events.Key{}}
}

// Take takes in one event.
func (t *Teller) Take(e events.Envelope) {
	for _, k := range events.PodsIn(e) {
		t.of(k).event(e)
	}
	if node, err := e.Subject.Tail(); err == nil && e.Subject.Class() == "seen" {
		t.of(events.Key{Resource: events.Nodes, Name: node}).event(e)
	}
	k, err := e.Subject.Key()
	if err != nil {
		return
	}
	t.of(k).event(e)
	if owner, ok := t.owner(k, e); ok {
		of := t.of(owner)
		if _, known := of.replicas[k]; !known && k.Resource == events.ReplicaSets && e.Type.Verb() == events.VerbChanged {
			of.replicas[k] = sizeIn(e) // what it was before lies before the first event that was read
		}
		if _, known := of.jobs[k]; !known && owner.Resource == events.CronJobs && e.Subject.Class() == "status" {
			of.goesOn(k) // it was made before the first event that was read
		}
		of.event(e)
	}
}

func (t *Teller) of(k events.Key) *telling {
	of, ok := t.tellings[k]
	if !ok {
		of = &telling{key: k, at: map[string]int{}, replicas: map[events.Key]int{}}
		t.tellings[k], t.order = of, append(t.order, of)
	}
	return of
}

func sizeIn(e events.Envelope) int {
	b, _ := events.Decode[events.Changed](e) // one that cannot be read tells nothing anyway
	var o struct {
		Spec struct{ Replicas int } `json:"spec"`
	}
	_ = json.Unmarshal(b.Object, &o)
	return o.Spec.Replicas
}

// owner is whose an event's object is: the event says so, or an earlier one, or the state. What is told of an object's status
// concerns its owner for Jobs alone.
func (t *Teller) owner(k events.Key, e events.Envelope) (events.Key, bool) {
	if c := e.Subject.Class(); c != "spec" && (c != "status" || k.Resource != events.Jobs) {
		return events.Key{}, false
	}
	if b, err := events.Decode[events.Created](e); err == nil && b.Owner != nil {
		t.owners[k] = b.Owner.Key(k)
	}
	if owner, ok := t.owners[k]; ok {
		return owner, true
	}
	o, ok := t.state.Get(k)
	if !ok || o.Owner == nil {
		return events.Key{}, false
	}
	return o.Owner.Key(k), true
}

// Rows are what happened to the objects that keep wants, in the order of the log.
func (t *Teller) Rows(keep func(events.Key) bool) []Told {
	var out []Told
	for _, of := range t.order {
		if !keep(of.key) {
			continue
		}
		for _, r := range of.rows {
			out = append(out, Told{of.key, r})
		}
	}
	slices.SortFunc(out, func(a, b Told) int {
		return cmp.Or(cmp.Compare(a.Row.Seq, b.Row.Seq), cmp.Compare(a.Key.String(), b.Key.String()), cmp.Compare(a.Row.Place, b.Row.Place))
	})
	return out
}
