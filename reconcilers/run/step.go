package run

import (
	"errors"
	"fmt"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// retryAfter is how long a key rests after an append that failed for a reason
// which neither a newer view nor a new lease can settle: a full log, say.
const retryAfter = time.Second

// Step turns changed rows into keys, keys into decisions, and decisions into
// records. It is not safe for concurrent use.
type Step struct {
	cluster string
	epoch   events.Seq // of the lease under which records are made
	landed  events.Seq // the newest sequence that is known to be ours
	all     []member
	widest  int  // the most events that any one decision may hold
	batch   int  // the most events of one append
	grants  bool // what is wished for is made at once
	items   map[id]*item
	queue   queue
	long    queue // of keys that were cut short: the others need not wait for them
	brief   int   // keys of the first queue in a row, while the second waits
	wakes   wakes
	parked  []*item                 // their append is in doubt
	writing map[events.Subject]bool // spec subjects of decisions under way
	taking  map[events.UID]bool     // families of decisions under way
	blocked []*item                 // wanted to write one of those
}

type member struct {
	reconcilers.Reconciler
	writes map[events.Type]bool
	steps  int // the most events of one decision
}

// id names a queue entry: every reconciler has keys of its own.
type id struct {
	member int
	key    events.Key
}

// Work is one decision under way, from Next until Done.
type Work struct {
	Reconciler string // "deployment/1"
	Key        events.Key
	Decision   reconcilers.Decision
	// Records are to be appended together and in order; none when nothing follows.
	Records []bus.Record
	// Refused says that the decision broke the contract (an undeclared type, too
	// many events): a mistake in the reconciler. Nothing of it is appended.
	Refused error

	item     *item
	now      time.Time
	families []events.UID
}

// NewStep makes a Step for the reconcilers. It fails when two have one name.
func NewStep(cluster string, rs ...reconcilers.Reconciler) (*Step, error) {
	s := &Step{cluster: cluster, batch: bus.MaxBatch, items: map[id]*item{}, writing: map[events.Subject]bool{}, taking: map[events.UID]bool{}}
	names := map[string]bool{}
	for _, r := range rs {
		if names[r.Name()] {
			return nil, fmt.Errorf("start reconcilers: two are called %s", r.Name())
		}
		names[r.Name()] = true
		m := member{r, map[events.Type]bool{}, reconcilers.StepsOf(r)}
		s.widest = max(s.widest, m.steps)
		for _, t := range r.Writes() {
			m.writes[t] = true
		}
		s.all = append(s.all, m)
	}
	return s, nil
}

// Lease says under which lease records are made from here on; epoch is the
// sequence of the lease's event. It settles doubt: what was appended under the
// lease before has landed below epoch, or is void wherever it lands. The parked
// keys are asked again once the view has reached epoch.
func (s *Step) Lease(epoch events.Seq) {
	s.epoch, s.landed = epoch, max(s.landed, epoch)
	for _, it := range s.parked {
		it.state = idle
		s.enqueue(it)
	}
	s.parked = nil
}

// Epoch is the lease under which records are made, 0 before the first.
func (s *Step) Epoch() events.Seq { return s.epoch }

// Limit lets one append of a person's wish hold no more than n events: a
// simulation sees large wishes without being large.
func (s *Step) Limit(n int) { s.batch = n }

// Grant says whether what reconcilers wish for is made at once, though others would have to be asked first.
func (s *Step) Grant(yes bool) { s.grants = yes }

// Doubtful tells whether keys wait for a new lease because an acknowledgement
// of theirs was lost.
func (s *Step) Doubtful() bool { return len(s.parked) > 0 }

// Prime queues every key of a view, as after a start.
func (s *Step) Prime(v reconcilers.View) {
	for o := range v.All() {
		c := projections.Change{Key: o.Key, After: o, Position: o.Position}
		c.PodAfter, _ = v.PodOf(o.Key)
		for i := range s.all {
			for _, k := range s.all[i].Keys(v, c) {
				s.wake(id{i, k}, o.Changed.Seq, false)
			}
		}
	}
}

// Changed queues the keys that an event concerns. v is the view after it.
func (s *Step) Changed(v reconcilers.View, e events.Envelope, changes []projections.Change) {
	for i := range s.all {
		own := e.Actor == events.Controller(s.all[i].Name())
		for _, c := range changes {
			for _, k := range s.all[i].Keys(v, c) {
				s.wake(id{i, k}, e.Seq, own)
			}
		}
	}
}

// Mixed tells whether keys wait that were cut short, and others beside them.
func (s *Step) Mixed() bool { return !s.queue.empty() && !s.long.empty() }

// NextBrief is Next for the keys that were not cut short.
func (s *Step) NextBrief(v reconcilers.View, now time.Time) (Work, bool) {
	return s.next(v, now, s.queue.pop)
}

// maxRow is after how many others a key that was cut short has its turn.
const maxRow = 16

// pop takes the keys that were cut short after the others, but not for ever.
func (s *Step) pop() *item {
	if s.brief++; s.queue.empty() || s.brief > maxRow && !s.long.empty() {
		s.brief = 0
		return s.long.pop()
	}
	return s.queue.pop()
}

// Next decides for the key whose turn it is. ok is false when nothing can be
// decided on this view: no key waits, or the view has not folded yet what was
// appended before. Each Work has to be given back to Done; several may be under
// way at a time on the same view, and never two that write the same object or
// take pods from the same family.
func (s *Step) Next(v reconcilers.View, now time.Time) (Work, bool) { return s.next(v, now, s.pop) }

func (s *Step) next(v reconcilers.View, now time.Time, pop func() *item) (Work, bool) {
	if v.Seq < s.landed || s.epoch == 0 {
		return Work{}, false
	}
	if v.Time.After(now) {
		now = v.Time // the log's clock leads: what it says has happened
	}
	s.due(now)
	for it := pop(); it != nil; it = pop() {
		w := s.decide(v, it, now)
		if s.collides(w) {
			it.state = waiting
			s.blocked = append(s.blocked, it)
			continue
		}
		s.mark(w, true)
		it.state = deciding
		return w, true
	}
	return Work{}, false
}

// By is whose decision a Work is.
func (s *Step) By(w Work) reconcilers.Reconciler { return s.all[w.item.id.member].Reconciler }

// Done says what became of a Work. first is the sequence of its first record,
// when err is nil and it had any.
func (s *Step) Done(w Work, first events.Seq, err error) {
	it := w.item
	s.mark(w, false)
	it.state = idle
	s.release()
	var conflict *bus.ConflictError
	switch {
	case err == nil:
		s.finish(w, first)
	case errors.As(err, &conflict):
		s.enqueue(it)
	case errors.Is(err, bus.ErrDoubt):
		it.state = parked
		s.parked = append(s.parked, it)
	default:
		s.wakes.set(it, w.now.Add(retryAfter))
	}
}

// Idle tells whether no key waits for its turn.
func (s *Step) Idle() bool {
	return s.queue.empty() && s.long.empty() && len(s.blocked) == 0 && len(s.parked) == 0
}

// WakeAt is when the next key wants to be asked whatever happens; zero is never.
func (s *Step) WakeAt() time.Time { return s.wakes.first() }

func (s *Step) finish(w Work, first events.Seq) {
	it := w.item
	if n := len(w.Records); n > 0 {
		s.landed = max(s.landed, first+events.Seq(n-1))
	}
	s.wakes.set(it, w.Decision.WakeAt)
	it.long = w.Decision.More && w.Refused == nil
	switch {
	case it.long || it.again:
		s.enqueue(it)
	case it.wake.IsZero():
		delete(s.items, it.id)
	}
}

// wake queues a key. own is an event of the same reconciler: it does not become
// the cause of what the key was queued for before.
func (s *Step) wake(at id, cause events.Seq, own bool) {
	it, ok := s.items[at]
	if !ok {
		it = &item{id: at, heap: -1}
		s.items[at] = it
	}
	if !own || it.cause == 0 {
		it.cause = cause
	}
	s.enqueue(it)
}

func (s *Step) enqueue(it *item) {
	switch it.state {
	case idle:
		it.state, it.again = waiting, false
		s.push(it)
	case deciding:
		it.again = true // what it decided on is old already
	}
}

// release lets the keys try again that a decision stood in the way of.
func (s *Step) release() {
	for _, it := range s.blocked {
		s.push(it)
	}
	s.blocked = nil
}

func (s *Step) push(it *item) {
	if it.long {
		s.long.push(it)
		return
	}
	s.queue.push(it)
}

func (s *Step) due(now time.Time) {
	for it := s.wakes.pop(now); it != nil; it = s.wakes.pop(now) {
		s.enqueue(it)
	}
}

func (s *Step) collides(w Work) bool {
	for _, r := range w.Records {
		if s.writing[r.Envelope.Subject] {
			return true
		}
	}
	for _, f := range w.families {
		if s.taking[f] {
			return true
		}
	}
	return false
}

// mark enters or clears the objects that a decision writes and the families
// that it takes from.
func (s *Step) mark(w Work, on bool) {
	for _, f := range w.families {
		if on {
			s.taking[f] = true
		} else {
			delete(s.taking, f)
		}
	}
	for _, r := range w.Records {
		switch {
		case r.Expect == nil:
		case on:
			s.writing[r.Envelope.Subject] = true
		default:
			delete(s.writing, r.Envelope.Subject)
		}
	}
}
