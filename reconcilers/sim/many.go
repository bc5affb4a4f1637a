package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// batch is how many events one append of a person's change holds here, so that a
// change of a dozen objects is a large one.
const batch = 3

// askMany makes one change of many objects: maps, and now and then the apps, each
// new or changed or as it is already.
func (w *World) askMany(id uint64, rng *rand.Rand) {
	var all []string
	for i := range 4 + rng.IntN(12) {
		all = append(all, fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m%d","namespace":"default"},"data":{"n":"%d"}}`, i, rng.IntN(3)))
	}
	for _, x := range apps {
		if rng.IntN(3) == 0 {
			all = append(all, x.manifest(1+rng.IntN(4), images[rng.IntN(len(images))]))
		}
	}
	w.askAll(id, all)
}

// askAll makes one change of many objects; all of it is refused where the namespace of one is not there.
func (w *World) askAll(id uint64, objects []string) {
	q := wire.ChangeRequest{ID: strconv.FormatUint(id, 16), Operation: wire.Apply, Whole: true}
	var asks []admit.Request
	for i, o := range objects {
		q.Items = append(q.Items, wire.Item{Object: []byte(o)})
		op := events.NewOpID(clusterName, somebody, fmt.Sprintf("%s/%d", q.ID, i), admit.KeyOf(projections.State{}, q.Items[i]), 0)
		asks = append(asks, admit.Request{ChangeRequest: q, Item: q.Items[i], Op: op})
	}
	w.submit(run.Request{Actor: somebody, ID: q.ID, Change: events.ChangeID(q.ID), Decide: func(v reconcilers.View, now time.Time) ([]reconcilers.Draft, error) {
		if _, past := v.Landed(events.NewOpID(clusterName, somebody, q.ID, events.Key{}, 0)); past {
			return nil, nil
		}
		all := admit.Together(v, asks, now)
		if all.Refused > 0 {
			return nil, errRefused
		}
		return all.Drafts(), nil
	}})
}

// begin appends what a large change leads to; it is carried out in turns from
// there on. It tells whether it landed.
func (r *replica) begin(records []bus.Record) bool {
	wish := r.step.Wish(records)
	fate := r.w.fate(10)
	if fate == 0 {
		r.w.note("the wish for %d objects is lost", len(records))
		r.lead() // under a new lease it never lands
		return false
	}
	if _, err := r.w.store.append(r.w.now, wish); err != nil {
		panic(err) // it expects nothing
	}
	if fate == 1 {
		r.w.note("%s dies after it was asked for %d objects", r.name, len(records))
		r.kill()
		return true
	}
	r.foldAll()
	return true
}

// goOn carries the oldest unfinished change on by one append, as Loop does before
// anything else; false when there is none.
func (r *replica) goOn() bool {
	rest := r.step.Rest(r.view)
	if len(rest) == 0 || r.w.plant.half && r.w.store.log[rest[0].Envelope.Cause-1].Epoch != r.step.Epoch() {
		return false
	}
	switch r.w.fate(12) {
	case 0:
		r.w.note("%s dies in the middle of a change, before %s", r.name, rest[0].Envelope.Subject)
		r.kill()
		return true
	case 1:
		r.w.note("an append of a change is lost")
		r.lead()
		return true
	case 2:
		_, _ = r.w.store.append(r.w.now, rest) // landed or refused: nobody said so
		r.lead()
		return true
	}
	// Refused: somebody else has the lease, which shows in the fold.
	_, _ = r.w.store.append(r.w.now, rest)
	r.foldAll()
	return true
}

// asked is the ledger's copy of a change under way.
type asked struct {
	of  int
	ops []events.OpID // still to land
}

// large notes what a change leads to.
func (l *ledger) large(e events.Envelope) bool {
	var b struct {
		Of   int
		Then []struct{ Op events.OpID }
	}
	read(e.Body, &b)
	w := l.asked[e.Change]
	if w == nil {
		w = &asked{of: b.Of}
		l.asked[e.Change] = w
	}
	for _, x := range b.Then {
		w.ops = append(w.ops, x.Op)
	}
	return true
}

// whole: a change that was asked for is carried out in its order and to its end,
// each event once, and nobody decides anything in between.
func (j *judge) whole(e events.Envelope) {
	open := events.ChangeID("")
	for id, w := range j.l.asked { //stave:sorted: at most one has anything left
		if len(w.ops) > 0 {
			open = id
		}
	}
	class := e.Subject.Class()
	if open == "" || class == "seen" || class == "lease" || class == "change" && e.Change == open {
		return
	}
	w := j.l.asked[open]
	if at := slices.Index(w.ops, e.Op); at != 0 {
		j.w.fail("whole", "%s at %d comes between the parts of change %s, of which %d of %d are to come", e.Type, e.Seq, open, len(w.ops), w.of)
		return
	}
	w.ops = w.ops[1:]
}

// carried: no change is left half.
func (j *judge) carried() {
	for id, w := range j.l.asked { //stave:sorted: the first that is found is told
		if len(w.ops) > 0 {
			j.w.fail("whole", "of change %s, %d of %d events never came", id, len(w.ops), w.of)
		}
	}
	if n := len(j.w.newest().Wishes()); n > 0 {
		j.w.fail("whole", "%d changes are under way", n)
	}
}
