package run

import (
	"context"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// The bounds of wishes that are appended together.
const (
	// minTogether is from how many on it is faster: an append of several events costs as much as a dozen of one.
	minTogether = 16
	// maxTogether bounds how long reconcilers wait for people.
	maxTogether = 256
)

// gather takes who asks, without waiting, and tells whether anybody does.
func (l *Loop) gather() bool {
	for len(l.waiting) < maxTogether {
		select {
		case s := <-l.asked:
			l.waiting = append(l.waiting, s)
		default:
			return len(l.waiting) > 0
		}
	}
	return true
}

// let answers some of those who wait: as many as can be appended together, or the first of them. Its error ends the loop.
func (l *Loop) let(ctx context.Context) error {
	if l.apart == 0 && len(l.waiting) >= minTogether {
		if g := l.group(l.waiting); len(g.members) >= minTogether {
			return l.answer(ctx, g)
		}
	}
	l.apart = max(l.apart-1, 0)
	return l.admit(ctx, l.take(1)[0])
}

// take are the first n of those who wait, who wait no longer.
func (l *Loop) take(n int) []*submission {
	out := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return out
}

// group is a run of wishes of which each is decided on what the ones before it lead to, and that land together or not at all: so none
// stands on something that never happened.
type group struct {
	base    projections.State // what is in the log
	view    projections.State // and what the wishes so far add to it
	now     time.Time
	members []answered
	records []bus.Record
	written map[events.Subject]bool
	about   map[events.Key]bool
}

// answered is a wish of a group with what it is told, which waits until the group is in the log.
type answered struct {
	*submission
	submitted
	first, end int // its records of the group's
}

// group decides wishes until one has to wait for those before it.
func (l *Loop) group(waiting []*submission) *group {
	v, now := l.seen()
	g := &group{base: v, view: v, now: now, written: map[events.Subject]bool{}, about: map[events.Key]bool{}}
	for _, s := range waiting {
		if !l.join(g, s) {
			break
		}
	}
	return g
}

// join decides one more wish, or tells that it cannot be decided before those of the group are in the log: its answer speaks of positions,
// and those of the group have none yet.
func (l *Loop) join(g *group, s *submission) bool {
	op := l.RequestOp(s.Request, 0)
	if _, again := g.view.Landed(op); !s.Together || again || s.Key.Name != "" && g.about[s.Key] {
		return false
	}
	m := answered{submission: s, first: len(g.records), end: len(g.records)}
	if m.err = s.ctx.Err(); m.err == nil {
		records, ok := l.draft(g, &m)
		if !ok {
			return false
		}
		g.add(records)
		m.end = len(g.records)
	}
	g.about[s.Key] = true
	g.members = append(g.members, m)
	return true
}

// draft is what a wish of a group leads to; false when that depends on another wish of the group.
func (l *Loop) draft(g *group, m *answered) ([]bus.Record, bool) {
	drafts, err := m.Decide(g.view, g.now)
	if err == nil {
		err = l.room(m.Actor, drafts)
	}
	if m.err = err; err != nil || len(drafts) == 0 {
		return nil, true
	}
	records, err := l.step.Records(g.base, m.Request, drafts, g.now)
	if m.err = err; err != nil {
		return nil, true
	}
	return records, g.takes(records, l.step.batch)
}

// takes tells whether records can be appended with those of the group.
func (g *group) takes(records []bus.Record, most int) bool {
	for _, r := range records {
		if e := r.Envelope; g.written[e.Subject] || e.Cause > g.base.Seq {
			return false
		}
	}
	return len(g.records)+len(records) <= most
}

func (g *group) add(records []bus.Record) {
	for _, r := range records {
		e := r.Envelope
		e.Seq, e.Time = g.view.Seq+1, g.now
		g.view, _ = projections.Apply(g.view, e)
		g.written[e.Subject] = true
	}
	g.records = append(g.records, records...)
}

// answer appends a group and answers its wishes. When it does not land as a whole they are decided anew, one by one: each finds out then
// whether it is to blame, and after a lost acknowledgement whether it has landed.
func (l *Loop) answer(ctx context.Context, g *group) error {
	var all []events.Envelope
	if len(g.records) > 0 {
		first, err := l.Log.Append(ctx, g.records)
		out, again, stop := l.settle(ctx, g.records, first, err)
		if stop != nil {
			return stop
		}
		if out.err != nil || again {
			l.apart = len(g.members)
			return nil
		}
		all = out.events
	}
	for i, s := range l.take(len(g.members)) {
		m := g.members[i]
		m.events = all[m.first:m.end]
		s.reply <- m.submitted
	}
	return nil
}
