package why

import (
	"bytes"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Origin is an object as it was at the log's horizon, and who had set each of
// its fields by then: what is kept of the events that were cut off.
type Origin struct {
	At     events.Seq      `json:"-"` // the horizon; the event there is counted in
	Key    events.Key      `json:"key"`
	UID    events.UID      `json:"uid"`
	Object json.RawMessage `json:"object"`
	By     []Setter        `json:"by"`               // oldest first
	Fields map[string]int  `json:"fields,omitempty"` // which of them set a field; the first where none is named
}

// blaming is where Blame goes on from; ok is false for an object that was not there.
func (o *Origin) blaming() (b Blaming, ok bool) {
	if o == nil || len(o.By) == 0 {
		return b, false
	}
	if b.tree, ok = treeOf(o.Object); !ok {
		return b, false
	}
	b.marks = map[string]Blamed{}
	leaves("", b.tree, func(path string, v any) {
		by := o.Fields[path]
		if by < 0 || by >= len(o.By) {
			by = 0 // of a file that this program has not written
		}
		b.marks[path] = Blamed{path, events.MustBody(v), o.By[by]}
	})
	return b, true
}

// origin keeps what is known of an object's fields.
func (b Blaming) origin(at events.Seq, k events.Key, uid events.UID) Origin {
	o := Origin{At: at, Key: k, UID: uid, Object: events.MustBody(b.tree), Fields: map[string]int{}}
	seen := map[events.Seq]int{}
	for _, path := range slices.Sorted(maps.Keys(b.marks)) {
		m := b.marks[path]
		if _, had := seen[m.Seq]; !had {
			seen[m.Seq] = 0
			o.By = append(o.By, m.Setter)
		}
	}
	slices.SortFunc(o.By, func(x, y Setter) int { return int(int64(x.Seq) - int64(y.Seq)) })
	for i, s := range o.By {
		seen[s.Seq] = i
	}
	for path, m := range b.marks { //stave:sorted each is entered under its own key
		if by := seen[m.Seq]; by != 0 {
			o.Fields[path] = by
		}
	}
	return o
}

// Origins gathers, while a stretch of the log goes by, who set the fields of
// what is there at its end.
type Origins struct {
	at  projections.State
	all map[events.Key]*gathered
}

// gathered is what is known of one object: an origin, and the events since.
type gathered struct {
	from *Origin
	log  []events.Envelope
}

// fewEvents is how many of an object's events are held before they are made an
// origin of: most objects have one or two.
const fewEvents = 8

// NewOrigins gathers for a state. before has the origins of the horizon where
// the stretch begins; nil when it begins with the log.
func NewOrigins(at projections.State, before iter.Seq[Origin]) *Origins {
	o := &Origins{at: at, all: map[events.Key]*gathered{}}
	if before == nil {
		return o
	}
	for b := range before {
		if row, ok := at.Get(b.Key); ok && row.UID == b.UID {
			o.all[b.Key] = &gathered{from: &b}
		}
	}
	return o
}

// Take notes the next event of the stretch.
func (o *Origins) Take(e events.Envelope) {
	k, err := e.Subject.Key()
	if err != nil || e.Subject.Class() != "spec" {
		return
	}
	row, ok := o.at.Get(k)
	if !ok || lifeOf(e) != row.UID {
		return
	}
	g := o.all[k]
	if g == nil {
		g = &gathered{}
		o.all[k] = g
	}
	g.log = append(g.log, alone(e))
	if len(g.log) >= fewEvents {
		o.settle(k, row.UID, g)
	}
}

// lifeOf is the uid of the life that a creation or a change is about, else empty.
func lifeOf(e events.Envelope) events.UID {
	var b struct {
		UID events.UID `json:"uid"`
	}
	if v := e.Type.Verb(); v != events.VerbCreated && v != events.VerbChanged {
		return ""
	}
	if body, err := events.Upcast(e.Type, e.Version, e.Body); err != nil || json.Unmarshal(body, &b) != nil {
		return ""
	}
	return b.UID
}

// alone is an event that shares no memory with the block that it was read from.
func alone(e events.Envelope) events.Envelope {
	return events.Envelope{Subject: events.Subject(strings.Clone(string(e.Subject))), Seq: e.Seq, Time: e.Time, Type: events.Type(strings.Clone(string(e.Type))),
		Version: e.Version, Actor: events.Actor(strings.Clone(string(e.Actor))), Message: strings.Clone(e.Message), Body: bytes.Clone(e.Body)}
}

// settle makes an origin of what was gathered of an object, some events at least.
func (o *Origins) settle(k events.Key, uid events.UID, g *gathered) {
	b, ok := Blame(o.at, g.from, g.log, k)
	if !ok || b.tree == nil {
		return
	}
	from := b.origin(g.log[len(g.log)-1].Seq, k, uid)
	g.from, g.log = &from, nil
}

// All are the origins at the stretch's end, by key.
func (o *Origins) All() iter.Seq[Origin] {
	keys := slices.SortedFunc(maps.Keys(o.all), func(a, b events.Key) int { return strings.Compare(a.String(), b.String()) })
	return func(yield func(Origin) bool) {
		for _, k := range keys {
			row, _ := o.at.Get(k)
			g := o.all[k]
			if len(g.log) > 0 {
				o.settle(k, row.UID, g)
			}
			if g.from == nil {
				continue
			}
			from := *g.from
			if from.At = o.at.Seq; !yield(from) {
				return
			}
		}
	}
}
