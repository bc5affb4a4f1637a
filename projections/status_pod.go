package projections

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// podStatus fills in what scheduler and node said of a pod.
func (s State) podStatus(o *Object, v *corev1.Pod) {
	st := &v.Status
	st.QOSClass = QOSClass(&v.Spec)
	p, ok := s.PodOf(o.Key)
	if !ok || p.UID != o.UID {
		st.Phase = corev1.PodPending
		return
	}
	if p.Node != "" {
		v.Spec.NodeName = p.Node
		st.StartTime = stampOf(p.Assigned.Time)
		s.addresses(p, st)
		st.ObservedGeneration = p.observed(o)
	} else {
		st.NominatedNodeName = s.Nominated(o)
	}
	// A pod that was rejected before anything of it was made has no containers, and waits for none.
	if p.Node != "" && (p.Failed == nil || len(p.Containers) > 0) {
		waits := waitCreating
		if len(v.Spec.InitContainers) > 0 {
			waits = waitInitializing
		}
		for i := range v.Spec.InitContainers {
			st.InitContainerStatuses = append(st.InitContainerStatuses, initStatus(p, &v.Spec.InitContainers[i], waits))
		}
		for i := range v.Spec.Containers {
			st.ContainerStatuses = append(st.ContainerStatuses, containerStatus(p, &v.Spec.Containers[i], waits))
		}
	}
	p.showResources(v)
	if p.Node != "" {
		for c := range Ephemeral(&v.Spec) {
			st.EphemeralContainerStatuses = append(st.EphemeralContainerStatuses, ephemeralStatus(p, c))
		}
	}
	st.Phase = phaseOf(p, v)
	if p.Failed != nil {
		st.Reason, st.Message = p.Failed.Reason, p.Failed.Message
	}
	if p.Lost && o.Deletion != nil {
		st.Reason = NodeLost
		st.Message = fmt.Sprintf("Node %s which was running pod %s is unresponsive", p.Node, o.Key.Name)
	}
	st.Conditions = s.podConditions(o, p, v)
}

// observed is the generation of a pod that its node goes by; 0 until it said anything of the pod.
func (p *Pod) observed(o *Object) int64 {
	switch {
	case !p.Stopping.IsZero():
		return o.generation()
	case p.Observed > 0:
		return p.Observed
	case !p.Sandbox.IsZero() || len(p.Containers) > 0 || p.Failed != nil:
		return 1
	}
	return 0
}

// NodeLost is the reason of a pod that is to go and whose node is silent.
const NodeLost = "NodeLost"

func (s State) addresses(p *Pod, st *corev1.PodStatus) {
	st.HostIP = p.HostIP
	if n, ok := s.Node(p.Node); ok && st.HostIP == "" && len(n.Facts.Addresses) > 0 {
		st.HostIP = n.Facts.Addresses[0]
	}
	if st.HostIP != "" {
		st.HostIPs = []corev1.HostIP{{IP: st.HostIP}}
	}
	if p.IP != "" {
		st.PodIP, st.PodIPs = p.IP, []corev1.PodIP{{IP: p.IP}}
	}
}

// phaseOf sums the containers up as the kubelet does.
func phaseOf(p *Pod, v *corev1.Pod) corev1.PodPhase {
	if p.Failed != nil {
		return corev1.PodFailed
	}
	beside := p.sidecarsRun(&v.Spec)
	if p.initFailed(&v.Spec) && !beside {
		return corev1.PodFailed
	}
	var waiting, running, stopped, succeeded, over int
	for i := range v.Spec.Containers {
		w := &v.Spec.Containers[i]
		c, ok := p.Container(w.Name)
		switch {
		case !ok || c.Phase == Waiting && c.Exit == nil:
			waiting++
		case c.Phase == Running:
			running++
		default:
			stopped++
			if c.Exit.Code == 0 && c.Phase == Terminated {
				succeeded++
			}
			if c.sequel(&v.Spec, w) == Stays {
				over++
			}
		}
	}
	switch {
	case waiting > 0 || len(v.Spec.Containers) == 0:
		return corev1.PodPending
	case running > 0 || beside || over < stopped:
		return corev1.PodRunning
	case succeeded == stopped:
		return corev1.PodSucceeded
	}
	return corev1.PodFailed
}

