package sim

import (
	"fmt"
	"math/rand/v2"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/run"
)

// urgency are the classes that there are, by name: what is urgent is more important
// than apps, what is pressing more than that.
var urgency = map[string]int{"urgent": 10, "pressing": 20}

// urgent is somebody with a pod that shall run even if others have to go.
func (w *World) urgent(r uint64, rng *rand.Rand) {
	class := []string{"urgent", "pressing"}[rng.IntN(2)]
	if _, ok := w.newest().Get(events.Key{Resource: events.PriorityClasses, Name: class}); !ok {
		w.ask(r+1, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
			`{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":%q},"value":%d}`, class, urgency[class]))}}})
	}
	w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s%d","namespace":"default"},"spec":{"priorityClassName":%q,"terminationGracePeriodSeconds":5,
"containers":[{"name":"c","image":"one:1","resources":{"requests":{"cpu":"%dm"}}}]}}`, class[:1], rng.IntN(3), class, 200*(1+rng.IntN(6))))}}})
}

// promise notes the node where room is made for a pod.
func (l *ledger) promise(e events.Envelope) {
	for uid, node := range promises(e) { //stave:sorted there is one
		if p := l.pods[uid]; p != nil {
			p.promised = node
		}
	}
}

// promises is what a verdict promises to whom.
func promises(e events.Envelope) map[events.UID]string {
	var b events.Verdict
	read(e.Body, &b)
	node := ""
	for _, r := range b.Reasons {
		if r.Code == projections.Preempting {
			node = r.What
		}
	}
	return map[events.UID]string{b.UID: node}
}

// preempted judges who has to go for whom: nobody for an equal, and nobody for a pod
// that has room somewhere.
func (j *judge) preempted(w run.Work, at events.Seq) {
	held, promised := map[*life]string{}, map[*life]string{}
	for _, l := range j.l.order {
		if l.assigned != 0 && l.assigned <= at && (l.ended == 0 || l.ended > at) {
			held[l] = l.node
		}
		if l.waitedAt(at) && l.promised != "" {
			promised[l] = l.promised
		}
	}
	for _, r := range w.Records {
		switch e := r.Envelope; e.Type {
		case events.PodsAssigned:
			var b events.Assigned
			read(e.Body, &b)
			for _, ref := range b.Pods {
				held[j.l.pods[ref.UID]] = nodeOf(e)
			}
		case events.TypeOf(events.Pods, events.VerbVerdict):
			for uid, node := range promises(e) { //stave:sorted there is one
				promised[j.l.pods[uid]] = node
			}
		}
	}
	for _, r := range w.Records {
		if r.Envelope.Type != events.TypeOf(events.Pods, events.VerbDeletionRequested) {
			continue
		}
		var b wish
		read(r.Envelope.Body, &b)
		victim, by := j.l.pods[b.UID], j.l.pods[b.For.UID]
		switch {
		case by == nil || by.removed || !by.waitedAt(at):
			j.w.fail("preempt", "%s shall go for nobody who waits", victim.key)
		case victim.priority >= by.priority:
			j.w.fail("preempt", "%s of priority %d shall go for %s of %d", victim.key, victim.priority, by.key, by.priority)
		default:
			j.roomless(by, at, held, promised)
		}
	}
}

// spared is what the next version of the scheduler leaves free of each node's cpu.
const spared = 300

// roomless: the pod has no room on any node, beside those who are there and those who were
// promised some. Only nodes of which the ledger is sure count.
func (j *judge) roomless(by *life, at events.Seq, held, promised map[*life]string) {
	for name, turns := range j.l.member { //stave:sorted each is judged alone
		joined, heard := last(turns, at), last(j.l.silent[name], at)
		if !joined.yes || heard.seq <= joined.seq || heard.yes || len(j.l.silent[name]) > 1 || j.l.dedicated(name, at) {
			continue // it is not there, or may be tainted still for a silence of before
		}
		free := j.l.nodes[name]
		take := func(l *life) {
			most := l.ask.larger(l.sizes.most)
			free.milli, free.bytes, free.pods = free.milli-most.milli, free.bytes-most.bytes, free.pods-1
		}
		for l, node := range held { //stave:sorted a sum
			if node == name {
				take(l)
			}
		}
		for l, node := range promised { //stave:sorted a sum
			if node == name && l != by {
				take(l)
			}
		}
		if free.milli-spared >= by.ask.milli && free.bytes >= by.ask.bytes && free.pods >= 1 {
			j.w.fail("preempt", "%s has room on %s (%+v), and others shall go for it", by.key, name, free)
		}
	}
}
