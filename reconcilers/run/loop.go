package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Source is where the loop sees the log folded; projections/follow is one.
type Source interface {
	// Ahead is the newest snapshot. It may hold events that a power cut takes back.
	Ahead() projections.State
	// WaitAhead returns when the ahead snapshot has folded seq.
	WaitAhead(ctx context.Context, seq events.Seq) error
	// OnAhead calls f for every event that is folded into the ahead snapshot from
	// now on, in order and from one goroutine; f must not block. v is the
	// snapshot after the event. f has been called for an event before WaitAhead
	// returns for it.
	OnAhead(f func(v projections.State, e events.Envelope, changes []projections.Change)) (stop func())
}

// Clock is the time that the loop lives in.
type Clock interface {
	Now() time.Time
	// After sends once when d has passed.
	After(d time.Duration) <-chan time.Time
}

// Wall is the machine's clock.
type Wall struct{}

// Now implements Clock.
func (Wall) Now() time.Time { return time.Now() }

// After implements Clock.
func (Wall) After(d time.Duration) <-chan time.Time { return time.After(d) }

// ErrLeaseLost says that another process decides from here on.
var ErrLeaseLost = errors.New("lease lost")

// The bounds of one turn of the loop.
const (
	// maxPass is the most records that one turn appends; a person's request waits
	// no longer than that.
	maxPass = bus.MaxBatch
	// maxAsked is the most decisions that one turn makes, also when nothing
	// follows from them.
	maxAsked = 256
	// maxBrief is how many turns in a row leave out the keys that were cut short, while others wait: what one pod needs, from its wish
	// to its node, then does not wait for a part of a large rollout each time.
	maxBrief = 3
)

// Config is what a Loop needs.
type Config struct {
	Cluster     string // name, part of every operation id
	Holder      string // this process: host name, pid and start
	Log         bus.Appender
	Source      Source
	Clock       Clock
	Reconcilers []reconcilers.Reconciler
	Logger      *slog.Logger
	// Wished takes what a reconciler wishes for of whom others are asked first (reconcilers.Wish), with each of its
	// decisions about a key; it must not block. Answers come back through Submit. nil: nobody can be asked, so all is made at once.
	Wished func(by reconcilers.Reconciler, of events.Key, wishes []reconcilers.Wish)
	// Room says why the log takes no more of people's requests; nil takes all.
	Room      func() error
	NodeGrace time.Duration // how long a node may be silent; 0 means the constant of that name
}

// Loop decides for a cluster while it holds the lease.
type Loop struct {
	Config
	step    *Step
	inbox   inbox
	asked   chan *submission
	waiting []*submission // taken from asked, the first first
	apart   int           // so many of those are decided one by one
	closed  chan struct{} // closed when Run has returned
	time    Course        // the cluster's time
	brief   int           // turns in a row that left out the keys that were cut short
	resume  time.Time     // when to go on with a wish that had to wait; zero: there is none
}

// NewLoop makes a Loop; Run starts it.
func NewLoop(c Config) (*Loop, error) {
	step, err := NewStep(c.Cluster, c.Reconcilers...)
	if err != nil {
		return nil, err
	}
	step.Grant(c.Wished == nil)
	return &Loop{Config: c, step: step, inbox: newInbox(), asked: make(chan *submission), closed: make(chan struct{})}, nil
}

// Run takes the lease and decides until ctx ends or the lease is lost
// (ErrLeaseLost). It is called once.
func (l *Loop) Run(ctx context.Context) error {
	defer close(l.closed)
	stop := l.Source.OnAhead(l.inbox.put)
	defer stop()
	if err := l.start(ctx); err != nil {
		return err
	}
	for {
		if err := l.drain(); err != nil {
			return err
		}
		busy, err := l.turn(ctx)
		if err != nil {
			return err
		}
		if busy {
			continue
		}
		if err := l.wait(ctx); err != nil {
			return err
		}
	}
}

func (l *Loop) start(ctx context.Context) error {
	if err := l.takeLease(ctx); err != nil {
		return err
	}
	if _, err := l.finish(ctx); err != nil {
		return err
	}
	v := l.Source.Ahead()
	l.inbox.after = v.Seq // what came before is in the view
	l.step.Prime(v)
	return nil
}

// drain hands the folded events to the step.
func (l *Loop) drain() error {
	items := l.inbox.take()
	defer l.inbox.read(items)
	for _, f := range items {
		if f.e.Seq <= l.inbox.after {
			continue
		}
		if f.e.Type == events.LeaseTaken && f.e.Seq > l.step.Epoch() {
			return fmt.Errorf("lease taken at %d by %s: %w", f.e.Seq, f.v.Holder, ErrLeaseLost)
		}
		l.step.Changed(f.v, f.e, f.changes)
	}
	return nil
}

// turn settles doubt, lets people in, and appends one pass of decisions.
func (l *Loop) turn(ctx context.Context) (busy bool, err error) {
	if l.step.Doubtful() {
		return true, l.takeLease(ctx)
	}
	if err := l.goOn(ctx); err != nil {
		return false, err
	}
	if l.gather() {
		busy = true
		if err := l.let(ctx); err != nil {
			return busy, err
		}
	}
	decided, err := l.pass(ctx)
	return busy || decided, err
}

// pass decides on one view until the batch is full, and appends it.
func (l *Loop) pass(ctx context.Context) (bool, error) {
	v, now := l.Source.Ahead(), l.Now()
	var t turned
	if l.step.Mixed() && l.brief < maxBrief {
		l.decide(&t, func() (Work, bool) { return l.step.NextBrief(v, now) })
	}
	if l.brief++; t.records == 0 {
		l.brief = 0
		l.decide(&t, func() (Work, bool) { return l.step.Next(v, now) })
	}
	if len(t.works) == 0 {
		return t.asked > 0, nil
	}
	last, err := l.store(ctx, t.works, t.records)
	if err != nil {
		return false, err
	}
	return true, l.folded(ctx, last)
}

// turned is what one turn came to.
type turned struct {
	works          []Work
	records, asked int
}

// decide asks for decisions until there are none, or enough.
func (l *Loop) decide(t *turned, next func() (Work, bool)) {
	for t.asked < maxAsked && t.records+l.step.widest <= maxPass {
		w, ok := next()
		if !ok {
			return
		}
		t.asked++
		if w.Refused != nil {
			l.Logger.Error("decision refused", "key", w.Key.String(), "by", w.Reconciler, "err", w.Refused)
		}
		if len(w.Decision.Wishes) > 0 {
			l.Wished(l.step.By(w), w.Key, w.Decision.Wishes)
		}
		if len(w.Records) == 0 {
			l.step.Done(w, 0, nil)
			continue
		}
		t.records += len(w.Records)
		t.works = append(t.works, w)
	}
}

// wait sleeps until something happens or a key wants to be woken.
func (l *Loop) wait(ctx context.Context) error {
	var timer <-chan time.Time
	at := l.step.WakeAt()
	if !l.resume.IsZero() && (at.IsZero() || l.resume.Before(at)) {
		at = l.resume
	}
	if !at.IsZero() {
		timer = l.Clock.After(l.until(at))
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.inbox.some:
		return nil
	case <-timer:
		return nil
	case s := <-l.asked:
		l.waiting = append(l.waiting, s)
		return nil
	}
}

// folded waits until the ahead view holds what was appended.
func (l *Loop) folded(ctx context.Context, seq events.Seq) error {
	if err := l.Source.WaitAhead(ctx, seq); err != nil {
		return fmt.Errorf("wait for fold of %d: %w", seq, err)
	}
	return nil
}
