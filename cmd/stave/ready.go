package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// readyGoals says what "ready" means for what apply --wait applied; kinds that
// are not here are ready when they are there.
var readyGoals = map[events.Resource]goal{
	events.Deployments:  {kind: goalReady, ready: rolledOut},
	events.DaemonSets:   {kind: goalReady, ready: everywhere},
	events.StatefulSets: {kind: goalReady, ready: enlisted},
	events.ReplicaSets:  {kind: goalReady, ready: allReady},
	events.Controllers:  {kind: goalReady, ready: allReady},
	events.Jobs:         {kind: goalReady, ready: jobEnded},
	events.Pods:         {kind: goalCondition, name: "Ready", want: "True"},
}

// rolledOut tells whether a deployment is what its newest template says: that
// pods of an older one serve meanwhile is not enough.
func rolledOut(raw json.RawMessage) (bool, error) {
	_, done, err := (&rolloutStatusCmd{}).line(raw)
	return done, err
}

// everywhere tells whether each node that suits a DaemonSet has a pod that answers: of
// the newest template, unless people choose when a node gets it.
func everywhere(raw json.RawMessage) (bool, error) {
	var d appsv1.DaemonSet
	if err := json.Unmarshal(raw, &d); err != nil {
		return false, fmt.Errorf("decode daemonset: %w", err)
	}
	if d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		return d.Status.NumberAvailable == d.Status.DesiredNumberScheduled, nil
	}
	return rolledOut(raw)
}

// allReady is of a ReplicaSet or ReplicationController: what is read of either is the same.
func allReady(raw json.RawMessage) (bool, error) {
	var rs appsv1.ReplicaSet
	if err := json.Unmarshal(raw, &rs); err != nil {
		return false, fmt.Errorf("decode replicaset: %w", err)
	}
	return rs.Status.ObservedGeneration >= rs.Generation && rs.Spec.Replicas != nil && rs.Status.ReadyReplicas == *rs.Spec.Replicas, nil
}

// waitForAll waits until what was applied is ready. An image that its registry
// does not have ends it at once. With silent, nothing is printed of what is ready.
func (s *session) waitForAll(ctx context.Context, results []wire.Result, timeout time.Duration, silent bool) error {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p := s.newProgress(true)
	var all []waited
	for _, r := range results {
		g, ok := readyGoals[r.Key.Resource]
		if !ok || r.Error != nil {
			continue
		}
		w := waited{key: r.Key, goal: g, met: printedName(r.Key) + " is ready", impatient: true}
		if silent {
			w.met = ""
		}
		if _, rolls := rollouts[r.Key.Resource]; rolls {
			w.await, w.say = s.awaitRollout(r.Key), rolloutState
		}
		all = append(all, w)
	}
	err := s.awaitAll(waiting, all, p, true)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return goesOn{err, "what was applied goes on without this command; 'stave get " + shortName(all[0].key) + s.dashN(all[0].key) + " -w' follows it"}
	}
	return err
}
