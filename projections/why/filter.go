package why

import (
	"maps"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Filter picks the events of a log that concern an object: its own, those of
// its owners and of what it controls. It learns children as it goes, so it has
// to see the events in order. Begin reading at From.
type Filter struct {
	From events.Seq

	subject events.Key
	up      map[events.Key]bool // the object's owners: their events matter, their other children do not
	down    map[events.Key]bool // the object and what it controls
}

// For is the filter of an object as the state knows it. An object that is gone
// is looked for from the log's start.
func For(s projections.State, k events.Key) *Filter {
	f := &Filter{subject: k, up: map[events.Key]bool{}, down: map[events.Key]bool{k: true}}
	o, ok := s.Get(k)
	if !ok {
		return f
	}
	f.From = o.Created.Seq
	for _, w := range owners(s, o) {
		f.up[w.Key] = true
		f.From = min(f.From, w.Created.Seq)
	}
	return f
}

// Above are the object's owners, whose own events concern it too.
func (f *Filter) Above() []events.Key {
	return slices.SortedFunc(maps.Keys(f.up), func(a, b events.Key) int { return strings.Compare(a.String(), b.String()) })
}

// owners are the objects above one, nearest first.
func owners(s projections.State, o *projections.Object) []*projections.Object {
	var out []*projections.Object
	for o != nil && o.Owner != nil && len(out) < maxChain {
		w, ok := s.Get(o.Owner.Key(o.Key))
		if !ok || w.UID != o.Owner.UID {
			break
		}
		out = append(out, w)
		o = w
	}
	return out
}

// Keep tells whether an event concerns the object.
func (f *Filter) Keep(e events.Envelope) bool {
	switch e.Subject.Class() {
	case "spec", "verdict", "status":
		k, err := e.Subject.Key()
		if err != nil {
			return false
		}
		f.learn(k, e)
		return f.up[k] || f.down[k]
	case "assign", "seen":
		if f.subject.Resource == events.Nodes {
			node, err := e.Subject.Tail()
			return err == nil && node == f.subject.Name
		}
		return slices.ContainsFunc(events.PodsIn(e), func(k events.Key) bool { return f.down[k] })
	}
	return false
}

// learn takes in a child of what the object controls.
func (f *Filter) learn(k events.Key, e events.Envelope) {
	if e.Type.Verb() != events.VerbCreated || f.down[k] {
		return
	}
	if b, err := events.Decode[events.Created](e); err == nil && b.Owner != nil && f.down[b.Owner.Key(k)] {
		f.down[k] = true
	}
}

func podKey(p events.PodSeen) events.Key {
	return events.Key{Resource: events.Pods, Namespace: p.Namespace, Name: p.Name}
}

// History keeps the events that say something of one object: its spec, its
// verdicts, its assignment, and what its node saw of it. Oldest first, as given.
func History(log []events.Envelope, k events.Key) []events.Envelope {
	var out []events.Envelope
	for _, e := range log {
		own, err := e.Subject.Key()
		switch {
		case err == nil && own == k && e.Subject.Class() != "live":
			out = append(out, e)
		case slices.Contains(events.PodsIn(e), k):
			out = append(out, e)
		}
	}
	return out
}
