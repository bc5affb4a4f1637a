package projections

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// maxOwners bounds the way up from a pod: pod, replica set, deployment, and
// room for more. A log that names owners in a circle cannot trap the fold.
const maxOwners = 8

// follow carries a change to the rows that are derived from it: the tallies of
// the owners above it and the endpoints of the services that select it.
func (f *folding) follow(c Change) {
	before, after := c.below(c.Before, c.PodBefore), c.below(c.After, c.PodAfter)
	if c.Key.Resource == events.Pods {
		f.s.ended += after.Failed - before.Failed
	}
	switch {
	case !sameOwner(c.Before, c.After):
		f.carry(c.Before, Tally{}.minus(before), 0)
		f.carry(c.After, after, f.newborn(c))
	case before != after || c.shows():
		f.carry(c.After, after.minus(before), 0)
	}
	switch c.Key.Resource {
	case events.Pods:
		f.endpoints(c)
	case events.Endpoints, events.EndpointSlices:
		f.written(c)
	case events.Claims, events.Volumes:
		f.pairs(c)
	}
	f.budgets(c)
	f.daemons(c)
	f.rations(c)
	f.ends(c)
}

func sameOwner(a, b *Object) bool {
	return a != nil && b != nil && a.Owner != nil && b.Owner != nil && *a.Owner == *b.Owner
}

// newborn is 1 for a child that this event made. Its owner counts it.
func (f *folding) newborn(c Change) uint64 {
	if c.Before == nil && c.After.Created.Seq == f.e.Seq {
		return 1
	}
	return 0
}

// shows tells whether an owner's status may show a change that moves no tally.
// To which node a pod goes and how its containers fare shows in none.
func (c Change) shows() bool {
	b, a := c.PodBefore, c.PodAfter
	return b == nil || a == nil || c.Before.Changed != c.After.Changed || b.ReadySince != a.ReadySince || b.Lost != a.Lost
}

// below is what a row adds to the tallies of its owners.
func (c Change) below(o *Object, p *Pod) Tally {
	switch {
	case o == nil:
		return Tally{}
	case p != nil:
		return countPod(o, p)
	}
	return o.Tally
}

func (t Tally) plus(u Tally) Tally {
	return Tally{Pods: t.Pods + u.Pods, Ready: t.Ready + u.Ready, Terminating: t.Terminating + u.Terminating,
		Failed: t.Failed + u.Failed, Apart: t.Apart + u.Apart}
}

func (t Tally) minus(u Tally) Tally {
	return Tally{Pods: t.Pods - u.Pods, Ready: t.Ready - u.Ready, Terminating: t.Terminating - u.Terminating,
		Failed: t.Failed - u.Failed, Apart: t.Apart - u.Apart}
}

// carry adds a count to all owners of a row, and children to the first.
func (f *folding) carry(o *Object, t Tally, born uint64) {
	for range maxOwners {
		if o == nil || o.Owner == nil {
			return
		}
		owner, ok := f.s.Get(o.OwnerKey())
		if !ok || owner.UID != o.Owner.UID {
			return
		}
		f.touchOnce(owner.Key, func(r *Object) {
			r.Tally = r.Tally.plus(t)
			r.Born += born
		})
		o, born = owner, 0
	}
}

// touchOnce is touch, but a row that this event already changed keeps the
// position it got and is recorded once.
func (f *folding) touchOnce(k events.Key, edit func(*Object)) {
	i, ok := f.changeOf(k)
	if !ok || f.changes[i].After == nil {
		f.touch(k, edit)
		return
	}
	c := f.changes[i]
	if edit == nil {
		return
	}
	// This event made the row, and nobody has seen it yet: it is changed where it is.
	if c.After.Extras == noExtras || c.Before != nil && c.Before.Extras == c.After.Extras {
		c.After.own()
	}
	edit(c.After)
	c.After.typed.Store(nil)
}