// waitInitializing is what all containers of a pod wait for that has init containers.
const waitInitializing = "PodInitializing"

// initStatus is that of an init container: one that has run to its end counts as ready.
func initStatus(p *Pod, spec *corev1.Container, waits string) corev1.ContainerStatus {
	st := containerStatus(p, spec, waits)
	if t := st.State.Terminated; t != nil && t.ExitCode == 0 && !Sidecar(spec) {
		st.Ready = true
	}
	return st
}

func containerStatus(p *Pod, spec *corev1.Container, waits string) corev1.ContainerStatus {
	c, ok := p.Container(spec.Name)
	if !ok || c.Phase == Waiting && c.Reason == waitCreating {
		c.Name, c.Reason = spec.Name, waits
	}
	st := corev1.ContainerStatus{Name: spec.Name, Image: spec.Image, ImageID: c.ImageID, Ready: c.Ready && p.Stopped.IsZero(),
		RestartCount: int32(max(0, c.Run-1)), ContainerID: containerURL(c.ContainerID)}
	if c.Image != "" {
		st.Image = c.Image
	}
	started := c.Phase == Running && (c.Up || c.Ready || spec.StartupProbe == nil)
	st.Started = &started
	last := c.Last
	switch c.Phase {
	case Running:
		st.State.Running = &corev1.ContainerStateRunning{StartedAt: stamp(c.StartedAt)}
	case Terminated:
		st.State.Terminated = terminated(c.Exit)
	default:
		st.State.Waiting = &corev1.ContainerStateWaiting{Reason: c.Reason, Message: c.Message}
		if c.Exit != nil {
			last = c.Exit
		}
	}
	st.LastTerminationState.Terminated = terminated(last)
	return st
}

func terminated(x *Exit) *corev1.ContainerStateTerminated {
	if x == nil {
		return nil
	}
	reason := x.Reason
	switch {
	case reason != "":
	case x.OOM:
		reason = "OOMKilled"
	case x.Code == 0:
		reason = "Completed"
	default:
		reason = "Error"
	}
	t := &corev1.ContainerStateTerminated{ExitCode: int32(x.Code), Signal: int32(x.Signal), Reason: reason, Message: x.Message,
		FinishedAt: stamp(x.FinishedAt), ContainerID: containerURL(x.ContainerID)}
	if !x.StartedAt.IsZero() {
		t.StartedAt = stamp(x.StartedAt)
	}
	return t
}

// containerURL is a container's id as Kubernetes prints it, with its runtime.
func containerURL(id string) string {
	if id == "" || strings.Contains(id, "://") {
		return id
	}
	return "containerd://" + id
}

// podConditions are in the kubelet's order.
func (s State) podConditions(o *Object, p *Pod, v *corev1.Pod) []corev1.PodCondition {
	if p.Node == "" {
		return s.unscheduled(o)
	}
	at := p.Assigned.Time
	sandbox := condition(corev1.PodReadyToStartContainers, !p.Sandbox.IsZero() && p.Stopped.IsZero(), at, "", "")
	switch {
	case !p.Stopped.IsZero():
		sandbox.LastTransitionTime = stamp(p.Stopped.Time)
	case !p.Sandbox.IsZero():
		sandbox.LastTransitionTime = stamp(p.Sandbox.Time)
	}
	reason, message := unready(p, v)
	ready := !p.ReadySince.IsZero()
	turned := at
	if !p.ReadyTurned.IsZero() {
		turned = p.ReadyTurned.Time
	}
	containers := condition(corev1.ContainersReady, ready, turned, reason, message)
	if g := p.Gated; g != nil {
		containers = condition(corev1.ContainersReady, !g.Since.IsZero(), g.Turned.Time, reason, message)
		if !ready && !g.Since.IsZero() {
			reason, message = shutReason(o.Shut())
		}
	}
	if ready && p.Lost {
		ready, reason, message = false, "NodeNotReady", "" // what Kubernetes' node lifecycle says; the containers are not heard of
	}
	if n, ok := s.Node(p.Node); ok && n.Since.Time.After(turned) && !p.ReadySince.IsZero() {
		turned = n.Since.Time // its node went silent, or came back
	}
	all := append(p.Resize.conditions(), sandbox, initialized(p, v),
		condition(corev1.PodReady, ready, turned, reason, message), containers, condition(corev1.PodScheduled, true, at, "", ""))
	all = append(all, p.anewCondition(&v.Spec, v.Status.Phase)...)
	all = append(all, disrupted(o, p)...)
	for i := range all {
		if all[i].ObservedGeneration == 0 {
			all[i].ObservedGeneration = p.observed(o)
		}
	}
	return all
}

