// Package schedule gives waiting pods to nodes. One pass filters the nodes once
// for each class of equal pods and then takes them from a heap, the least loaded
// first; what no node takes gets a verdict that says why.
package schedule

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Pass is the key of a scheduling pass: there is one for the whole cluster.
var Pass = events.Key{Resource: events.Pods, Name: "*"}

// The bounds of one pass: a pass costs as much as there are nodes, so few large
// ones are better than many small ones.
const (
	// MaxPods is the most pods that one pass places.
	MaxPods = 1000
	// maxSteps is the most events of one pass: nodes that get pods, and verdicts.
	maxSteps = 500
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "schedule" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 12 }

// MaxSteps implements reconcilers.Wide.
func (Reconciler) MaxSteps() int { return maxSteps }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return []events.Resource{events.Pods, events.Nodes, events.Namespaces, events.Services, events.ReplicaSets, events.Controllers, events.PriorityClasses, events.Budgets,
		events.Claims, events.Volumes, events.StorageClasses}
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{events.PodsAssigned, events.TypeOf(events.Pods, events.VerbVerdict), events.TypeOf(events.Pods, events.VerbDeletionRequested),
		events.TypeOf(events.Claims, events.VerbChanged)}
}

// Keys implements reconcilers.Reconciler: a pod that waits, or room for those
// that do.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	if asks(v, c) {
		return []events.Key{Pass}
	}
	return nil
}

func asks(v reconcilers.View, c projections.Change) bool {
	switch {
	case c.Key.Resource == events.Nodes, c.Key.Resource == events.Namespaces,
		c.Key.Resource == events.Claims, c.Key.Resource == events.Volumes, c.Key.Resource == events.StorageClasses:
		return anyWaiting(v)
	case c.Key.Resource != events.Pods:
		return false
	case c.After != nil && c.PodAfter != nil && c.PodAfter.Node == "" && !seeks(c.After.PodSpec()):
		return false
	case c.After != nil && c.PodAfter != nil && c.PodAfter.Node == "" && c.After.Deletion == nil:
		// A verdict of ours changes neither: no reason to look again.
		return c.Before == nil || c.PodBefore != c.PodAfter || c.Before.Changed != c.After.Changed
	}
	return (reconcilers.Freed(c) || counts(c)) && anyWaiting(v)
}

// seeks tells whether a pod wants a node of us: no other scheduler shall bind it, and nobody holds it back.
func seeks(spec *corev1.PodSpec) bool { return projections.Ours(spec) && !projections.HeldBack(spec) }

// counts tells whether a pod on a node counts otherwise for those that look at
// where others are: it leaves, or its labels may have changed. One that is given a
// node lets others in too, but then the pass that gave it looks at them again; unless
// it was none of ours.
func counts(c projections.Change) bool {
	if c.Before == nil || c.After == nil || c.PodAfter == nil {
		return false
	}
	other := c.Before.Deletion == nil && c.After.Deletion != nil || c.Before.Changed != c.After.Changed ||
		c.PodBefore != nil && c.PodBefore.Node != c.PodAfter.Node && !projections.Ours(c.After.PodSpec())
	return other && c.PodAfter.Holds(c.After)
}

func anyWaiting(v reconcilers.View) bool {
	for range v.PodsOn("") {
		return true
	}
	return false
}

// Decide implements reconcilers.Reconciler.
func (Reconciler) Decide(v reconcilers.View, _ events.Key, now time.Time) reconcilers.Decision {
	classes, wake := split(v, classesOf(v), now)
	if len(classes) == 0 {
		return reconcilers.Decision{WakeAt: wake}
	}
	p := &pass{v: v, now: now, classes: len(classes), atlas: atlasOf(nodesOf(v)), d: reconcilers.Decision{WakeAt: wake}}
	for i, c := range classes {
		c.want.looks = looks(i, len(classes), now)
		if !p.place(c, i == len(classes)-1) {
			p.d.More = true
			break
		}
	}
	p.look()
	p.write()
	return p.d
}

// class is equal pods, oldest first: what fits one fits all.
type class struct {
	want *wants
	pods []*projections.Object
}

// classesOf sorts the waiting pods into classes: the most important first, of those
// that are equally so the one with the oldest pod.
func classesOf(v reconcilers.View) []*class {
	var out []*class
	var waiting []*projections.Object
	for row := range v.PodsOn("") {
		if o, ok := v.Get(row.Key); ok && o.Deletion == nil && seeks(o.PodSpec()) {
			waiting = append(waiting, o)
		}
	}
	slices.SortFunc(waiting, func(a, b *projections.Object) int {
		return cmp.Or(cmp.Compare(projections.PriorityOf(b.PodSpec()), projections.PriorityOf(a.PodSpec())), cmp.Compare(a.Created.Seq, b.Created.Seq))
	})
	byKey := map[string]*class{}
	for _, o := range waiting {
		id := classID(o)
		c, ok := byKey[id]
		if !ok {
			c = &class{want: wantsOf(v, o)}
			byKey[id] = c
			out = append(out, c)
		}
		c.pods = append(c.pods, o)
	}
	return out
}