// countPod is what one pod adds to its owners' tallies.
func countPod(o *Object, p *Pod) Tally {
	over := ended(o, p)
	switch {
	case over && o.Deletion != nil:
		return Tally{}
	case o.Deletion != nil:
		return Tally{Terminating: 1}
	}
	var t Tally
	if !o.sharesLabels() {
		t.Apart = 1
	}
	switch {
	case p.Failed != nil, over && p.Finished(o):
		t.Failed = 1
	case !over:
		t.Pods = 1
	}
	if !over && !p.ReadySince.IsZero() && !p.Lost {
		t.Ready = 1
	}
	return t
}

// HasEnded tells whether a pod has come to its end, well or badly, and nobody has asked it to go.
func (p *Pod) HasEnded(o *Object) bool { return countPod(o, p).Failed > 0 }

// EndedPods is how many pods have come to their end and stay.
func (s State) EndedPods() int { return s.ended }

// Finished tells whether a pod has run to its end: nothing of it will be started again.
func (p *Pod) Finished(o *Object) bool {
	spec := o.PodSpec()
	if endless(spec) || p.sidecarsRun(spec) {
		return false
	}
	if p.initFailed(spec) {
		return true
	}
	for i := range spec.Containers {
		w := &spec.Containers[i]
		c, ok := p.Container(w.Name)
		if !ok || c.Phase == Running || c.Exit == nil || c.Exit.Run != c.Run || c.sequel(spec, w) != Stays {
			return false // one that could not begin waits, and has an exit all the same
		}
	}
	return true
}

// endpoints touches the services whose backends a pod's change may alter.
func (f *folding) endpoints(c Change) {
	if !endpointMoved(c) {
		return
	}
	for _, o := range []*Object{c.Before, c.After} {
		if o == nil || o == c.After && c.Before != nil && c.Before.Changed == o.Changed {
			continue // the same labels, the same services
		}
		for svc := range f.s.ServicesOf(o) {
			f.touchOnce(svc.Key, nil)
		}
	}
}

// enterSelector enters a service where its pods look for it: below one pair of its
// selector, which each of them has among its labels. An empty one has no pods.
func (f *folding) enterSelector(o *Object) {
	if key, ok := selectorKey(o); ok {
		f.s.selectors = f.s.selectors.with(key, o.Key)
	}
}

func (f *folding) dropSelector(o *Object) {
	if key, ok := selectorKey(o); ok {
		f.s.selectors = f.s.selectors.without(key)
	}
}

func selectorKey(o *Object) (string, bool) {
	if o.Key.Resource != events.Services {
		return "", false
	}
	selector := o.decoded().(*corev1.Service).Spec.Selector
	if len(selector) == 0 {
		return "", false
	}
	first := slices.Sorted(maps.Keys(selector))[0]
	return selectorPrefix(o.Key.Namespace, first, selector[first]) + o.Key.Name, true
}

func selectorPrefix(namespace, label, value string) string {
	return namespace + "\x00" + label + "\x00" + value + "\x00"
}

// endpointMoved tells whether a change can be seen in any service's endpoints.
func endpointMoved(c Change) bool {
	b, a := c.PodBefore, c.PodAfter
	if (b == nil || b.IP == "") && (a == nil || a.IP == "") {
		return false // without an address a pod is behind no service
	}
	if b == nil || a == nil {
		return true
	}
	if b.IP != a.IP || b.Node != a.Node || b.ReadySince.IsZero() != a.ReadySince.IsZero() || b.Lost != a.Lost ||
		b.Stopped.IsZero() != a.Stopped.IsZero() || (b.Failed == nil) != (a.Failed == nil) {
		return true
	}
	return c.Before != nil && c.After != nil &&
		((c.Before.Deletion == nil) != (c.After.Deletion == nil) || c.Before.Changed != c.After.Changed)
}

// selects tells whether a service's selector takes a pod; an empty one takes none.
func selects(selector map[string]string, o *Object) bool {
	if o == nil || len(selector) == 0 {
		return false
	}
	has := o.PodLabels()
	for k, v := range selector {
		if got, ok := has[k]; !ok || got != v {
			return false
		}
	}
	return true
}
