package why

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/table"
)

// maxTold is how many pods a workload's answer names.
const maxTold = 3

// workload says how many pods are missing, and why the first of them are.
func (q Question) workload(a *Answer, o *projections.Object) {
	want := replicas(o)
	a.Verdict = fmt.Sprintf("has %d of %d pods ready", o.Tally.Ready, want)
	if o.Tally.Ready == want && o.Tally.Pods == want {
		return
	}
	q.held(a, o)
	for child := range q.State.Children(o.UID) {
		if child.Key.Resource == events.ReplicaSets {
			q.held(a, child)
		}
	}
	told, more := 0, 0
	for pod := range q.below(o) {
		if p, ok := q.State.PodOf(pod.Key); ok && !p.ReadySince.IsZero() && !p.Lost && pod.Deletion == nil {
			continue
		}
		if told++; told > maxTold {
			more++
			continue
		}
		q.podOf(a, pod)
	}
	if more > 0 {
		a.Details = append(a.Details, fmt.Sprintf("and %d more", more))
	}
	if a.WaitsFor == "" && o.Tally.Pods < want {
		a.WaitsFor = many(want-o.Tally.Pods, "pod", "pods") + " to be made"
	}
	if at, ok := deadline(o); ok && !at.After(q.Now) {
		a.Verdict += ", and made no progress for longer than its deadline"
	}
}

// held adds what the log says keeps an object from moving.
func (q Question) held(a *Answer, o *projections.Object) {
	if v, ok := q.State.Verdict(o.Key); ok && v.UID == o.UID {
		for _, r := range v.Reasons {
			a.Details = append(a.Details, r.String())
		}
	}
}

// podOf adds one pod's answer to its owner's.
func (q Question) podOf(a *Answer, pod *projections.Object) {
	one := Question{State: q.State, Key: pod.Key, Now: q.Now, At: q.At, Log: q.Log, Home: q.Home}
	var of Answer
	one.pod(&of, pod)
	line := pod.Key.Name + ": " + of.Verdict
	for _, d := range of.Details {
		line += "\n" + d
	}
	a.Details = append(a.Details, line)
	if a.WaitsFor == "" {
		a.WaitsFor = of.WaitsFor
	}
	if a.Fix == "" {
		a.Fix = of.Fix
	}
}

// below walks the pods below an object.
func (q Question) below(o *projections.Object) func(func(*projections.Object) bool) {
	return func(yield func(*projections.Object) bool) {
		for child := range q.State.Children(o.UID) {
			if child.Key.Resource == events.Pods {
				if !yield(child) {
					return
				}
				continue
			}
			for pod := range q.State.Children(child.UID) {
				if pod.Key.Resource == events.Pods && !yield(pod) {
					return
				}
			}
		}
	}
}

func deadline(o *projections.Object) (time.Time, bool) {
	if o.Key.Resource != events.Deployments {
		return time.Time{}, false
	}
	return projections.ProgressDeadline(o)
}

func labelText(m map[string]string) string { return labels.FormatLabels(m) }

func replicas(o *projections.Object) int {
	n := (*int32)(nil)
	switch v := o.Typed().(type) {
	case *appsv1.Deployment:
		n = v.Spec.Replicas
	case *appsv1.ReplicaSet:
		n = v.Spec.Replicas
	case *corev1.ReplicationController:
		n = v.Spec.Replicas
	case *appsv1.StatefulSet:
		n = v.Spec.Replicas
	}
	if n == nil {
		return 1
	}
	return int(*n)
}

// written tells of a service whose endpoints nobody chooses.
func (q Question) written(o *projections.Object) string {
	if o.Key == projections.GatewayKey {
		return "leads to the Kubernetes API: every node answers for it"
	}
	n := 0
	for _, w := range q.State.Written(o) {
		n += w.Ready()
	}
	if n == 0 {
		return "has no selector, and nobody has written ready endpoints for it: nothing is behind it"
	}
	return fmt.Sprintf("has no selector: connections go to the %d endpoints that were written for it", n)
}

