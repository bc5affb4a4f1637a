package table

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

func podRow(o *corev1.Pod, age string, now time.Time) []string {
	ready, total := 0, len(o.Spec.Containers)
	for _, c := range o.Status.ContainerStatuses {
		if c.Ready && c.State.Running != nil {
			ready++
		}
	}
	for i := range o.Spec.InitContainers {
		if !projections.Sidecar(&o.Spec.InitContainers[i]) {
			continue
		}
		total++
		if c := statusOf(o.Status.InitContainerStatuses, o.Spec.InitContainers[i].Name); c != nil && c.Ready && c.State.Running != nil {
			ready++
		}
	}
	return []string{o.Name, fmt.Sprintf("%d/%d", ready, total), PodStatus(o), restarts(o, now), age,
		orNone(o.Status.PodIP), orNone(o.Spec.NodeName), orNone(o.Status.NominatedNodeName), gatesWord(o)}
}

// gatesWord is how many of a pod's readiness gates stand open.
func gatesWord(o *corev1.Pod) string {
	if len(o.Spec.ReadinessGates) == 0 {
		return none
	}
	open := 0
	for _, g := range o.Spec.ReadinessGates {
		if slices.ContainsFunc(o.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == g.ConditionType && c.Status == corev1.ConditionTrue }) {
			open++
		}
	}
	return fmt.Sprintf("%d/%d", open, len(o.Spec.ReadinessGates))
}

// PodStatus is the STATUS word of a pod.
func PodStatus(o *corev1.Pod) string {
	reason := string(o.Status.Phase)
	if o.Status.Reason != "" {
		reason = o.Status.Reason
	}
	if projections.HeldBack(&o.Spec) && o.Spec.NodeName == "" {
		reason = corev1.PodReasonSchedulingGated
	}
	if word, initializing := initWord(o); initializing {
		reason = word
	} else {
		reason = containersWord(o, reason)
	}
	switch {
	case o.DeletionTimestamp != nil && o.Status.Reason == projections.NodeLost:
		return "Unknown"
	case o.DeletionTimestamp != nil && o.Status.Phase != corev1.PodSucceeded && o.Status.Phase != corev1.PodFailed:
		return "Terminating"
	}
	return reason
}

// initWord is what the first init container says that is not done; false when all are.
func initWord(o *corev1.Pod) (string, bool) {
	if conditionTrue(o, corev1.PodInitialized) {
		return "", false
	}
	for i := range o.Status.InitContainerStatuses {
		c := &o.Status.InitContainerStatuses[i]
		w, t := c.State.Waiting, c.State.Terminated
		switch {
		case t != nil && t.ExitCode == 0:
		case c.State.Running != nil && c.Started != nil && *c.Started && isSidecar(o, c.Name):
		case t != nil:
			return "Init:" + ended(t), true
		case w != nil && w.Reason != "" && w.Reason != "PodInitializing":
			return "Init:" + w.Reason, true
		default:
			return fmt.Sprintf("Init:%d/%d", i, len(o.Spec.InitContainers)), true
		}
	}
	return "", false
}

func isSidecar(o *corev1.Pod, name string) bool {
	for i := range o.Spec.InitContainers {
		if o.Spec.InitContainers[i].Name == name {
			return projections.Sidecar(&o.Spec.InitContainers[i])
		}
	}
	return false
}

// containersWord is what the first of the other containers says that does not simply run.
func containersWord(o *corev1.Pod, reason string) string {
	running := false
	for i := len(o.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := &o.Status.ContainerStatuses[i]
		switch w, t := c.State.Waiting, c.State.Terminated; {
		case w != nil && w.Reason != "":
			reason = w.Reason
		case t != nil:
			reason = ended(t)
		case c.Ready && c.State.Running != nil:
			running = true
		}
	}
	if reason == "Completed" && running { // some go on
		reason = "Running"
		if !conditionTrue(o, corev1.PodReady) {
			reason = "NotReady"
		}
	}
	return reason
}

func ended(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}

func conditionTrue(o *corev1.Pod, kind corev1.PodConditionType) bool {
	for _, c := range o.Status.Conditions {
		if c.Type == kind {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// restarts is "3 (15s ago)": of the init containers while they are at work, then of the others and the sidecars.
func restarts(o *corev1.Pod, now time.Time) string {
	n := int32(0)
	var last time.Time
	count := func(c *corev1.ContainerStatus) {
		n += c.RestartCount
		if t := c.LastTerminationState.Terminated; t != nil && t.FinishedAt.After(last) {
			last = t.FinishedAt.Time
		}
	}
	_, initializing := initWord(o)
	for i := range o.Status.InitContainerStatuses {
		if c := &o.Status.InitContainerStatuses[i]; initializing || isSidecar(o, c.Name) {
			count(c)
		}
	}
	for i := range o.Status.ContainerStatuses {
		if !initializing {
			count(&o.Status.ContainerStatuses[i])
		}
	}
	if n == 0 || last.IsZero() {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d (%s ago)", n, since(last, now))
}
