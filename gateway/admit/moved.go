package admit

import (
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// LastMoved is the last change of what an object should be; of a node also the
// last time that it fell silent or came back. 0 is never. What is derived does
// not count, nor how full a node is: pods come and go all the time.
func LastMoved(v projections.State, k events.Key) events.Seq {
	last := v.LastSpec(k)
	if n, ok := v.Node(k.Name); ok && k.Resource == events.Nodes {
		last = max(last, n.Since.Seq)
	}
	return last
}

// Unmoved compares what was read with a view: what has moved since, with its
// newest change. Where nodes were read, a node that was not there then counts.
func Unmoved(v projections.State, reads []wire.Read) []wire.Moved {
	var out []wire.Moved
	nodes := map[events.Key]bool{}
	for _, r := range reads {
		if r.Key.Resource == events.Nodes {
			nodes[r.Key] = true
		}
		if now := LastMoved(v, r.Key); now != r.Seq {
			out = append(out, wire.Moved{Read: r, Now: now})
		}
	}
	for o := range v.List(events.Nodes, "") {
		if len(nodes) > 0 && !nodes[o.Key] {
			out = append(out, wire.Moved{Read: wire.Read{Key: o.Key}, Now: o.Created.Seq})
		}
	}
	return out
}
