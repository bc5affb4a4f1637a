package reconcilers

import (
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Lingers tells whether something of an object may still run: a pod that a node
// has which is a member and has not said that it stopped, unless somebody asked
// not to wait for that.
func Lingers(v View, o *projections.Object) bool {
	p, ok := v.PodOf(o.Key)
	if !ok || o.Key.Resource != events.Pods || p.Node == "" || !p.Stopped.IsZero() || o.Deletion != nil && o.Deletion.Force {
		return false
	}
	_, member := v.Get(events.Key{Resource: events.Nodes, Name: p.Node})
	return member
}

// Freed tells whether a change gives room back to a node: a pod that goes, or may have less than before.
func Freed(c projections.Change) bool {
	if c.Before == nil || c.PodBefore == nil || !c.PodBefore.Holds(c.Before) {
		return false
	}
	return c.After == nil || c.PodAfter == nil || !c.PodAfter.Holds(c.After) || c.PodBefore.Resize != c.PodAfter.Resize
}

// Leave drafts the end of an object that nobody waits for but its finalizers.
func Leave(o *projections.Object) Draft {
	if len(o.Keepers()) > 0 {
		return RequestDeletion(o, events.DeletionRequested{})
	}
	return Remove(o)
}

// Gone drafts that an object is gone: with a service the Endpoints that somebody wrote under its name, as in Kubernetes.
func Gone(v View, o *projections.Object) []Draft {
	out := []Draft{Remove(o)}
	if o.Key.Resource != events.Services {
		return out
	}
	k := o.Key
	k.Resource = events.Endpoints
	if e, ok := v.Get(k); ok && e.Deletion == nil && e.Owner == nil && len(e.Owners) == 0 { // whoever owns them sees to them
		out = append(out, Leave(e))
	}
	return out
}

// Kept is the reason of an object that its finalizers keep.
func Kept(o *projections.Object, keepers []string) events.Reason {
	return events.Reason{Code: "FinalizersRemaining", About: o.Key, What: strings.Join(keepers, ", "), Need: "whoever put them there to take them off",
		Fix: "if nobody will any more, take them out of metadata.finalizers; what they stand for is not done then"}
}
