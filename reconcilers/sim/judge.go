package sim

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// judge looks at every event, every decision and every start of a container.
type judge struct {
	w *World
	l *ledger
	// moved is when anything but a fact of a node landed last.
	moved time.Time
}

func newJudge(w *World) *judge { return &judge{w: w, l: newLedger()} }

// landed looks at an event and at what the fold made of it.
func (j *judge) landed(e events.Envelope, before, after projections.State, changes []projections.Change) {
	if e.Subject.Class() != "seen" {
		j.moved = j.w.now
	}
	j.cause(e)
	if j.l.void(e) {
		j.voided(e, before, after, changes)
		return
	}
	j.whole(e)
	j.buried(e)
	j.evicted(e)
	j.wavered(e)
	j.stored(e)
	j.forgets(e)
	j.once(e)
	counted := j.l.fold(e)
	if !counted && e.Type.Verb() == events.VerbCreated {
		j.w.fail("names", "%s is there already", e.Subject)
	}
	j.jobs(e)
	j.timely(e)
	j.within(e)
	j.allowed(e)
	j.l.allows(e)
	j.scaled(e)
	j.daemons(e)
	switch e.Subject.Class() {
	case "assign":
		j.capacity(nodeOf(e))
		j.exclusive(e)
	case "spec":
		j.l.scales(e)
		j.granted(e)
	case "verdict":
		j.verdict(e)
	case "cut":
		j.expects(after)
	}
	for i, c := range changes {
		j.forward(c)
		later := func(d projections.Change) bool { return d.Key == c.Key }
		if !slices.ContainsFunc(changes[i+1:], later) { // one flush may speak of a pod more than once
			j.agrees(c, e.Seq)
		}
	}
}

// cause: each event names what led to it, except people's, the lease, what the
// observer heard and what nodes saw.
func (j *judge) cause(e events.Envelope) {
	if e.Reconciler == "" {
		return
	}
	if e.Cause == 0 || e.Cause > e.Basis || e.Basis >= e.Seq {
		j.w.fail("cause", "%s at %d is because of %d, decided on %d", e.Type, e.Seq, e.Cause, e.Basis)
	}
}

// voided: an event under a lease that is over changes nothing that can be seen.
func (j *judge) voided(e events.Envelope, before, after projections.State, changes []projections.Change) {
	if len(changes) > 0 || after.Void != before.Void+1 || !bytes.Equal(essence(before), essence(after)) {
		j.w.fail("void", "%s at %d under the lease of %d changed something under that of %d", e.Type, e.Seq, e.Epoch, j.l.epoch)
	}
}

// essence is a dump without what every event moves.
func essence(s projections.State) []byte {
	var d map[string]json.RawMessage
	read(s.Dump(), &d)
	for _, k := range []string{"Seq", "Time", "Void", "LastSpec"} {
		delete(d, k)
	}
	return events.MustBody(d)
}

// buried: nobody but a person says that a pod is gone of which its node has not
// said that it stopped; and nobody asks a child to go whose owner lives.
func (j *judge) buried(e events.Envelope) {
	if e.Reconciler == "" || e.Subject.Class() != "spec" {
		return
	}
	var b wish
	read(e.Body, &b)
	k, _ := e.Subject.Key()
	if p := j.l.pods[b.UID]; p != nil && e.Type.Verb() == events.VerbRemoved && p.node != "" && !p.stopped {
		if j.l.objects[events.Key{Resource: events.Nodes, Name: p.node}] != nil {
			j.w.fail("buried", "%s is removed while %s has not stopped it", k, p.node)
		}
	}
	o := j.l.objects[k]
	if e.Type.Verb() == events.VerbRemoved && o != nil && o.uid == b.UID && len(o.kept) > 0 {
		j.w.fail("kept", "%s is removed and has the finalizers %v", k, o.kept)
	}
	j.bereft(e, k)
	if e.Type.Verb() != events.VerbDeletionRequested || !strings.HasPrefix(e.Reconciler, "gc/") || o == nil || o.uid != b.UID || o.owner == nil {
		return
	}
	owner := j.l.objects[events.Key{Resource: o.owner.Resource, Namespace: k.Namespace, Name: o.owner.Name}]
	if p := j.l.pods[b.UID]; p != nil && p.node != "" && !last(j.l.member[p.node], e.Basis).yes {
		return // its node was taken away
	}
	if owner != nil && owner.uid == o.owner.UID && !owner.deleting {
		j.w.fail("buried", "%s shall go, but its owner lives", k)
	}
}

// bereft: nobody takes away what has an owner that lives, unless it was asked to go.
func (j *judge) bereft(e events.Envelope, k events.Key) {
	o := j.l.objects[k]
	if o == nil || o.deleting || len(o.owners) == 0 || e.Type.Verb() == events.VerbChanged || !strings.HasPrefix(e.Reconciler, "gc/") {
		return
	}
	for _, x := range j.l.objects {
		if slices.Contains(o.owners, x.uid) && !x.deleting {
			j.w.fail("buried", "%s shall go, but an owner of it lives", k)
		}
	}
}