// classID is the template in a namespace, or the pod itself when it has a spec,
// labels or claims of its own.
func classID(o *projections.Object) string {
	if o.Bare() && !slices.ContainsFunc(o.PodSpec().Volumes, func(v corev1.Volume) bool { return v.Ephemeral != nil }) {
		return o.Key.Namespace + "\x00" + string(o.Template.Hash)
	}
	return string(o.UID)
}

// pass is one decision under way.
type pass struct {
	v       reconcilers.View // with the pods of the classes that are done on their nodes
	now     time.Time
	classes int // of pods that wait
	atlas   *atlas
	order   []*node // in the order in which they first got a pod
	placed  int
	steps   int // events that the pass will hold
	clears  []*projections.Object
	no      []reconcilers.Draft // verdicts on pods that their node is given to fail: it has to know before it has them
	left    []left
	chosen  map[events.Key]bool   // claims whose node this pass chose
	held    map[events.Key]string // exclusive claims that pods of this pass got, and which pod
	room    *room                 // what is known of pods that may have to go; nil until one is asked about
	d       reconcilers.Decision
}

// left are pods that no node took because of where others are.
type left struct {
	pods   []*projections.Object
	want   *wants
	claims *claims
	why    []events.Reason
	placed int // how many pods had got a node by then
}

// place gives the pods of a class to nodes; what is left gets a verdict. It
// tells whether the pass has room for more.
func (p *pass) place(c *class, last bool) bool {
	claims := claimsOf(p.v, p.atlas, c.pods[0], c.want)
	f := fieldOf(c.want, claims, p.atlas)
	if !claims.choosy() {
		f.coming = c.coming(p.v)
	}
	settled := p.v
	for i, o := range c.pods {
		c.want.disks.meet(p.held)
		n := f.best()
		if n != nil && c.want.disks.refuses(n).code != "" {
			n = nil // the pod before it has what no two may have
		}
		if n == nil {
			p.v = settled
			return p.leave(c.pods[i:], c.want, claims)
		}
		if c.want.disks.open() {
			p.v = settled
			return p.choose(n, o, c.want) // the others of its class have to be where its volumes will be
		}
		if !p.give(n, o, c.want) {
			return false
		}
		p.held = c.want.disks.hold(p.held, o)
		f.took()
		if !last {
			settled = settled.Settled(o, n.name)
		}
	}
	p.v = settled
	return true
}

// leave concludes why pods wait, what filled up during the pass too. Pods that
// others may yet let in are looked at again when all have had their turn.
func (p *pass) leave(pods []*projections.Object, w *wants, c *claims) bool {
	looked := p.atlas.open(w)
	why := explain(w, c, looked)
	p.d.Because = append(p.d.Because, why...)
	reasons := summary(why, len(looked), len(p.atlas.nodes))
	c.name(reasons)
	hopeful := func(r events.Reason) bool { return r.Code == CodeSkew || r.Code == CodePodAffinity }
	if slices.ContainsFunc(reasons, hopeful) {
		p.left = append(p.left, left{pods, w, c, reasons, p.placed})
		return true
	}
	return p.conclude(pods, w, c, reasons)
}

// look asks for another pass where pods got a node that others may have waited
// for, and tells the rest why they wait.
func (p *pass) look() {
	for _, l := range p.left {
		switch {
		case p.d.More:
			return
		case p.placed > l.placed || !p.conclude(l.pods, l.want, l.claims, l.why):
			p.d.More = true
		}
	}
}

func (p *pass) give(n *node, o *projections.Object, want *wants) bool {
	cost := 0
	if len(n.given) == 0 {
		cost++
	}
	held := blamed(p.v, o)
	if held {
		cost++
	}
	if p.steps+cost > maxSteps || p.placed >= MaxPods {
		return false
	}
	p.steps, p.placed = p.steps+cost, p.placed+1
	if held {
		p.clears = append(p.clears, o)
	}
	if len(n.given) == 0 {
		p.order = append(p.order, n)
	}
	n.given = append(n.given, o)
	n.used = n.used.Add(want.usage, +1)
	n.take(o, want.ports)
	return true
}

// blamed tells whether a verdict holds the pod.
func blamed(v reconcilers.View, o *projections.Object) bool {
	was, ok := v.Verdict(o.Key)
	return ok && was.UID == o.UID && len(was.Reasons) > 0
}

// refuse concludes why pods wait, when they do not wait for the same already.
func (p *pass) refuse(pods []*projections.Object, reasons []events.Reason) bool {
	for _, o := range pods {
		was, ok := p.v.Verdict(o.Key)
		if ok && was.UID == o.UID && sameCodes(was.Reasons, reasons) {
			continue
		}
		if p.steps >= maxSteps {
			return false
		}
		p.steps++
		p.d.Events = append(p.d.Events, reconcilers.Conclude(o, reasons))
	}
	return true
}

// write drafts what was given, one event a node, before the verdicts.
func (p *pass) write() {
	out := p.no
	for _, n := range p.order {
		body := events.Assigned{Pods: make([]events.Ref, 0, len(n.given))}
		for _, o := range n.given {
			body.Pods = append(body.Pods, events.Ref{Key: o.Key, UID: o.UID})
		}
		out = append(out, reconcilers.Assign(n.name, body))
	}
	for _, o := range p.clears {
		out = append(out, reconcilers.Conclude(o, nil))
	}
	p.d.Events = append(out, p.d.Events...)
}