func initialized(p *Pod, v *corev1.Pod) corev1.PodCondition {
	at := p.Assigned.Time
	if !p.Initialized.IsZero() {
		at = p.Initialized.Time
	}
	if names := p.uninitialized(&v.Spec); len(names) > 0 {
		return condition(corev1.PodInitialized, false, at, "ContainersNotInitialized", fmt.Sprintf("containers with incomplete status: [%s]", strings.Join(names, " ")))
	}
	return condition(corev1.PodInitialized, true, at, "", "")
}

func condition(t corev1.PodConditionType, ok bool, at time.Time, reason, message string) corev1.PodCondition {
	c := corev1.PodCondition{Type: t, Status: corev1.ConditionFalse, LastTransitionTime: stamp(at), Reason: reason, Message: message}
	if ok {
		c.Status = corev1.ConditionTrue
	}
	return c
}

// unready is why a pod's containers are not ready; empty when they are.
func unready(p *Pod, v *corev1.Pod) (reason, message string) {
	if !p.ReadySince.IsZero() || p.Gated != nil && !p.Gated.Since.IsZero() {
		return "", ""
	}
	switch phaseOf(p, v) {
	case corev1.PodSucceeded:
		return "PodCompleted", ""
	case corev1.PodFailed:
		return "PodFailed", ""
	}
	var names []string
	for i := range v.Spec.InitContainers {
		c := &v.Spec.InitContainers[i]
		if has, ok := p.Container(c.Name); Sidecar(c) && (!ok || !has.Ready || !p.Stopped.IsZero()) {
			names = append(names, c.Name)
		}
	}
	for _, c := range v.Spec.Containers {
		if has, ok := p.Container(c.Name); !ok || !has.Ready || !p.Stopped.IsZero() {
			names = append(names, c.Name)
		}
	}
	return "ContainersNotReady", fmt.Sprintf("containers with unready status: [%s]", strings.Join(names, " "))
}

// unscheduled is the condition of a pod that the scheduler refused, or must not look at; a pod that
// nobody has looked at yet has none.
func (s State) unscheduled(o *Object) []corev1.PodCondition {
	if HeldBack(o.PodSpec()) {
		return []corev1.PodCondition{condition(corev1.PodScheduled, false, o.Created.Time, corev1.PodReasonSchedulingGated, "Scheduling is blocked due to non-empty scheduling gates")}
	}
	v, ok := s.Verdict(o.Key)
	if !ok || v.UID != o.UID || len(v.Reasons) == 0 {
		return nil
	}
	c := condition(corev1.PodScheduled, false, v.Time, corev1.PodReasonUnschedulable, Refusal(v.Reasons))
	c.ObservedGeneration = o.generation()
	return []corev1.PodCondition{c}
}

// Refusal is a scheduler's verdict in its own words, which are Kubernetes':
// "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable."
// They stand with the reason of code Unschedulable.
func Refusal(reasons []events.Reason) string {
	var all []string
	for _, r := range reasons {
		if r.Code == corev1.PodReasonUnschedulable && r.Said != "" {
			return r.Said
		}
		all = append(all, r.String())
	}
	return strings.Join(all, "; ")
}

// QOSClass is what the kubelet derives from requests and limits.
func QOSClass(spec *corev1.PodSpec) corev1.PodQOSClass {
	some, all := false, len(spec.Containers) > 0
	look := func(r *corev1.ResourceRequirements) {
		for _, name := range [...]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit, limited := r.Limits[name]
			request, requested := r.Requests[name]
			some = some || limited && !limit.IsZero() || requested && !request.IsZero()
			if !limited || requested && request.Cmp(limit) != 0 {
				all = false
			}
		}
	}
	for i := range spec.InitContainers { // containers are large: to copy them costs more than to look at them
		look(&spec.InitContainers[i].Resources)
	}
	for i := range spec.Containers {
		look(&spec.Containers[i].Resources)
	}
	switch {
	case !some:
		return corev1.PodQOSBestEffort
	case all:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}
