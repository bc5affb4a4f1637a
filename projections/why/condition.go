package why

import (
	"fmt"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// ills are the conditions by which a node says that something is wrong with it.
func ills(n *projections.Node) []events.NodeCondition {
	var out []events.NodeCondition
	for _, c := range n.Facts.Conditions {
		if c.Status {
			out = append(out, c)
		}
	}
	return out
}

// conditions are problems of a node that goes on working.
func (l *look) conditions(o *projections.Object, n *projections.Node) {
	for _, c := range ills(n) {
		q := l.question(o.Key)
		a := Answer{Verdict: c.Type, Details: []string{c.Message}}
		l.add(o, a, fault{level: levelWaiting, cause: "condition " + c.Type + " " + c.Message, since: n.Seen.Time, next: q.command("describe", o.Key)})
	}
}

// unprogrammed says which nodes' tables do not hold a service, or not whole.
func (q Question) unprogrammed(service events.Key) []string {
	var out []string
	for _, u := range projections.UnprogrammedOn(q.State, service) {
		out = append(out, fmt.Sprintf("node %s has it not programmed, or not whole: %s", u.Node, u.Why))
	}
	return out
}