func (q Question) service(a *Answer, o *projections.Object) {
	spec := &projections.As[*corev1.Service](o).Spec
	backends := q.State.Backends(o)
	ready, nameless := standing(backends, spec.Ports)
	matching := 0
	for pod := range q.State.List(events.Pods, o.Key.Namespace) {
		if matches(spec.Selector, pod.PodLabels()) {
			matching++
		}
	}
	defer func() {
		a.Details = append(a.Details, slices.Concat(unnamed(backends, spec.Ports), q.keptLocal(o.Key), q.unprogrammed(o.Key), q.unbalanced(o))...)
	}()
	switch {
	case spec.Type == corev1.ServiceTypeExternalName:
		a.Verdict = "stands for " + spec.ExternalName
	case len(spec.Selector) == 0:
		a.Verdict = q.written(o)
	case matching == 0:
		a.Verdict = "has no pods behind it: none has the labels " + labelText(spec.Selector)
		a.Fix = "stave get pods" + q.dashN() + " --show-labels, and compare"
		a.WaitsFor = "a pod with these labels"
	case ready == 0 && nameless > 0:
		a.Verdict = fmt.Sprintf("has no endpoints: none of its %d pods has the port that it leads to; connections are refused", matching)
		a.Fix = fmt.Sprintf("give targetPort a number: %s, or the port of the containers that name", q.command("edit", o.Key))
	case ready == 0:
		a.Verdict = fmt.Sprintf("has no endpoints: none of its %d pods is ready; connections are refused", matching)
		a.WaitsFor = "one of its pods to be ready"
		q.podsOf(a, o.Key.Namespace, func(pod *projections.Object) bool { return matches(spec.Selector, pod.PodLabels()) })
	default:
		a.Verdict = fmt.Sprintf("sends connections to %d of its %d pods", ready, max(len(backends), matching))
	}
}

// standing counts the pods behind a service that are ready: those that have one of its ports, and those that have none of them.
func standing(backends []projections.Backend, ports []corev1.ServicePort) (ready, nameless int) {
	for _, b := range backends {
		switch {
		case b.Ready && b.Serves(ports):
			ready++
		case b.Ready:
			nameless++
		}
	}
	return ready, nameless
}

// unnamed tells of the ports that lead to a name which no pod gives to a port of its own.
func unnamed(backends []projections.Backend, ports []corev1.ServicePort) []string {
	var out []string
	for _, p := range ports {
		if len(backends) > 0 && !slices.ContainsFunc(backends, func(b projections.Backend) bool { return b.Has(p) }) {
			out = append(out, fmt.Sprintf("port %d leads to the port named %q, and no container of its pods has one", p.Port, p.TargetPort.StrVal))
		}
	}
	return out
}

// unbalanced tells of a service that waits for a load balancer.
func (q Question) unbalanced(o *projections.Object) []string {
	s, ok := q.State.ObjectOf(o, q.Now).(*corev1.Service)
	if !ok || s.Spec.Type != corev1.ServiceTypeLoadBalancer || len(s.Status.LoadBalancer.Ingress) > 0 || len(s.Spec.Ports) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("no load balancer has taken it up: from outside, port %d of each node leads to it", s.Spec.Ports[0].NodePort)}
}

// podsOf adds the answers of the first pods of a namespace that are meant to another's.
func (q Question) podsOf(a *Answer, namespace string, meant func(*projections.Object) bool) {
	for pod := range q.State.List(events.Pods, namespace) {
		if len(a.Details) == maxTold {
			return
		}
		if meant(pod) {
			q.podOf(a, pod)
		}
	}
}

func matches(selector, has map[string]string) bool {
	for k, v := range selector {
		if got, ok := has[k]; !ok || got != v {
			return false
		}
	}
	return len(selector) > 0
}

func (q Question) node(a *Answer, o *projections.Object) {
	n, ok := q.State.Node(o.Key.Name)
	switch {
	case !ok || n.Since.IsZero():
		a.Verdict, a.WaitsFor = "was never heard of", "its agent's first heartbeat"
	case n.Report.Ready:
		a.Verdict = fmt.Sprintf("has been ready for %s", table.Age(q.Now.Sub(n.Since.Time)))
		for _, c := range ills(n) {
			a.Details = append(a.Details, c.Type+": "+c.Message)
		}
	default:
		a.Verdict = fmt.Sprintf("has been silent for %s: %s", table.Age(q.Now.Sub(n.Since.Time)), join(n.Report.Reason, n.Report.Said))
		a.WaitsFor = "its agent's heartbeat"
		a.Fix = "start the agent on " + o.Key.Name + ", and see that it reaches the server"
	}
}

// namespace names what holds up the end of a namespace.
func (q Question) namespace(a *Answer, o *projections.Object) {
	if o.Deletion == nil {
		a.Verdict = "is active"
		return
	}
	a.Verdict = fmt.Sprintf("Terminating: %s asked for its deletion", o.Deletion.Actor)
	left := 0
	for _, kind := range q.State.Kinds().All() {
		if !kind.Namespaced || kind.Derived {
			continue
		}
		for x := range q.State.List(kind.Resource, o.Key.Name) {
			if left++; left <= maxTold {
				a.Details = append(a.Details, Spelled(x.Key, o.Key.Name)+" is still there"+keptBy(x))
			}
		}
	}
	if left > maxTold {
		a.Details = append(a.Details, fmt.Sprintf("and %d more", left-maxTold))
	}
	a.WaitsFor = many(left, "object", "objects") + " in it to go"
	if left == 0 {
		a.WaitsFor = "its removal from the log"
		q.kept(a, o)
	}
}
