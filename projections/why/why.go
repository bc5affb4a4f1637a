package why

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/table"
)

// maxChain bounds how far causes are followed.
const maxChain = 32

// Answer says why an object is as it is.
type Answer struct {
	Subject events.Key `json:"subject"`
	// Verdict is one line; Details are what it rests on, a line each.
	Verdict string   `json:"verdict"`
	Details []string `json:"details,omitempty"`
	// Links are the chain of causes, newest first.
	Links    []Link `json:"links"`
	WaitsFor string `json:"waitsFor,omitempty"` // what has to happen for it to move; empty when it is where it shall be
	Fix      string `json:"fix,omitempty"`      // the nearest change that would help
	// Config are the changes of the configuration that a pod was made with.
	Config []ConfigChange `json:"config,omitempty"`
	// Reasons are those of the decision, for programs.
	Reasons []events.Reason `json:"reasons,omitempty"`

	home  string
	fault fault // what status makes of it
}

// Link is one event of a chain.
type Link struct {
	Seq  events.Seq   `json:"seq"`
	Time time.Time    `json:"time"`
	Age  string       `json:"age"`
	Who  events.Actor `json:"who"`
	What string       `json:"what"`
}

// Question is what Why needs to know.
type Question struct {
	State projections.State
	Key   events.Key
	Now   time.Time
	// At finds any event of the log, to follow causes.
	At func(events.Seq) (events.Envelope, bool)
	// Log has the events that For(State, Key) kept, oldest first.
	Log []events.Envelope
	// Because is what the scheduler says about the pod now, if it was asked.
	Because []events.Reason
	// Config are the changes of the ConfigMaps that the pod mentions since it was
	// made, oldest first.
	Config []ConfigChange
	// Home is the namespace that the asker's commands mean by themselves; empty
	// is "default".
	Home string
}

// Why answers.
func Why(q Question) Answer {
	a := Answer{Subject: q.Key, Reasons: q.Because, home: q.Home}
	o, ok := q.State.Get(q.Key)
	if !ok {
		return q.gone(a)
	}
	q.judge(&a, o)
	if d := o.Deletion; d != nil && q.Key.Resource != events.Pods && q.Key.Resource != events.Namespaces {
		a.Verdict, a.WaitsFor, a.Fix = fmt.Sprintf("is being deleted: %s asked for it", d.Actor), "", ""
		q.kept(&a, o)
		q.users(&a, o)
		q.children(&a, o)
	}
	a.Links = q.links(o)
	return a
}

// judge says how an object stands, without the chain of what led there.
func (q Question) judge(a *Answer, o *projections.Object) {
	switch q.Key.Resource {
	case events.Pods:
		q.pod(a, o)
	case events.Deployments, events.ReplicaSets, events.Controllers:
		q.workload(a, o)
	case events.DaemonSets:
		q.daemons(a, o)
	case events.StatefulSets:
		q.statefulSet(a, o)
	case events.CronJobs:
		q.cron(a, o)
	case events.Jobs:
		q.job(a, o)
	case events.Services:
		q.service(a, o)
	case events.Nodes:
		q.node(a, o)
	case events.Namespaces:
		q.namespace(a, o)
	case events.Claims:
		q.claim(a, o)
	case events.Volumes:
		q.volume(a, o)
	case events.Autoscalers:
		q.scaler(a, o)
	case events.Budgets:
		q.budget(a, o)
	case events.Ingresses:
		q.ingress(a, o)
	default:
		a.Verdict = "exists"
	}
}

// gone explains an object that is not there from the events that spoke of it.
func (q Question) gone(a Answer) Answer {
	a.Verdict = "is not there, and the log never spoke of it"
	var last events.Envelope
	var own []events.Seq
	for _, e := range q.Log {
		k, err := e.Subject.Key()
		if err != nil || k != q.Key || e.Subject.Class() != "spec" {
			continue
		}
		if e.Type.Verb() == events.VerbCreated { // another life began
			own, a.Verdict = nil, ""
		}
		last = e
		own = append(own, e.Seq)
		if e.Type.Verb() == events.VerbDeletionRequested {
			a.Verdict = fmt.Sprintf("is gone: %s asked for its deletion", e.Actor)
		}
	}
	if last.Seq != 0 && last.Type.Verb() == events.VerbRemoved && !strings.HasPrefix(a.Verdict, "is gone") {
		a.Verdict = fmt.Sprintf("is gone: %s removed it", last.Actor)
	}
	a.Links = q.chain(own)
	return a
}

