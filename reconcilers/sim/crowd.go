package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/reconcilers/run"
)

// crowd is some people who ask at the same time, about the same few things.
func (w *World) crowd(r uint64, rng *rand.Rand) {
	var all []run.Request
	for i := range 2 + rng.IntN(5) {
		q := wire.ChangeRequest{Operation: []wire.Operation{wire.Create, wire.Apply}[rng.IntN(2)]}
		name := "c" + itoa(rng.IntN(4))
		switch rng.IntN(5) {
		case 0:
			q.Operation, q.Items = wire.Delete, []wire.Item{{Key: events.Key{Resource: events.ConfigMaps, Namespace: rationed, Name: name}}}
		case 1:
			q.Items = []wire.Item{{Object: []byte(lone(rng))}}
		default:
			q.Items = []wire.Item{{Object: []byte(fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":%q},"data":{"n":"%d"}}`, name, rationed, rng.IntN(3)))}}
		}
		all = append(all, w.wish(r+uint64(i), q))
	}
	w.gather(all)
}

// gather sends requests to whoever leads, who answers them in their order, and asks again until all are answered.
func (w *World) gather(all []run.Request) {
	for range 24 {
		if len(all) == 0 || w.failure != nil {
			return
		}
		if leaders := w.leaders(); len(leaders) > 0 {
			all = all[leaders[w.rng.IntN(len(leaders))].together(all):]
		}
		w.round()
	}
}

// together lets requests in between decisions, as Loop does with those that wait: as many as can be are one append. It
// tells how many are answered.
func (r *replica) together(all []run.Request) int {
	if !r.open() {
		return 0
	}
	now := r.time()
	g := r.step.Together(r.view, now, all)
	if r.w.plant.blind {
		g = r.blindly(now, all)
	}
	n := len(g.Answers)
	if n < 2 {
		return r.apart(all[:1])
	}
	if len(g.Records) == 0 {
		return n
	}
	fate := r.w.fate(10)
	switch fate {
	case 0:
		r.w.note("%s dies before it appends what %d ask", r.name, n)
		r.kill()
		return 0
	case 1:
		r.w.note("what %d ask is lost", n)
		return r.doubt(g, all)
	}
	first, err := r.w.store.append(r.w.now, g.Records)
	r.w.judge.gathered(g, all, first, now, err)
	switch fate {
	case 2:
		r.w.note("nobody says whether what %d ask has landed: %v", n, err)
		return r.doubt(g, all)
	case 3:
		r.w.note("%s dies after it appended what %d ask: %v", r.name, n, err)
		r.kill()
		return 0
	}
	r.foldAll()
	switch {
	case !r.holds():
		return 0 // nobody is told anything: it may be void
	case err != nil:
		return r.apart(all[:n])
	}
	r.w.judge.answered(g, all)
	return n
}

// doubt finds out what became of a group: under a new lease it has landed below it, or never will.
func (r *replica) doubt(g *run.Group, all []run.Request) int {
	r.lead()
	if !r.holds() {
		return 0
	}
	if _, ok := r.view.Landed(g.Records[0].Envelope.Op); !ok && !r.w.plant.trusting {
		return r.apart(all[:len(g.Answers)])
	}
	r.w.judge.answered(g, all)
	return len(g.Answers)
}

// apart answers requests one by one, after they could not be answered together.
func (r *replica) apart(all []run.Request) int {
	for i, q := range all {
		if !r.submit(q) {
			return i
		}
	}
	return len(all)
}

// blindly is a group of which no wish sees the ones before it.
func (r *replica) blindly(now time.Time, all []run.Request) *run.Group {
	g := &run.Group{}
	written := map[events.Subject]bool{}
	for _, q := range all {
		one := r.step.Together(r.view, now, []run.Request{q})
		if len(one.Answers) == 0 || len(g.Records)+len(one.Records) > batch || len(one.Records) > 0 && written[one.Records[0].Envelope.Subject] {
			break
		}
		a := one.Answers[0]
		a.First, a.End = len(g.Records), len(g.Records)+len(one.Records)
		for _, x := range one.Records {
			written[x.Envelope.Subject] = true
		}
		g.Records, g.Answers = append(g.Records, one.Records...), append(g.Answers, a)
	}
	return g
}

// gathered looks at a group that has landed: each of its wishes has to lead to what it leads to when it comes alone, right
// after the ones before it. One that was refused leads to nothing then, too.
func (j *judge) gathered(g *run.Group, all []run.Request, first events.Seq, now time.Time, err error) {
	if err != nil || g.Records[0].Envelope.Epoch < j.l.epoch {
		return
	}
	for i, a := range g.Answers {
		v := j.w.views[int(first)-1+a.First]
		drafts, refused := all[i].Decide(v, now)
		if (refused != nil) != (a.Err != nil) || len(drafts) != a.End-a.First {
			j.w.fail("together", "wish %d of a group is answered %v with %d events; alone after the ones before it, %v with %d", i, a.Err, a.End-a.First, refused, len(drafts))
			return
		}
		for k, d := range drafts {
			e := g.Records[a.First+k].Envelope
			if e.Subject != d.Subject || e.Type != d.Type || d.Child == nil && !bytes.Equal(e.Body, d.Body) {
				j.w.fail("together", "wish %d of a group leads to %s %s; alone after the ones before it, to %s %s", i, e.Type, e.Body, d.Type, d.Body)
			}
		}
	}
}

// answered: who is told that a wish was done finds all of it in the log.
func (j *judge) answered(g *run.Group, all []run.Request) {
	for i, a := range g.Answers {
		for _, r := range g.Records[a.First:a.End] {
			if !j.l.ops[r.Envelope.Op] {
				j.w.fail("together", "%s is told that it was done, and %s is not in the log", all[i].ID, r.Envelope.Subject)
			}
		}
	}
}

// once: nothing that was decided lands twice, however often it is asked for.
func (j *judge) once(e events.Envelope) {
	if e.Op == "" {
		return
	}
	if j.l.ops[e.Op] {
		j.w.fail("together", "%s at %d has landed before", e.Subject, e.Seq)
	}
	j.l.ops[e.Op] = true
}

// lone is a pod of nobody where things are rationed.
func lone(rng *rand.Rand) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"l%d","namespace":%q},"spec":{"restartPolicy":%q,"terminationGracePeriodSeconds":5,
"containers":[{"name":"c","image":"one:1","resources":{"requests":{"cpu":"100m"}}}]}}`, rng.IntN(3), rationed, []string{"Always", "Never"}[rng.IntN(2)])
}
