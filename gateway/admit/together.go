package admit

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Whole is what follows from a change that is made whole or not at all.
type Whole struct {
	// Outcomes has one outcome a request, in the order of the requests. When any
	// of them is refused, none has drafts, and those that are not refused have no
	// word for what became of them.
	Outcomes []Outcome
	// Order says in which order the outcomes' drafts are to be appended.
	Order []int
	// Refused is how many requests are refused.
	Refused int
	// Moved says that some are of objects which changed since webhooks and policies
	// were asked; nothing else counts then.
	Moved bool
}

// Drafts are those of all outcomes, in the order in which they are appended.
func (w Whole) Drafts() []reconcilers.Draft {
	var out []reconcilers.Draft
	for _, i := range w.Order {
		out = append(out, w.Outcomes[i].Drafts...)
	}
	return out
}

// before are the resources that others need to be there: an object may stand
// above its namespace, ServiceAccount or definition in a file. All others keep the order of the requests.
var before = map[events.Resource]int{events.Definitions: -3, events.Namespaces: -2, events.Accounts: -1}

// Together decides the requests of one change as one. Each sees what those
// before it would do, and every one that is refused is told of, not only the
// first.
func Together(v projections.State, rs []Request, now time.Time) Whole {
	w := Whole{Outcomes: make([]Outcome, len(rs))}
	for i := range rs {
		w.Order = append(w.Order, i)
	}
	keys := make([]events.Key, len(rs))
	for i, r := range rs {
		keys[i] = KeyOf(v, r.Item)
	}
	slices.SortStableFunc(w.Order, func(a, b int) int { return cmp.Compare(before[keys[a].Resource], before[keys[b].Resource]) })
	once := map[events.Subject]bool{}
	for _, i := range w.Order {
		out := Admit(v, rs[i], now)
		if twice(out, once) {
			out = Outcome{Result: out.Result}
			out.Result.Outcome, out.Result.Error = "", badRequest("%s is in this change twice, and the two differ: keep one of them", keys[i]).status()
		}
		if out.Result.Error != nil {
			w.Refused++
		}
		w.Moved = w.Moved || out.Moved
		v = Imagine(v, rs[i].Op, out.Drafts, now)
		w.Outcomes[i] = out
	}
	if w.Refused > 0 {
		w.withdraw()
	}
	return w
}

// twice tells whether an outcome would write what another of the change writes:
// one append holds an object once. It notes what the outcome writes.
func twice(out Outcome, once map[events.Subject]bool) bool {
	for _, d := range out.Drafts {
		if once[d.Subject] {
			return true
		}
		once[d.Subject] = true
	}
	return false
}

// withdraw takes back what was decided beside a refusal.
func (w *Whole) withdraw() {
	for i := range w.Outcomes {
		w.Outcomes[i].Drafts, w.Outcomes[i].Result.Outcome = nil, ""
	}
}

// Imagine folds drafts as if they had been appended. Their uids are made up.
func Imagine(v projections.State, op events.OpID, drafts []reconcilers.Draft, now time.Time) projections.State {
	for i, d := range drafts {
		e := events.Envelope{Subject: d.Subject, Type: d.Type, Version: events.Version, Body: d.Body, Seq: v.Seq + 1, Time: now, Now: now, Epoch: v.Epoch}
		if d.Child != nil {
			body := d.Child.Body
			body.UID = events.NewUID(events.OpID(fmt.Sprintf("%s/%d", op, i)))
			e.Body = events.MustBody(body)
		}
		v, _ = projections.Apply(v, e)
	}
	return v
}
