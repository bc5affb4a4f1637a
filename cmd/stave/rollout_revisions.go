package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// rollout is how a kind of workload comes to a new template.
type rollout struct {
	revisions events.Resource // the objects that keep its earlier ones
	line      func(c *rolloutStatusCmd, raw json.RawMessage) (said string, done bool, err error)
	done      string // what is said at the end, in kubectl's words, of a name
}

// What is said at the end, in kubectl's words.
const (
	deploymentDone = "deployment %q successfully rolled out"
	daemonDone     = "daemon set %q successfully rolled out"
	statefulDone   = "statefulset %q successfully rolled out"
)

// rollouts are the kinds that roll out.
var rollouts = map[events.Resource]rollout{
	events.Deployments:  {events.ReplicaSets, (*rolloutStatusCmd).deploymentLine, deploymentDone},
	events.DaemonSets:   {events.Revisions, (*rolloutStatusCmd).daemonLine, daemonDone},
	events.StatefulSets: {events.Revisions, (*rolloutStatusCmd).statefulLine, statefulDone},
}

// templateIn is the template of a workload that rolls out, nil of anything else.
func templateIn(o events.Object) *corev1.PodTemplateSpec {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.DaemonSet:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	}
	return nil
}

// paused tells whether changes of a workload's template wait.
func paused(o events.Object) bool {
	d, ok := o.(*appsv1.Deployment)
	return ok && d.Spec.Paused
}

// revision is one earlier template of a workload, or the present one.
type revision struct {
	number   int64
	kept     events.Object // what keeps it: a ReplicaSet or a ControllerRevision
	template corev1.PodTemplateSpec
}

// revisionOf reads what keeps a revision; false when nobody has counted it yet.
func revisionOf(o events.Object) (revision, bool) {
	switch o := o.(type) {
	case *appsv1.ReplicaSet:
		n, err := strconv.ParseInt(o.Annotations[revisionAnnotation], 10, 64)
		r := revision{n, o, *o.Spec.Template.DeepCopy()}
		delete(r.template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
		return r, err == nil
	case *appsv1.ControllerRevision:
		r := revision{number: o.Revision, kept: o}
		held, err := projections.HeldTemplate(o)
		if held != nil {
			r.template = *held
		}
		return r, err == nil
	}
	return revision{}, false
}

// revisions are those of a workload, oldest first.
func (s *session) revisions(ctx context.Context, k events.Key, of events.Object) ([]revision, error) {
	reply, err := s.read(ctx, wire.ReadRequest{Resource: rollouts[k.Resource].revisions, Namespace: k.Namespace})
	if err != nil {
		return nil, err
	}
	objects, err := decodeAll(reply.Objects)
	if err != nil {
		return nil, err
	}
	var out []revision
	for _, o := range objects {
		if !slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == of.GetUID() }) {
			continue
		}
		if r, ok := revisionOf(o); ok {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b revision) int { return cmp.Compare(a.number, b.number) })
	return out, nil
}

// daemonLine is what kubectl says of a DaemonSet's rollout.
func (c *rolloutStatusCmd) daemonLine(raw json.RawMessage) (string, bool, error) {
	var d appsv1.DaemonSet
	if err := json.Unmarshal(raw, &d); err != nil {
		return "", false, fmt.Errorf("decode daemonset: %w", err)
	}
	if d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		return "", true, fmt.Errorf("rollout status is only available for %s strategy type: of %q each node gets the new template when its pod is deleted",
			appsv1.RollingUpdateDaemonSetStrategyType, d.Name)
	}
	if d.Generation > d.Status.ObservedGeneration {
		return "Waiting for daemon set spec update to be observed...", false, nil
	}
	waiting := fmt.Sprintf("Waiting for daemon set %q rollout to finish: ", d.Name)
	switch st := d.Status; {
	case st.UpdatedNumberScheduled < st.DesiredNumberScheduled:
		return fmt.Sprintf("%s%d out of %d new pods have been updated...", waiting, st.UpdatedNumberScheduled, st.DesiredNumberScheduled), false, nil
	case st.NumberAvailable < st.DesiredNumberScheduled:
		return fmt.Sprintf("%s%d of %d updated pods are available...", waiting, st.NumberAvailable, st.DesiredNumberScheduled), false, nil
	}
	return fmt.Sprintf(daemonDone, d.Name), true, nil
}
