package run

import (
	"fmt"
	"strconv"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
)

func (s *Step) decide(v reconcilers.View, it *item, now time.Time) Work {
	m := s.all[it.id.member]
	w := Work{Reconciler: m.Name() + "/" + strconv.Itoa(m.Version()), Key: it.id.key, item: it, now: now}
	w.Decision = m.Decide(v, it.id.key, now)
	if s.grants {
		w.Decision = w.Decision.Granted()
	}
	if w.Refused = m.check(w.Decision); w.Refused != nil {
		return w
	}
	w.Records, w.Refused = writing{
		cluster: s.cluster, basis: strconv.FormatUint(uint64(v.Seq), 10), key: it.id.key,
		head: events.Envelope{Version: 1, Actor: events.Controller(m.Name()), Cause: it.cause, Basis: v.Seq,
			Epoch: s.epoch, Now: now, Reconciler: w.Reconciler},
	}.records(v, w.Decision.Events)
	w.families = append(families(v, w.Records), parents(v, w.Decision.Events)...)
	return w
}

// check holds a decision to what its reconciler declared.
func (m member) check(d reconcilers.Decision) error {
	if len(d.Events) > m.steps {
		return fmt.Errorf("decide %s: %d events, at most %d", m.Name(), len(d.Events), m.steps)
	}
	for _, e := range d.Events {
		if !m.writes[e.Type] && !m.writesCustom(e.Type) {
			return fmt.Errorf("decide %s: %s is not among what it writes", m.Name(), e.Type)
		}
	}
	return nil
}

// writesCustom tells whether the reconciler declared that it does this to objects
// of definitions.
func (m member) writesCustom(t events.Type) bool {
	_, ours := events.KindOf(t.Resource())
	return !ours && m.writes[events.TypeOf(events.CustomResources, t.Verb())]
}

// writing makes records of drafts: what they have in common.
type writing struct {
	cluster string
	basis   string // in the operation ids: a sequence, or a request's id
	key     events.Key
	head    events.Envelope
}

func (w writing) records(v reconcilers.View, drafts []reconcilers.Draft) ([]bus.Record, error) {
	out := make([]bus.Record, 0, len(drafts))
	once := make(map[events.Subject]bool, len(drafts))
	for i, d := range drafts {
		e := w.head
		e.Subject, e.Type, e.Body = d.Subject, d.Type, d.Body
		e.Op = events.NewOpID(w.cluster, e.Actor, w.basis, w.key, i)
		if d.Cause != 0 {
			e.Cause = d.Cause
		}
		if d.Child != nil {
			b := d.Child.Body
			b.UID = events.NewUID(e.Op)
			e.Body = events.MustBody(b)
		}
		r := bus.Record{Envelope: e}
		if d.Subject.Class() == "spec" {
			k, err := d.Subject.Key()
			if err != nil {
				return nil, fmt.Errorf("expect last sequence: %w", err)
			}
			if once[d.Subject] {
				return nil, fmt.Errorf("write %s: twice in one batch", k)
			}
			once[d.Subject] = true
			r = bus.Expecting(e, v.LastSpec(k))
		}
		out = append(out, r)
	}
	return out, nil
}
