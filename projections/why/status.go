package why

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// maxLooks is of how many problems the log is read, for when they began and who
// changed what before.
const maxLooks = 20

// Survey is what Look needs to know.
type Survey struct {
	State projections.State
	Now   time.Time
	// Namespace keeps to the objects of one; empty is all.
	Namespace string
	// Home is the namespace that the asker's commands mean by themselves.
	Home string
	// Past reads the events that For(State, Key) keeps, and At any event.
	Past func(events.Key) []events.Envelope
	At   func(events.Seq) (events.Envelope, bool)
}

// Status is what is wrong with a cluster, the worst first.
type Status struct {
	Seq      events.Seq `json:"seq"`
	Time     time.Time  `json:"time"`
	Healthy  bool       `json:"healthy"`
	Problems []Problem  `json:"problems"`
	Notes    []string   `json:"notes,omitempty"` // what is so on purpose, and what is on its way
	Nodes    Count      `json:"nodes"`
	Pods     Count      `json:"pods"` // those that have run to their end do not count

	home string
}

// Count is how many there are and how many of them are as they shall be.
type Count struct {
	Good int `json:"good"`
	All  int `json:"all"`
}

// Problem is one cause and all that suffers from it.
type Problem struct {
	Level   string     `json:"level"`   // down, failing, waiting
	Subject events.Key `json:"subject"` // what a person would look at: the topmost owner, or the object itself
	Example events.Key `json:"example"` // the object that the verdict is of
	Verdict string     `json:"verdict"`
	Details []string   `json:"details,omitempty"`
	// Objects all have the same cause; Affects are services that nobody answers for because of it.
	Objects  []events.Key `json:"objects"`
	Affects  []events.Key `json:"affects,omitempty"`
	Since    time.Time    `json:"since"`
	WaitsFor string       `json:"waitsFor,omitempty"`
	Fix      string       `json:"fix,omitempty"`
	Next     string       `json:"next"`              // a command
	Because  *Link        `json:"because,omitempty"` // the last thing that a person did to it

	level level
}

// look is a Look under way.
type look struct {
	Survey
	found  map[string]*Problem
	order  []*Problem
	of     map[events.Key]*Problem // by object
	moving int
}

// Look finds what is wrong.
func Look(s Survey) Status {
	l := &look{Survey: s, found: map[string]*Problem{}, of: map[events.Key]*Problem{}}
	out := Status{Seq: s.State.Seq, Time: s.Now, home: s.Home, Problems: []Problem{}}
	l.nodes(&out)
	l.pods(&out)
	l.rest()
	for _, p := range l.order {
		l.ask(p, len(out.Problems) < maxLooks)
		out.Problems = append(out.Problems, *p)
	}
	slices.SortStableFunc(out.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(b.level, a.level), cmp.Compare(len(b.Objects), len(a.Objects)), a.Since.Compare(b.Since))
	})
	out.Healthy = len(out.Problems) == 0
	if l.moving > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("%s starting or stopping", many(l.moving, "pod is", "pods are")))
	}
	return out
}

func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// question is one about an object, without its log.
func (l *look) question(k events.Key) Question {
	return Question{State: l.State, Key: k, Now: l.Now, At: l.At, Home: l.Home}
}

func (l *look) nodes(out *Status) {
	for o := range l.State.List(events.Nodes, "") {
		out.Nodes.All++
		var a Answer
		l.question(o.Key).judge(&a, o)
		if n, ok := l.State.Node(o.Key.Name); ok && n.Report.Ready {
			out.Nodes.Good++
			l.conditions(o, n)
		} else {
			f := l.question(o.Key).silence(o.Key.Name)
			if f.since.IsZero() {
				f.since = o.Created.Time
			}
			l.add(o, a, f)
		}
		if projections.As[*corev1.Node](o).Spec.Unschedulable {
			out.Notes = append(out.Notes, fmt.Sprintf("node %s takes no new pods (stave uncordon %s)", o.Key.Name, o.Key.Name))
		}
	}
}

func (l *look) pods(out *Status) {
	for o := range l.State.List(events.Pods, l.Namespace) {
		q := l.question(o.Key)
		var a Answer
		q.judge(&a, o)
		p, ok := l.State.PodOf(o.Key)
		if ok && (!p.Finished(o) || a.fault.level > 0) {
			out.Pods.All++
			if !p.ReadySince.IsZero() && !p.Lost && o.Deletion == nil {
				out.Pods.Good++
			}
		}
		l.add(o, a, a.fault)
	}
}

