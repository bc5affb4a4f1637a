package run

import (
	"context"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
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
		v, now := l.seen()
		if g := l.step.Together(v, now, l.wishes()); len(g.Answers) >= minTogether {
			return l.answer(ctx, g)
		}
	}
	l.apart = max(l.apart-1, 0)
	return l.admit(ctx, l.take(1)[0])
}

// wishes are what those who wait ask for. Who has left gets an error, and so does who wants what there is no room for.
func (l *Loop) wishes() []Request {
	out := make([]Request, len(l.waiting))
	for i, s := range l.waiting {
		out[i] = s.Request
		out[i].Decide = func(v reconcilers.View, now time.Time) ([]reconcilers.Draft, error) {
			if err := s.ctx.Err(); err != nil {
				return nil, err
			}
			drafts, err := s.Decide(v, now)
			if err != nil {
				return nil, err
			}
			return drafts, l.room(s.Actor, drafts)
		}
	}
	return out
}

// take are the first n of those who wait, who wait no longer.
func (l *Loop) take(n int) []*submission {
	out := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return out
}

// Group is a run of wishes of which each is decided on what the ones before it lead to, and that land together or not at all: so none
// stands on something that never happened.
type Group struct {
	Records []bus.Record // to be appended whole
	Answers []Answer     // one a wish, of the first of those that asked

	base    projections.State // what is in the log
	view    projections.State // and what the wishes so far add to it
	now     time.Time
	written map[events.Subject]bool
	about   map[events.Key]bool
}

// Answer is what a wish of a group is told, once the group is in the log.
type Answer struct {
	Err        error
	First, End int // its records of the group's; none of a wish that was refused or leads to nothing
}

// Together decides wishes in their order until one has to wait for those before it.
func (s *Step) Together(v projections.State, now time.Time, wishes []Request) *Group {
	g := &Group{base: v, view: v, now: now, written: map[events.Subject]bool{}, about: map[events.Key]bool{}}
	for _, r := range wishes {
		if !s.join(g, r) {
			break
		}
	}
	return g
}

// join decides one more wish, or tells that it cannot be decided before those of the group are in the log: its answer speaks of positions,
// and those of the group have none yet.
func (s *Step) join(g *Group, r Request) bool {
	op := events.NewOpID(s.cluster, r.Actor, r.ID, r.Key, 0)
	if _, again := g.view.Landed(op); !r.Together || again || r.Key.Name != "" && g.about[r.Key] {
		return false
	}
	records, err := s.draft(g, r)
	if !g.takes(records, s.batch) {
		return false
	}
	a := Answer{Err: err, First: len(g.Records)}
	g.add(records)
	a.End = len(g.Records)
	g.about[r.Key] = true
	g.Answers = append(g.Answers, a)
	return true
}

// draft is what a wish of a group leads to, which may be nothing.
func (s *Step) draft(g *Group, r Request) ([]bus.Record, error) {
	drafts, err := r.Decide(g.view, g.now)
	if err != nil || len(drafts) == 0 {
		return nil, err
	}
	return s.Records(g.base, r, drafts, g.now)
}

// takes tells whether records can be appended with those of the group.
func (g *Group) takes(records []bus.Record, most int) bool {
	for _, r := range records {
		if e := r.Envelope; g.written[e.Subject] || e.Cause > g.base.Seq {
			return false
		}
	}
	return len(g.Records)+len(records) <= most
}

func (g *Group) add(records []bus.Record) {
	for _, r := range records {
		e := r.Envelope
		e.Seq, e.Time = g.view.Seq+1, g.now
		g.view, _ = projections.Apply(g.view, e)
		g.written[e.Subject] = true
	}
	g.Records = append(g.Records, records...)
}

// answer appends a group and answers its wishes. When it does not land as a whole they are decided anew, one by one: each finds out then
// whether it is to blame, and after a lost acknowledgement whether it has landed.
func (l *Loop) answer(ctx context.Context, g *Group) error {
	var all []events.Envelope
	if len(g.Records) > 0 {
		first, err := l.Log.Append(ctx, g.Records)
		out, again, stop := l.settle(ctx, g.Records, first, err)
		if stop != nil {
			return stop
		}
		if out.err != nil || again {
			l.apart = len(g.Answers)
			return nil
		}
		all = out.events
	}
	for i, s := range l.take(len(g.Answers)) {
		a := g.Answers[i]
		s.reply <- submitted{events: all[a.First:a.End], err: a.Err}
	}
	return nil
}
