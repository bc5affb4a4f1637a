package schedule

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// port is a port of a node that a pod asks for or holds. An empty address is all of the node's.
type port struct {
	protocol corev1.Protocol
	address  string
	number   int32
	holder   string // namespace/name of the pod that has it
}

// portsOf are the ports of its node that a pod of this spec takes.
func portsOf(spec *corev1.PodSpec, holder string) []port {
	var out []port
	add := func(c *corev1.Container) {
		for _, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			own := port{protocol: p.Protocol, address: p.HostIP, number: p.HostPort, holder: holder}
			if own.protocol == "" {
				own.protocol = corev1.ProtocolTCP
			}
			if own.address == "0.0.0.0" || own.address == "::" {
				own.address = ""
			}
			out = append(out, own)
		}
	}
	for i := range spec.InitContainers {
		if c := &spec.InitContainers[i]; projections.Sidecar(c) { // the others are done when the pod runs
			add(c)
		}
	}
	for i := range spec.Containers {
		add(&spec.Containers[i])
	}
	return out
}

func (p port) String() string {
	if p.address == "" {
		return fmt.Sprintf("%s %d", p.protocol, p.number)
	}
	return fmt.Sprintf("%s %s:%d", p.protocol, p.address, p.number)
}

// clashes tells whether two pods cannot both have their port on one node.
func (p port) clashes(o port) bool {
	return p.number == o.number && p.protocol == o.protocol && (p.address == "" || o.address == "" || p.address == o.address)
}

// taken is the first asked port that a pod of the node holds, and that pod's.
func (n *node) taken(asked []port) (want, held port, clash bool) {
	if len(asked) == 0 {
		return port{}, port{}, false
	}
	if n.held == nil {
		n.held = heldOn(n.view, n.name)
	}
	for _, p := range asked {
		if i := slices.IndexFunc(n.held, p.clashes); i >= 0 {
			return p, n.held[i], true
		}
	}
	return port{}, port{}, false
}

// heldOn are the ports that the pods of a node hold; never nil. Only pods that ask for a port have it looked up.
func heldOn(v reconcilers.View, name string) []port {
	out := []port{}
	for row := range v.PodsOn(name) {
		if o, ok := v.Get(row.Key); ok && row.Holds(o) {
			out = append(out, portsOf(o.PodSpec(), o.Key.Namespace+"/"+o.Key.Name)...)
		}
	}
	return out
}

// take notes the ports of a pod that was given to the node in this pass.
func (n *node) take(o *projections.Object, asked []port) {
	if len(asked) > 0 {
		n.taken(asked) // has read what was there before
		n.held = append(n.held, portsOf(o.PodSpec(), o.Key.Namespace+"/"+o.Key.Name)...)
	}
}
