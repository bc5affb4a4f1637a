package projections

import (
	"github.com/stave-run/stave/events"
)

// spec folds log.spec: an object created, changed, wanted gone, or removed.
func (f *folding) spec() {
	k, err := f.e.Subject.Key()
	if err != nil {
		f.unknown()
		return
	}
	if !f.s.defined(k.Resource) {
		f.unknown()
		return
	}
	f.about = k
	switch f.e.Type.Verb() {
	case events.VerbCreated:
		f.created(k)
	case events.VerbChanged:
		f.changed(k)
	case events.VerbDeletionRequested:
		f.deletionRequested(k)
	case events.VerbRemoved:
		f.removed(k)
	case events.VerbResized:
		f.resized(k)
	default:
		f.unknown()
	}
	if k.Resource == events.Definitions && len(f.changes) > 0 {
		f.s.kinds = f.s.definedKinds()
	}
}

func (f *folding) created(k events.Key) {
	b, ok := body[events.Created](f)
	if !ok {
		return
	}
	if _, exists := f.s.Get(k); exists {
		f.drop() // one life at a time
		return
	}
	t, ok := f.templateOf(b.Template)
	if !ok {
		return
	}
	o := &Object{Key: k, UID: b.UID, Owner: f.owner(b.Owner, k), Created: f.mark(), Changed: f.mark(), Generation: 1,
		Template: t, Raw: b.Object, Extras: Extras{Applied: b.Applied, Managed: b.Managed, Set: b.Set, Owners: b.Owners}.shared()}
	f.s.lastSpec = f.s.lastSpec.without(rowKey(k)) // an earlier life's
	if k.Resource == events.Pods {
		o.pod = newPod(k, b.UID)
	}
	f.set(o)
	if o.pod != nil {
		f.putPod(o.pod)
		f.changes[len(f.changes)-1].PodAfter = o.pod
	}
	f.adopt(o)
	f.follow(f.changes[len(f.changes)-1])
	f.scheduled(o)
}

// owner is a child's owner, in the words of the owner's own row: thousands of children have one.
func (f *folding) owner(w *events.Owner, child events.Key) *events.Owner {
	if w == nil {
		return nil
	}
	if o, ok := f.s.Get(w.Key(child)); ok && o.UID == w.UID {
		w.Name, w.UID = o.Key.Name, o.UID
	}
	return w
}

func (f *folding) changed(k events.Key) {
	b, ok := body[events.Changed](f)
	if !ok {
		return
	}
	o, ok := f.life(k, b.UID)
	if !ok {
		return
	}
	t, ok := f.templateOf(b.Template)
	if !ok {
		return
	}
	n := o.clone()
	n.Changed, n.Generation, n.Owner, n.Template, n.Raw = f.mark(), b.Generation, f.owner(b.Owner, k), t, b.Object
	x := n.own()
	x.Applied, x.Managed, x.Set, x.Owners = b.Applied, b.Managed, b.Set, b.Owners
	if n.Deletion != nil && len(b.Released) > 0 {
		n.Deletion = n.Deletion.without(b.Released)
	}
	n.body.Store(nil)
	f.disown(o)
	p, isPod := f.s.PodOf(k)
	if isPod = isPod && k.Resource == events.Pods; isPod {
		f.dropPod(p) // what it asks for may change with its spec
		n.pod = f.wishes(o, n, p)
	}
	f.set(n)
	if isPod {
		c := &f.changes[len(f.changes)-1]
		c.PodBefore, c.PodAfter = p, n.pod
		f.putPod(n.pod)
	}
	f.adopt(n)
	f.follow(f.changes[len(f.changes)-1])
}

func (f *folding) deletionRequested(k events.Key) {
	b, ok := body[events.DeletionRequested](f)
	if !ok {
		return
	}
	o, ok := f.life(k, b.UID)
	if !ok {
		return
	}
	n := o.clone()
	n.Deletion = &Deletion{Mark: f.mark(), Grace: b.Grace, Orphan: b.Orphan, Foreground: b.Foreground, Force: b.Force, Actor: f.e.Actor, For: b.For, Disrupts: b.Disrupts}
	if d := o.Deletion; d != nil && b.Disrupts == "" {
		n.Deletion.Disrupts = d.Disrupts // it is hurried, and goes for the same reason
	}
	if p, ok := f.s.PodOf(k); ok && k.Resource == events.Pods && p.Holds(o) {
		f.join(o, p.Node, -1)
		f.join(n, p.Node, +1)
	}
	f.set(n)
	f.fillPods(len(f.changes) - 1)
	f.follow(f.changes[len(f.changes)-1])
}

func (f *folding) removed(k events.Key) {
	b, ok := body[events.Removed](f)
	if !ok {
		return
	}
	o, ok := f.life(k, b.UID)
	if !ok {
		return
	}
	c := Change{Key: k, Before: o}
	if p, ok := f.s.PodOf(k); ok && k.Resource == events.Pods {
		c.PodBefore = p
		f.dropPod(p)
	}
	f.s.objects = f.s.objects.without(rowKey(k))
	f.s.verdicts = f.s.verdicts.without(rowKey(k))
	if k.Resource == events.Nodes {
		f.s.nodes = f.s.nodes.without(k.Name)
	}
	f.disown(o)
	f.record(c)
	f.follow(f.changes[len(f.changes)-1])
}

// life finds the row if the event means its present life; else the event is void.
func (f *folding) life(k events.Key, uid events.UID) (*Object, bool) {
	o, ok := f.s.Get(k)
	if !ok || o.UID != uid {
		f.drop()
		return nil, false
	}
	return o, true
}

// templateOf finds a template by hash. A body that refers to one which the log
// does not hold cannot be read and is void.
func (f *folding) templateOf(h events.Hash) (*Template, bool) {
	if h == "" {
		return nil, true
	}
	t, ok := f.s.Template(h)
	if !ok {
		f.drop()
	}
	if ok && t.Idle != 0 {
		t = &Template{Hash: t.Hash, Raw: t.Raw}
		f.s.templates = f.s.templates.with(string(h), t)
	}
	return t, ok
}

// adopt enters an object where others look for it: with its owner, or among
// those that have none.
func (f *folding) adopt(o *Object) {
	f.enterSelector(o)
	f.s.children = f.s.children.with(childKey(o), struct{}{})
	for _, uid := range o.others() {
		f.s.dependents = f.s.dependents.with(dependentKey(uid, o), o.Key)
	}
}

func (f *folding) disown(o *Object) {
	f.dropSelector(o)
	f.s.children = f.s.children.without(childKey(o))
	for _, uid := range o.others() {
		f.s.dependents = f.s.dependents.without(dependentKey(uid, o))
	}
}

// childKey begins with the controller's uid, which is empty for an orphan.
func childKey(o *Object) string { return dependentKey(o.controller(), o) }

// OwnerKey is the key of the object's controller; Owner must not be nil.
func (o *Object) OwnerKey() events.Key { return o.Owner.Key(o.Key) }

func (f *folding) template() {
	h, err := f.e.Subject.Tail()
	if err != nil || !readableTemplate(f.e.Body) || string(events.HashOf(f.e.Body)) != h {
		f.drop()
		return
	}
	f.s.templates = f.s.templates.with(h, &Template{Hash: events.Hash(h), Raw: f.e.Body})
}
