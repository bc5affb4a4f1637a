package projections

//lint:file-ignore SA1019 people still type "get endpoints"

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
)

// Backend is one pod behind a service.
type Backend struct {
	Pod         *Pod
	Spec        *corev1.PodSpec
	Ready       bool // takes new connections
	Serving     bool // it is ready, or said to be; but it may be terminating
	Answers     bool // it says itself that it is ready
	Terminating bool
}

// Backends are the pods that a service selects and that have an address, in the
// order of their names.
func (s State) Backends(svc *Object) []Backend {
	spec := &As[*corev1.Service](svc).Spec
	if len(spec.Selector) == 0 {
		return nil
	}
	var out []Backend
	for o := range s.List(events.Pods, svc.Key.Namespace) {
		if !selects(spec.Selector, o) {
			continue
		}
		p, ok := s.PodOf(o.Key)
		if !ok || p.IP == "" || !p.Stopped.IsZero() || p.Failed != nil || p.Finished(o) {
			continue
		}
		b := Backend{Pod: p, Spec: o.PodSpec(), Terminating: o.Deletion != nil, Answers: !p.ReadySince.IsZero() && !p.Lost}
		b.Serving = b.Answers || spec.PublishNotReadyAddresses
		b.Ready = b.Serving && (!b.Terminating || spec.PublishNotReadyAddresses)
		out = append(out, b)
	}
	return out
}

// targetPort is the number that a service's port has in a pod; false when the
// pod names no such port.
func (b Backend) targetPort(p corev1.ServicePort) (int32, bool) {
	switch {
	case p.TargetPort.Type == intstr.Int && p.TargetPort.IntVal != 0:
		return p.TargetPort.IntVal, true
	case p.TargetPort.Type == intstr.Int:
		return p.Port, true
	}
	for i := range b.Spec.Containers {
		if n, ok := named(&b.Spec.Containers[i], p); ok {
			return n, true
		}
	}
	for i := range b.Spec.InitContainers {
		if n, ok := named(&b.Spec.InitContainers[i], p); ok && Sidecar(&b.Spec.InitContainers[i]) {
			return n, true
		}
	}
	return 0, false
}

// Serves tells whether the pod has one of a service's ports: those that have none of them are no endpoints.
func (b Backend) Serves(ports []corev1.ServicePort) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, b.Has)
}

// Has tells whether the pod has the port that a service's port leads to.
func (b Backend) Has(p corev1.ServicePort) bool {
	_, ok := b.targetPort(p)
	return ok
}

// named is the number that a container gives to the port that a service names.
func named(c *corev1.Container, p corev1.ServicePort) (int32, bool) {
	for _, own := range c.Ports {
		if own.Name == p.TargetPort.StrVal && protocol(own.Protocol) == protocol(p.Protocol) {
			return own.ContainerPort, true
		}
	}
	return 0, false
}

func protocol(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

// target is a service's port as a pod has it: pods may give one name to
// different numbers.
type target struct {
	name     string
	protocol corev1.Protocol
	port     int32
}

// subset is the pods that share all their targets.
type subset struct {
	targets  []target
	backends []Backend
}

// subsets groups a service's backends by their target ports, in a stable order.
func (s State) subsets(svc *Object) []subset {
	ports := As[*corev1.Service](svc).Spec.Ports
	var out []subset
	at := map[string]int{}
	for _, b := range s.Backends(svc) {
		var targets []target
		var id strings.Builder
		for _, p := range ports {
			if n, ok := b.targetPort(p); ok {
				targets = append(targets, target{p.Name, protocol(p.Protocol), n})
				id.WriteString(p.Name + "/" + string(protocol(p.Protocol)) + "/" + strconv.Itoa(int(n)) + " ")
			}
		}
		if len(targets) == 0 && len(ports) > 0 {
			continue
		}
		i, ok := at[id.String()]
		if !ok {
			i = len(out)
			at[id.String()] = i
			out = append(out, subset{targets: targets})
		}
		out[i].backends = append(out[i].backends, b)
	}
	return out
}

func derivedMeta(svc *Object, name string, kind events.Kind, labels map[string]string) metav1.ObjectMeta {
	l := map[string]string{}
	for k, v := range labels {
		l[k] = v
	}
	return metav1.ObjectMeta{Name: name, Namespace: svc.Key.Namespace, Labels: l, ResourceVersion: svc.Position.String(),
		UID:               types.UID(events.NewUID(events.OpID(string(svc.UID) + " " + kind.Name))),
		CreationTimestamp: stamp(svc.Created.Time)}
}

func (s State) endpointsOf(svc *Object, v *corev1.Service) *corev1.Endpoints {
	kind, _ := events.KindOf(events.Endpoints)
	out := &corev1.Endpoints{ObjectMeta: derivedMeta(svc, svc.Key.Name, kind, v.Labels)}
	out.SetGroupVersionKind(kind.GVK())
	for _, g := range s.subsets(svc) {
		var e corev1.EndpointSubset
		for _, b := range g.backends {
			a := corev1.EndpointAddress{IP: b.Pod.IP, TargetRef: podReference(b.Pod)}
			a.Hostname = hostnameOf(b.Spec, v.Name)
			if b.Pod.Node != "" {
				node := b.Pod.Node
				a.NodeName = &node
			}
			switch {
			case b.Ready:
				e.Addresses = append(e.Addresses, a)
			case !b.Terminating:
				e.NotReadyAddresses = append(e.NotReadyAddresses, a)
			}
		}
		for _, t := range g.targets {
			e.Ports = append(e.Ports, corev1.EndpointPort{Name: t.name, Port: t.port, Protocol: t.protocol})
		}
		if len(e.Addresses)+len(e.NotReadyAddresses) > 0 {
			out.Subsets = append(out.Subsets, e)
		}
	}
	return out
}

func podReference(p *Pod) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Pod", Namespace: p.Key.Namespace, Name: p.Key.Name, UID: types.UID(p.UID)}
}

// hostnameOf is a pod's own name below a headless service, when its spec asks for one.
func hostnameOf(spec *corev1.PodSpec, service string) string {
	if spec.Hostname != "" && spec.Subdomain == service {
		return spec.Hostname
	}
	return ""
}

func endpointOf(b Backend, service string) discoveryv1.Endpoint {
	ready, serving, terminating := b.Ready, b.Answers, b.Terminating
	e := discoveryv1.Endpoint{Addresses: []string{b.Pod.IP}, TargetRef: podReference(b.Pod),
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}}
	if b.Pod.Node != "" {
		node := b.Pod.Node
		e.NodeName = &node
	}
	if h := hostnameOf(b.Spec, service); h != "" {
		e.Hostname = &h
	}
	return e
}
