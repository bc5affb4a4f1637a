package undo

import (
	"encoding/json"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// keepCount leaves the replicas of what an autoscaler scales as they are: that number was never the person's, and what is undone may lie
// hours back. Of what was stopped (0 replicas), then or now, a person said how many there are.
func (u *undoing) keepCount(was, is *projections.Object, raw json.RawMessage) json.RawMessage {
	ref, ok := u.scaledBy(is.Key)
	if !ok {
		return raw
	}
	now, err := u.Now.ScaleOf(is.Key.Namespace, ref)
	then, before := u.Before.ScaleOf(was.Key.Namespace, ref)
	if err != nil || before != nil || now.Wanted == 0 || then.Wanted == 0 || now.Wanted == then.Wanted {
		return raw
	}
	return reconcilers.Sized(raw, now.Path(), now.Wanted)
}

// scaledBy is how an autoscaler that stays names an object.
func (u *undoing) scaledBy(k events.Key) (*autoscalingv2.CrossVersionObjectReference, bool) {
	for o := range u.Now.List(events.Autoscalers, k.Namespace) {
		ref := &projections.As[*autoscalingv2.HorizontalPodAutoscaler](o).Spec.ScaleTargetRef
		if target, err := u.Now.ScaleTarget(k.Namespace, ref); err == nil && target == k && o.Deletion == nil && !u.goes(o.Key) {
			return ref, true
		}
	}
	return nil, false
}

// goes tells whether an object goes by this undo.
func (u *undoing) goes(k events.Key) bool {
	for _, s := range u.steps {
		if s.Key == k {
			return s.Outcome == Deleted
		}
	}
	return false
}
