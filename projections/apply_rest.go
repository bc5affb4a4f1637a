package projections

import (
	"github.com/stave-run/stave/events"
)

func (f *folding) nodeFacts(name string, facts events.NodeFacts) {
	k := events.Key{Resource: events.Nodes, Name: name}
	o, ok := f.s.Get(k)
	if !ok {
		f.s.Void++ // nobody has admitted a node of this name
		return
	}
	n := Node{Name: name}
	if old, ok := f.s.Node(name); ok {
		n = *old
	}
	n.Facts, n.Has, n.Seen = facts, nodeHas(o, facts), f.mark()
	f.putNode(k, n)
}

func (f *folding) putNode(k events.Key, n Node) {
	f.s.nodes = f.s.nodes.with(n.Name, &n)
	f.touch(k, nil)
}

// status folds log.status: what cannot be derived.
func (f *folding) status() {
	k, err := f.e.Subject.Key()
	if err != nil {
		f.unknown()
		return
	}
	if f.e.Type.Verb() == events.VerbStatusWritten {
		f.statusWritten(k)
		return
	}
	if k.Resource == events.Nodes {
		f.nodeReport(k)
		return
	}
	if k.Resource == events.Jobs {
		f.jobReported(k)
		return
	}
	if k.Resource == events.Autoscalers {
		f.scalerReported(k)
		return
	}
	if k.Resource == events.StatefulSets {
		f.revisionsReported(k)
		return
	}
	b, ok := body[events.StatusReported](f)
	if !ok {
		return
	}
	if _, ok := f.life(k, b.UID); ok {
		f.touch(k, func(o *Object) { o.Status = b.Status })
		f.fillPods(len(f.changes) - 1)
	}
}

// statusWritten folds what somebody outside wrote of a status.
func (f *folding) statusWritten(k events.Key) {
	b, ok := body[events.StatusWritten](f)
	if !ok {
		return
	}
	if _, ok := f.life(k, b.UID); !ok {
		return
	}
	f.touch(k, func(o *Object) {
		if o.Status, o.Over = b.Status, b.Over; b.Managed != nil {
			o.Managed = b.Managed
		}
	})
	f.fillPods(len(f.changes) - 1)
	f.gates(k)
	f.weigh(k)
}

func (f *folding) nodeReport(k events.Key) {
	r, ok := body[events.NodeReported](f)
	if !ok {
		return
	}
	if _, ok := f.life(k, r.UID); !ok {
		return
	}
	n := Node{Name: k.Name}
	if old, ok := f.s.Node(k.Name); ok {
		n = *old
	}
	if n.Since.IsZero() || n.Report.Ready != r.Ready {
		n.Since = f.mark()
	}
	n.Report = r
	f.putNode(k, n)
	f.podsOf(k.Name, !r.Ready)
}

// podsOf marks the pods of a node whose silence began or ended.
func (f *folding) podsOf(node string, lost bool) {
	var on []*Pod
	for p := range f.s.PodsOn(node) {
		if p.Lost != lost {
			on = append(on, p)
		}
	}
	for _, p := range on {
		n := *p
		n.Lost = lost
		f.changePod(p, &n)
	}
}

func (f *folding) verdict() {
	k, err := f.e.Subject.Key()
	if err != nil {
		f.unknown()
		return
	}
	b, ok := body[events.Verdict](f)
	if !ok {
		return
	}
	if _, ok := f.life(k, b.UID); !ok {
		return
	}
	f.s.verdicts = f.s.verdicts.with(rowKey(k), &Verdict{Key: k, UID: b.UID, Reasons: b.Reasons, Mark: f.mark()})
	f.touch(k, nil)
	f.fillPods(len(f.changes) - 1)
}
