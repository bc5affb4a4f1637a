package projections

import (
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// assign folds one scheduling pass for one node.
func (f *folding) assign() {
	node, err := f.e.Subject.Tail()
	if err != nil {
		f.unknown()
		return
	}
	b, ok := body[events.Assigned](f)
	if !ok {
		return
	}
	if n, ok := f.s.Node(node); ok {
		node = n.Name
	}
	for _, r := range b.Withdrawn {
		if p, ok := f.podLife(r.Key, r.UID); ok && p.Node == node {
			f.changePod(p, newPod(p.Key, p.UID)) // it never ran there: nothing of it is kept
		}
	}
	for _, r := range b.Pods {
		p, ok := f.podLife(r.Key, r.UID)
		if !ok || p.Node != "" {
			f.s.Void++ // another life, or given already: a pod is given once
			continue
		}
		n := *p
		n.Node, n.Assigned, n.Lost = node, f.mark(), f.silent(node)
		f.changePod(p, &n)
	}
}

// silent tells whether a node is known to have gone quiet.
func (f *folding) silent(node string) bool {
	n, ok := f.s.Node(node)
	return ok && !n.Since.IsZero() && !n.Report.Ready
}

// seen folds one flush of a node. The node is read from the subject, never
// believed from the event.
func (f *folding) seen() {
	node, err := f.e.Subject.Tail()
	if err != nil {
		f.unknown()
		return
	}
	b, ok := body[events.Seen](f)
	if !ok {
		return
	}
	if b.Node != nil {
		f.nodeFacts(node, *b.Node)
	}
	for _, v := range b.Volumes {
		f.volumeSeen(node, v)
	}
	for _, ps := range b.Pods {
		k := events.Key{Resource: events.Pods, Namespace: ps.Namespace, Name: ps.Name}
		p, ok := f.podLife(k, ps.UID)
		if !ok || p.Node != node || p.Assigned.Seq != ps.Assigned {
			f.s.Void++ // not this life, not this node's, or not this assignment
			continue
		}
		n := *p
		n.Containers = slices.Clone(p.Containers)
		for _, fact := range ps.Facts {
			f.borrow(&fact, p)
			f.fact(&n, fact)
		}
		f.settle(p, &n)
		if p.moved(&n) || !reflect.DeepEqual(*p, n) { // after a new lease a node says again what it is not sure of
			f.changePod(p, &n)
		}
	}
}

// borrow puts the words that a pod's spec and its node have in the place of a
// fact's own. They are the same words, and thousands of pods are told of in them.
func (f *folding) borrow(x *events.Fact, p *Pod) {
	if n, ok := f.s.Node(p.Node); ok && x.HostIP != "" {
		x.HostIP = sameWord(x.HostIP, n.Facts.Addresses...)
	}
	o, ok := f.s.Get(p.Key)
	if !ok || x.Container == "" {
		return
	}
	spec := o.PodSpec()
	for _, all := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
		for i := range all {
			if c := &all[i]; c.Name == x.Container {
				x.Container, x.Image, x.ImageID = c.Name, sameWord(x.Image, c.Image), sameWord(x.ImageID, c.Image)
				return
			}
		}
	}
}

func sameWord(word string, known ...string) string {
	if i := slices.Index(known, word); i >= 0 {
		return known[i]
	}
	return word
}

// moved tells whether something happened to a pod that has a moment. It is what
// facts mostly do, and spares the comparison of everything.
func (p *Pod) moved(n *Pod) bool {
	if p.Sandbox.Seq != n.Sandbox.Seq || p.Stopping.Seq != n.Stopping.Seq || p.Stopped.Seq != n.Stopped.Seq ||
		p.ReadyTurned.Seq != n.ReadyTurned.Seq || len(p.Containers) != len(n.Containers) {
		return true
	}
	for i := range p.Containers {
		if p.Containers[i].Since.Seq != n.Containers[i].Since.Seq {
			return true
		}
	}
	return false
}

func (f *folding) podLife(k events.Key, uid events.UID) (*Pod, bool) {
	p, ok := f.s.PodOf(k)
	if !ok || p.UID != uid {
		return nil, false
	}
	return p, true
}

// putPod enters a pod whose row is stored at its place on its node.
func (f *folding) putPod(p *Pod) {
	f.s.onNode = f.s.onNode.with(onNodeKey(p), struct{}{})
	f.use(p, +1)
}

func (f *folding) dropPod(p *Pod) {
	f.s.onNode = f.s.onNode.without(onNodeKey(p))
	f.use(p, -1)
}

// changePod replaces a pod's row and gives its object a new position.
func (f *folding) changePod(before, after *Pod) {
	if before.Node != after.Node {
		f.s.onNode = f.s.onNode.without(onNodeKey(before))
		f.s.onNode = f.s.onNode.with(onNodeKey(after), struct{}{})
	}
	o, ok := f.s.Get(after.Key)
	if !ok {
		return
	}
	if before.Node != after.Node || before.Resize != after.Resize || before.Holds(o) != after.Holds(o) {
		f.use(before, -1)
		f.use(after, +1)
	}
	n := o.clone()
	n.pod = after
	f.set(n)
	c := &f.changes[len(f.changes)-1]
	c.PodBefore, c.PodAfter = before, after
	f.follow(*c)
}

// fillPods adds the unchanged pod row to the change of a pod's object.
func (f *folding) fillPods(i int) {
	c := &f.changes[i]
	if c.Key.Resource != events.Pods {
		return
	}
	if p, ok := f.s.PodOf(c.Key); ok {
		c.PodBefore, c.PodAfter = p, p
	}
}

func onNodeKey(p *Pod) string {
	return p.Node + "\x00" + p.Key.Namespace + "\x00" + p.Key.Name
}