// rest looks at what has no pods' troubles of its own: services without
// endpoints, namespaces that do not go, and whatever a reconciler gave up on.
func (l *look) rest() {
	for o := range l.State.List(events.Services, l.Namespace) {
		l.service(o)
	}
	for o := range l.State.List(events.Namespaces, "") {
		if o.Deletion == nil || l.Namespace != "" && l.Namespace != o.Key.Name {
			continue
		}
		var a Answer
		q := l.question(o.Key)
		q.judge(&a, o)
		l.add(o, a, fault{level: levelMoving, cause: "namespace " + o.Key.Name, since: o.Deletion.Time, next: q.command("why", o.Key)})
	}
	for o := range l.State.All() {
		v, ok := l.State.Verdict(o.Key)
		if !ok || v.UID != o.UID || len(v.Reasons) == 0 || o.Key.Resource == events.Pods || l.Namespace != "" && o.Key.Namespace != l.Namespace {
			continue
		}
		q := l.question(o.Key)
		a := Answer{Verdict: "does not move: " + projections.Refusal(v.Reasons)}
		for _, r := range v.Reasons {
			a.Details = append(a.Details, r.String())
			a.Fix = cmp.Or(a.Fix, r.Fix)
		}
		l.add(o, a, fault{level: levelFailing, cause: "verdict " + q.owner(o) + a.Verdict, since: v.Time, next: q.command("why", o.Key)})
	}
}

// service joins a service to the problem of the pods behind it, or is one itself.
func (l *look) service(o *projections.Object) {
	spec := &projections.As[*corev1.Service](o).Spec
	if len(spec.Selector) == 0 || spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	ready, nameless := standing(l.State.Backends(o), spec.Ports)
	if ready > 0 {
		return
	}
	any := false
	for pod := range l.State.List(events.Pods, o.Key.Namespace) {
		if !matches(spec.Selector, pod.PodLabels()) {
			continue
		}
		any = true
		if p := l.of[pod.Key]; p != nil {
			p.Affects = append(p.Affects, o.Key)
			return
		}
	}
	if any && nameless == 0 {
		return // they are on their way
	}
	var a Answer
	q := l.question(o.Key)
	q.judge(&a, o)
	next := "stave get pods" + q.dashN() + " --show-labels"
	if nameless > 0 {
		next = q.command("edit", o.Key)
	}
	l.add(o, a, fault{level: levelWaiting, cause: "service " + o.Key.String(), since: o.Changed.Time, next: next})
}

// add joins an object to those of the same cause.
func (l *look) add(o *projections.Object, a Answer, f fault) {
	if f.level == levelMoving {
		if l.Now.Sub(f.since) <= patience {
			l.moving++
			return
		}
		f.level = levelWaiting
	}
	if f.level == 0 {
		return
	}
	id := o.Key.Namespace + " " + f.cause
	if f.level == levelDown {
		id = f.cause // whatever the namespace
	}
	p := l.found[id]
	if p == nil {
		p = &Problem{Example: o.Key, Subject: l.top(o)}
		l.found[id] = p
		l.order = append(l.order, p)
	}
	if f.level > p.level {
		p.level, p.Level = f.level, [...]string{levelWaiting: "waiting", levelFailing: "failing", levelDown: "down"}[f.level]
		p.Example, p.Verdict, p.Details, p.WaitsFor, p.Fix, p.Next = o.Key, cmp.Or(f.said, a.Verdict), a.Details, a.WaitsFor, a.Fix, f.next
	}
	if p.Since.IsZero() || f.since.Before(p.Since) {
		p.Since = f.since
	}
	p.Objects = append(p.Objects, o.Key)
	l.of[o.Key] = p
}

func (l *look) top(o *projections.Object) events.Key {
	if up := owners(l.State, o); len(up) > 0 {
		return up[len(up)-1].Key
	}
	return o.Key
}

// ask reads the log of a problem's example: the registry's words, when it
// began, and what a person did last.
func (l *look) ask(p *Problem, read bool) {
	o, ok := l.State.Get(p.Example)
	if !ok || !read {
		return
	}
	q := l.question(p.Example)
	q.Log = l.Past(p.Example)
	if p.Example.Resource == events.Pods && p.level == levelFailing {
		var a Answer
		q.judge(&a, o)
		p.Verdict, p.Details, p.Next = cmp.Or(a.fault.said, a.Verdict), a.Details, a.fault.next
		if a.fault.since.Before(p.Since) {
			p.Since = a.fault.since
		}
	}
	for _, link := range q.links(o) {
		if strings.HasPrefix(string(link.Who), "user:") {
			p.Because = &link
			return
		}
	}
}

// JSON is the status for programs.
func (s Status) JSON() json.RawMessage { return events.MustBody(s) }