// capacity: no node is given more than it has.
func (j *judge) capacity(node string) {
	u, has := j.l.used(node), j.l.nodes[node]
	if u.milli > has.milli || u.bytes > has.bytes || u.pods > has.pods {
		j.w.fail("capacity", "%s has %+v and holds %+v", node, has, u)
	}
}

// verdict: why something does not move is said when it changes, not again.
func (j *judge) verdict(e events.Envelope) {
	var v events.Verdict
	read(e.Body, &v)
	k, _ := e.Subject.Key()
	said := string(v.UID)
	for _, r := range v.Reasons {
		said += " " + r.About.String() + ":" + string(r.Code) + ":" + r.What
		if r.Code == events.FailedCreate {
			said += ":" + r.Said // its words are the status' own
		}
	}
	if j.l.verdicts[k] == said {
		j.w.fail("verdict", "of %s it is said again: %s", k, said)
	}
	j.l.verdicts[k] = said
}

// forward: a pod keeps its node, an end stays, and runs and their phases only
// move on. A run may come to its end and wait for the next one in what a node tells at once.
func (j *judge) forward(c projections.Change) {
	b, a := c.PodBefore, c.PodAfter
	if b == nil || a == nil || b.UID != a.UID {
		return
	}
	back := b.Node != "" && a.Node != b.Node || !b.Stopped.IsZero() && a.Stopped.IsZero() || b.Failed != nil && a.Failed == nil
	for _, was := range b.Containers {
		is, ok := a.Container(was.Name)
		back = back || !ok || is.Run < was.Run || is.Run == was.Run && (was.Phase == projections.Running && is.Phase == projections.Waiting && is.Exit == nil ||
			was.Phase == projections.Terminated && is.Phase == projections.Running)
	}
	if back {
		j.w.fail("forward", "%s went back: %+v, then %+v", c.Key, *b, *a)
	}
}

// agrees: the fold says of a pod what the ledger says.
func (j *judge) agrees(c projections.Change, seq events.Seq) {
	a := c.PodAfter
	if c.After == nil || a == nil {
		return
	}
	p := j.l.pods[a.UID]
	if p == nil || p.node != a.Node || p.assigned != a.Assigned.Seq || p.stopped == a.Stopped.IsZero() ||
		p.readyAt(seq) == a.ReadySince.IsZero() || (p.deleted != 0) != (c.After.Deletion != nil) {
		j.w.fail("fold", "of %s the fold has %+v, and the ledger %+v", c.Key, *a, p)
	}
}

// starts: one pod runs on one node, one of a name anywhere, and one run of a container at a time.
func (j *judge) starts(n *node, p *pod, op plan.Start) {
	j.namesakes(n, p)
	for _, other := range j.w.nodes {
		if q := other.pod(p.uid); q != nil && q.running() > 0 && other != n {
			j.w.fail("instance", "%s starts on %s while it runs on %s", p.key, n.name, other.name)
		}
	}
	for _, c := range p.obs.Containers {
		if c.Name == op.Container && (c.Phase == plan.Running || c.Run >= op.Run && c.Phase != plan.Created) {
			j.w.fail("instance", "%s of %s starts run %d beside run %d, %s", op.Container, p.key, op.Run, c.Run, c.Phase)
		}
	}
}

// decided looks at a decision before it is appended: asked again, on the log
// that it says it saw, the reconciler has to say the same.
func (j *judge) decided(r *replica, w run.Work) {
	e := w.Records[0].Envelope
	if e.Epoch < j.l.epoch {
		return // void wherever it lands
	}
	for _, c := range r.reconcilers() {
		if !strings.HasPrefix(w.Reconciler, c.Name()+"/") {
			continue
		}
		again := c.Decide(j.w.views[e.Basis], w.Key, e.Now)
		if !sameDrafts(w.Decision.Events, again.Events) {
			j.w.fail("again", "%s decided for %s on %d what it does not decide again: %s, now %s", r.name, w.Key, e.Basis,
				drafted(w.Decision.Events), drafted(again.Events))
		}
	}
	switch {
	case strings.HasPrefix(w.Reconciler, "deployment/"):
		j.sized(w, e.Basis)
	case strings.HasPrefix(w.Reconciler, "replicaset/"):
		j.filled(w, e.Basis)
	case strings.HasPrefix(w.Reconciler, "daemonset/"):
		j.downed(w, e.Basis)
	case strings.HasPrefix(w.Reconciler, "statefulset/"):
		j.crewed(w, e.Basis)
	case strings.HasPrefix(w.Reconciler, "schedule/"):
		j.placed(w, e.Basis)
		j.preempted(w, e.Basis)
	}
}

func sameDrafts(a, b []reconcilers.Draft) bool { return reflect.DeepEqual(a, b) }

func drafted(list []reconcilers.Draft) string {
	var out []string
	for _, d := range list {
		out = append(out, string(d.Type)+" on "+string(d.Subject))
	}
	return "[" + strings.Join(out, ", ") + "]"
}