// links are what led to an object: what happened to it last, and who asked.
func (q Question) links(o *projections.Object) []Link {
	var from []events.Seq
	if p, ok := q.State.PodOf(o.Key); ok && o.Key.Resource == events.Pods {
		from = podMoments(p)
	}
	if n, ok := q.State.Node(o.Key.Name); ok && o.Key.Resource == events.Nodes {
		from = append(from, n.Since.Seq)
	}
	if o.Job != nil {
		for _, c := range o.Job.Conditions {
			from = append(from, c.Seq)
		}
	}
	if o.Deletion != nil {
		from = append(from, o.Deletion.Seq)
	}
	from = append(from, o.Changed.Seq, o.Created.Seq)
	for _, w := range owners(q.State, o) {
		from = append(from, w.Changed.Seq, w.Created.Seq)
	}
	return q.chain(from)
}

// podMoments are the events that a pod's present state comes from.
func podMoments(p *projections.Pod) []events.Seq {
	out := []events.Seq{p.Assigned.Seq, p.Stopping.Seq, p.Stopped.Seq, p.FailedAt.Seq}
	for _, c := range p.Containers {
		out = append(out, c.Since.Seq)
	}
	if r := p.Resize; r != nil {
		out = append(out, r.Told.Seq, r.GrantedAt.Seq, r.FailedAt.Seq)
	}
	return out
}

// Chain follows causes from an event, the event itself first.
func Chain(at func(events.Seq) (events.Envelope, bool), from events.Seq) []events.Envelope {
	var out []events.Envelope
	for from != 0 && len(out) < maxChain {
		e, ok := at(from)
		if !ok {
			return out
		}
		out = append(out, e)
		if e.Cause >= from {
			return out // a cause comes before; anything else is a mistake of the writer's
		}
		from = e.Cause
	}
	return out
}

// chain is the causes of all these events, each event once, newest first.
func (q Question) chain(from []events.Seq) []Link {
	seen := map[events.Seq]bool{}
	out := []Link{}
	for _, seq := range from {
		for _, e := range Chain(q.At, seq) {
			if seen[e.Seq] {
				break
			}
			seen[e.Seq] = true
			if q.sibling(e) {
				break // what led to that one is not what led here
			}
			out = append(out, Link{Seq: e.Seq, Time: e.Time, Age: table.Age(q.Now.Sub(e.Time)), Who: who(e), What: withMessage(q.what(e), e.Message)})
		}
	}
	slices.SortFunc(out, func(a, b Link) int { return int(int64(b.Seq) - int64(a.Seq)) })
	return out
}

// sibling tells whether an event is another pod's: one assignment serves many
// pods, and its cause may be any of them, of another owner too.
func (q Question) sibling(e events.Envelope) bool {
	k, err := e.Subject.Key()
	return err == nil && k.Resource == events.Pods && q.Key.Resource == events.Pods && k != q.Key
}

// who appended an event: for a node's facts, the subject says it.
func who(e events.Envelope) events.Actor {
	if e.Subject.Class() == "seen" {
		if node, err := e.Subject.Tail(); err == nil {
			return events.NodeActor(node)
		}
	}
	return e.Actor
}

// String is the answer for people.
func (a Answer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", Spelled(a.Subject, a.home), a.Verdict)
	for _, d := range a.Details {
		b.WriteString("  " + strings.ReplaceAll(strings.TrimRight(d, "\n"), "\n", "\n    ") + "\n")
	}
	if a.WaitsFor != "" {
		fmt.Fprintf(&b, "waits for: %s\n", a.WaitsFor)
	}
	if a.Fix != "" {
		fmt.Fprintf(&b, "fix: %s\n", a.Fix)
	}
	if len(a.Links) == 0 {
		return b.String()
	}
	b.WriteString("because:\n")
	seq, age, by := 0, 0, 0
	for _, l := range a.Links {
		seq, age, by = max(seq, len(fmt.Sprint(l.Seq))), max(age, len(l.Age)), max(by, len(l.Who))
	}
	for i, l := range a.Links {
		arrow := "  "
		if i > 0 {
			arrow = "← "
		}
		fmt.Fprintf(&b, "  %s%*d  %-*s  %-*s  %s\n", arrow, seq, l.Seq, age, l.Age, by, l.Who, l.What)
	}
	return b.String()
}

// JSON is the answer for programs.
func (a Answer) JSON() json.RawMessage { return events.MustBody(a) }
