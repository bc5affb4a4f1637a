package schedule

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// A node is told in one event of all that it gets in a pass, and tells in one event what became of it: ten pods cost
// everybody on the way little more than one. So pods wait a moment for their like while more of them are being made.
const (
	// patience is how long the oldest of them waits at most.
	patience = 100 * time.Millisecond
	// enough is how many wait for no others.
	enough = MaxPods
	// maxRow is the most pods of a class that a node gets one after the other.
	maxRow = 10
	// smallPart of a node, one so-manieth of it, is what they take of it at most.
	smallPart = 20
)

// coming is how many pods of a class want a node, or will when their set is whole.
func (c *class) coming(v reconcilers.View) int { return len(c.pods) + missing(v, c.pods[0]) }

// choosy tells whether it matters to others' places where the next pod goes, or to whom it goes near.
func (c *claims) choosy() bool {
	return c != nil && (c.near != nil || len(c.apart)+len(c.likes) > 0)
}

// ripe is when the pods of a class are to be placed; zero: at once.
func (c *class) ripe(v reconcilers.View, now time.Time) time.Time {
	oldest := c.pods[0]
	at := oldest.Created.Time.Add(patience)
	if len(c.pods) >= enough || !at.After(now) || missing(v, oldest) == 0 {
		return time.Time{}
	}
	return at
}

// missing is how many others the set that a pod belongs to has yet to make.
func missing(v reconcilers.View, pod *projections.Object) int {
	if pod.Owner == nil || pod.Owner.Resource != events.ReplicaSets {
		return 0
	}
	set, ok := v.Get(pod.OwnerKey())
	if !ok || set.UID != pod.Owner.UID || set.Deletion != nil {
		return 0
	}
	want := projections.As[*appsv1.ReplicaSet](set).Spec.Replicas
	if want == nil {
		return 0
	}
	return max(0, int(*want)-set.Tally.Pods)
}

// split parts the classes that are placed now from those that wait for more of their like, and says when the first of
// these has waited long enough.
func split(v reconcilers.View, all []*class, now time.Time) (ripe []*class, wake time.Time) {
	for _, c := range all {
		at := c.ripe(v, now)
		switch {
		case at.IsZero():
			ripe = append(ripe, c)
		case wake.IsZero() || at.Before(wake):
			wake = at
		}
	}
	return ripe, wake
}
