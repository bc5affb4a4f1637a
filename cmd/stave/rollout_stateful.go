package main

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
)

// statefulLine is what kubectl says of a StatefulSet's rollout.
func (c *rolloutStatusCmd) statefulLine(raw json.RawMessage) (string, bool, error) {
	var o appsv1.StatefulSet
	if err := json.Unmarshal(raw, &o); err != nil {
		return "", false, fmt.Errorf("decode statefulset: %w", err)
	}
	if o.Spec.UpdateStrategy.Type != appsv1.RollingUpdateStatefulSetStrategyType {
		return "", true, fmt.Errorf("rollout status is only available for %s strategy type: of %q each pod gets the new template when it is deleted",
			appsv1.RollingUpdateStatefulSetStrategyType, o.Name)
	}
	want, st := replicasOf(&o), o.Status
	switch {
	case st.ObservedGeneration == 0 || o.Generation > st.ObservedGeneration:
		return "Waiting for statefulset spec update to be observed...", false, nil
	case st.ReadyReplicas < want:
		return fmt.Sprintf("Waiting for %d pods to be ready...", want-st.ReadyReplicas), false, nil
	}
	if r := o.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		if due := want - *r.Partition; st.UpdatedReplicas < due {
			return fmt.Sprintf("Waiting for partitioned roll out to finish: %d out of %d new pods have been updated...", st.UpdatedReplicas, due), false, nil
		}
		return fmt.Sprintf("partitioned roll out complete: %d new pods have been updated...", st.UpdatedReplicas), true, nil
	}
	if st.UpdateRevision != st.CurrentRevision {
		return fmt.Sprintf("waiting for statefulset rolling update to complete %d pods at revision %s...", st.UpdatedReplicas, st.UpdateRevision), false, nil
	}
	return fmt.Sprintf("statefulset rolling update complete %d pods at revision %s...", st.CurrentReplicas, st.CurrentRevision), true, nil
}

func replicasOf(o *appsv1.StatefulSet) int32 {
	if o.Spec.Replicas == nil {
		return 1
	}
	return *o.Spec.Replicas
}

// enlisted tells whether a StatefulSet has its pods, ready, and those of the new template
// that are to have it now; where people choose when one gets it, that they are ready.
func enlisted(raw json.RawMessage) (bool, error) {
	var o appsv1.StatefulSet
	if err := json.Unmarshal(raw, &o); err != nil {
		return false, fmt.Errorf("decode statefulset: %w", err)
	}
	if o.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return o.Status.ObservedGeneration >= o.Generation && o.Status.ReadyReplicas == replicasOf(&o), nil
	}
	return rolledOut(raw)
}
