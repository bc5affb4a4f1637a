package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// clusterName is part of every operation id.
const clusterName = "sim"

// replica is one process of the control plane: a fold that may lag behind, and
// while it believes that it holds the lease a Step, an observer and a feed.
type replica struct {
	w      *World
	name   string
	boots  int
	view   projections.State
	old    projections.State // some view before: what a replica with a stale view would look at
	step   *run.Step         // nil while it does not believe that it holds the lease
	obs    *run.Observer
	alive  bool
	until  time.Time // it is paused until then
	cut    bool      // it reaches neither the log nor anybody else
	newer  bool      // it runs another version of the reconcilers
	skew   time.Duration
	course run.Course // of time, since it was started
	works  []run.Work
	basis  projections.State // of works
	feeder feeder
	pace   pace
}

func (r *replica) able() bool { return r.alive && !r.cut && !r.w.now.Before(r.until) }

// clock is what the machine believes.
func (r *replica) clock() time.Time { return r.w.now.Add(r.skew) }

// reconcilers are those of the version that it runs.
func (r *replica) reconcilers() []reconcilers.Reconciler {
	if r.newer {
		return r.w.newer
	}
	return r.w.reconcilers
}

func (r *replica) holds() bool { return r.step != nil }

// holder is the name under which this life of the process takes the lease.
func (r *replica) holder() string { return r.name + "/" + itoa(r.boots) }

// kill ends the process: what it decided and did not append is lost.
func (r *replica) kill() {
	r.alive, r.step, r.works = false, nil, nil
}

// boot starts it again: on the whole log when its checkpoints are lost, as every
// fourth time, else on a checkpoint of some moment and the events after it. Which
// one is not drawn: the seeds of old findings must go on meaning the same.
func (r *replica) boot() {
	r.alive, r.boots, r.until, r.course = true, r.boots+1, time.Time{}, run.Course{}
	r.view = r.w.views[len(r.w.views)-1]
	if n := len(r.w.views); r.boots%4 != 0 {
		r.view = r.w.restored(r.w.views[max((n/2+7919*r.boots)%n, int(r.w.store.first))])
		for int(r.view.Seq) < len(r.w.store.log) {
			r.view, _ = r.w.apply(r.view, r.w.store.log[r.view.Seq])
		}
	}
	r.old = r.view
}

// turn does the next thing that this replica has to do; false when nothing.
func (r *replica) turn() bool {
	if !r.able() {
		return false
	}
	if len(r.works) > 0 {
		r.store()
		return true
	}
	did := r.fold(r.w.lag())
	if !r.holds() {
		return did
	}
	if r.step.Doubtful() {
		r.lead()
		return true
	}
	r.feeder.flush()
	return r.goOn() || r.alive && r.decide() || did
}

// fold takes at most n more events into the view.
func (r *replica) fold(n int) bool {
	if int(r.view.Seq) == len(r.w.store.log) || n == 0 {
		return false
	}
	for ; n > 0 && int(r.view.Seq) < len(r.w.store.log); n-- {
		e := r.w.store.log[r.view.Seq]
		if r.w.plant.miss != nil && r.w.plant.miss(r, e) {
			r.view.Seq = e.Seq
			continue
		}
		var changes []projections.Change
		r.view, changes = r.w.apply(r.view, e)
		if r.w.rng.IntN(4) == 0 {
			r.old = r.view
		}
		if !r.holds() {
			continue
		}
		if e.Type == events.LeaseTaken && e.Seq > r.step.Epoch() {
			r.step = nil // somebody else decides from here on
			continue
		}
		r.step.Changed(r.view, e, changes)
		r.feeder.changed(changes)
	}
	return true
}

func (r *replica) foldAll() { r.fold(len(r.w.store.log)) }

// lead takes the lease, as Loop does: compare-and-append on what is folded.
func (r *replica) lead() {
	if own := r.holds() && r.step.Epoch() != 0; own && r.view.Epoch > r.step.Epoch() && r.view.Holder != r.holder() {
		r.step = nil
		return
	}
	e := events.Envelope{Subject: events.LeaseSubject, Type: events.LeaseTaken, Version: 1, Actor: events.Controller("run"),
		Basis: r.view.Seq, Now: r.time(), Body: events.MustBody(events.Lease{Holder: r.holder()})}
	seq, err := r.w.store.append(r.w.now, []bus.Record{bus.Expecting(e, r.view.Epoch)})
	if err != nil {
		r.foldAll() // a lease that this view lacks
		return
	}
	fresh := !r.holds()
	if fresh {
		step, err := run.NewStep(clusterName, r.reconcilers()...)
		if err != nil {
			panic(err) // two reconcilers of one name: a mistake in this package
		}
		step.Limit(batch)
		r.step, r.obs = step, run.NewObserver(0)
	}
	r.step.Lease(seq)
	r.foldAll()
	if fresh {
		r.step.Prime(r.view)
		r.feeder.restart(r)
	}
}

