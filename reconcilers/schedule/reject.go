package schedule

import (
	"fmt"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// reject gives pods that name a node without room for them to it, to be failed there before they begin: so a kubelet does,
// and whoever keeps such pods makes others. Those wait whom their owner would replace without a pause, forever.
func (p *pass) reject(pods []*projections.Object, w *wants, reasons []events.Reason) bool {
	n, why := p.short(pods[0], w)
	if n == nil {
		return p.refuse(pods, reasons)
	}
	for _, o := range pods {
		cost := 1
		if len(n.given) == 0 {
			cost++
		}
		if p.steps+cost > maxSteps || p.placed >= MaxPods {
			return false
		}
		if len(n.given) == 0 {
			p.order = append(p.order, n)
		}
		p.steps, p.placed = p.steps+cost, p.placed+1
		n.given = append(n.given, o) // takes nothing of the node
		p.no = append(p.no, reconcilers.Conclude(o, append([]events.Reason{why}, reasons[1:]...)))
	}
	return true
}

// short is the node that a pod names, when all that is wrong is that it has no room for it, and what a kubelet says then.
func (p *pass) short(o *projections.Object, w *wants) (*node, events.Reason) {
	i, ok := p.atlas.find(w.node)
	if !ok || replacedAtOnce(o) {
		return nil, events.Reason{}
	}
	n := p.atlas.nodes[i]
	if !n.ready || w.disks.refuses(n).code != "" || n.rejecting() {
		return nil, events.Reason{}
	}
	r := w.lacks(n)
	out := events.Reason{Code: events.Rejected, About: n.key}
	switch r.code {
	case CodePorts:
		out.What, out.Said = "NodePorts", "Pod was rejected: Predicate NodePorts failed: "+phrase(events.Reason{Code: CodePorts})
	case CodeInsufficient:
		has := n.capacity(r.what)
		out.What = "OutOf" + r.what
		out.Said = fmt.Sprintf("Pod was rejected: Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", r.what, r.need, has-r.have, has)
	default:
		return nil, out
	}
	return n, out
}

// replacedAtOnce tells whether another pod would be made as soon as this one failed.
func replacedAtOnce(o *projections.Object) bool {
	return o.Owner != nil && (o.Owner.Resource == events.ReplicaSets || o.Owner.Resource == events.Controllers)
}

// rejecting tells whether a pod that the node shall fail still counts as there: what the node has is known when it did.
func (n *node) rejecting() bool {
	for row := range n.view.PodsOn(n.name) {
		if o, ok := n.view.Get(row.Key); ok && row.Holds(o) && n.view.Rejection(o) != nil {
			return true
		}
	}
	return false
}

// capacity is how much of a resource the node has in all, in the unit of what it lacks.
func (n *node) capacity(what string) int64 {
	switch what {
	case "pods":
		return int64(n.has.Pods)
	case "cpu":
		return n.has.CPU
	case "memory":
		return n.has.Memory
	}
	return n.has.Extended.Of(what)
}
