package projections

import (
	"cmp"

	"github.com/stave-run/stave/events"
)

// NodeRefusal is a node that does not answer for a service, or not on all of its ports.
type NodeRefusal struct {
	Node string
	Why  string // in the node's words, or the reason of its condition
}

// UnprogrammedOn are the nodes whose tables do not hold a service whole.
func UnprogrammedOn(s State, service events.Key) []NodeRefusal {
	var out []NodeRefusal
	for o := range s.List(events.Nodes, "") {
		n, ok := s.Node(o.Key.Name)
		if !ok {
			continue
		}
		for _, c := range n.Facts.Conditions {
			if c.Type != events.ConditionServices || !c.Status {
				continue
			}
			if why, named := events.WhyUnprogrammed(c.Message, service.Namespace+"/"+service.Name); named {
				out = append(out, NodeRefusal{o.Key.Name, cmp.Or(why, c.Reason)})
			}
		}
	}
	return out
}