// decide makes one pass on one view; the records wait for the next turn, so
// that anything may happen between.
func (r *replica) decide() bool {
	v := r.view
	if r.w.plant.stale {
		v, v.Seq = r.old, r.view.Seq
	}
	asked := false
	for range 8 {
		w, ok := r.paced(v)
		if !ok {
			break
		}
		asked = true
		if w.Refused != nil {
			r.w.fail("contract", "%s refused for %s: %v", w.Reconciler, w.Key, w.Refused)
		}
		r.w.wished(r, w)
		if len(w.Records) == 0 {
			r.step.Done(w, 0, nil)
			continue
		}
		r.works = append(r.works, w)
	}
	r.basis = v
	return asked
}

// store appends what was decided, or dies over it.
func (r *replica) store() {
	works := r.works
	r.works = nil
	for _, w := range works {
		first, err := r.append(w)
		if !r.alive {
			return
		}
		r.step.Done(w, first, err)
	}
	r.foldAll()
}

// append stores one decision. The log takes it whole; a crash of the process
// in the middle of a pass leaves the first decisions without the others, and
// in the worst case the first events of one.
func (r *replica) append(w run.Work) (events.Seq, error) {
	fate := r.w.fate(40)
	records := slices.Clone(w.Records)
	switch fate {
	case 0:
		r.w.note("%s dies before it appends for %s", r.name, w.Key)
		r.kill()
		return 0, nil
	case 1:
		records = records[:r.w.rng.IntN(len(records))]
		r.w.note("%s dies after %d of %d events for %s", r.name, len(records), len(w.Records), w.Key)
	case 2:
		r.w.note("the append for %s is lost", w.Key)
		return 0, bus.ErrDoubt
	}
	if r.w.plant.record != nil {
		for i := range records {
			r.w.plant.record(&records[i].Envelope)
		}
	}
	r.w.judge.decided(r, w)
	first, err := r.w.store.append(r.w.now, records)
	switch {
	case fate == 1:
		r.kill()
	case fate == 3 && err == nil:
		r.w.note("the acknowledgement for %s is lost", w.Key)
		return 0, bus.ErrDoubt
	}
	return first, err
}

// open tells whether requests are let in.
func (r *replica) open() bool {
	return r.able() && r.holds() && len(r.works) == 0 && (len(r.step.Rest(r.view)) == 0 || r.w.plant.half)
}

// time is when it decides, as Loop has it: not before what it decides on.
func (r *replica) time() time.Time {
	now, _, _ := r.course.Now(r.clock(), r.view.Time)
	return now
}

// submit lets somebody's request in between decisions, as Loop does. It tells
// whether it was answered.
func (r *replica) submit(q run.Request) bool {
	for range 5 {
		if !r.open() {
			return false
		}
		now := r.time()
		drafts, err := q.Decide(r.view, now)
		if err != nil || len(drafts) == 0 {
			return true
		}
		records, err := r.step.Records(r.view, q, drafts, now)
		if err != nil {
			r.w.fail("contract", "request for %s: %v", q.Key, err)
			return true
		}
		if _, ok := r.view.Landed(records[0].Envelope.Op); ok {
			return true
		}
		if len(records) > batch && q.Change != "" {
			if r.begin(records) {
				return true
			}
			continue
		}
		fate := r.w.fate(30)
		if fate == 0 {
			r.lead() // it was lost: under a new lease it never lands
			continue
		}
		_, err = r.w.store.append(r.w.now, records)
		var conflict *bus.ConflictError
		switch {
		case errors.As(err, &conflict):
			r.foldAll()
			continue
		case fate == 1:
			r.lead() // it landed, but nobody said so
			continue
		}
		r.foldAll()
		return true
	}
	return true
}

// observe reports what heartbeats and silence say of the nodes.
func (r *replica) observe() {
	if !r.able() || !r.holds() || len(r.works) > 0 {
		return
	}
	for _, n := range r.w.nodes {
		if n.up && !n.cut && !r.w.now.Before(n.until) && r.w.fate(10) != 0 {
			r.obs.Beat(n.name)
		}
	}
	drafts := r.obs.Tick(r.view, r.clock())
	if len(drafts) == 0 {
		return
	}
	r.submit(run.Request{Actor: events.Controller("observer"), ID: r.holder() + "/" + r.w.now.Format(time.RFC3339Nano),
		Key:    events.Key{Resource: events.Nodes, Name: "*"},
		Decide: func(reconcilers.View, time.Time) ([]reconcilers.Draft, error) { return drafts, nil }})
}
