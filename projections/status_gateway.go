package projections

//lint:file-ignore SA1019 people still type "get endpoints"

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/stave-run/stave/events"
)

// gateways are where pods reach the Kubernetes API, by node: the address of each
// node that is ready among its own pods.
func (s State) gateways() (nodes, addresses []string) {
	for o := range s.List(events.Nodes, "") {
		n, ok := s.Node(o.Key.Name)
		prefix, err := netip.ParsePrefix(As[*corev1.Node](o).Spec.PodCIDR)
		if ok && n.Report.Ready && err == nil {
			nodes, addresses = append(nodes, o.Key.Name), append(addresses, prefix.Masked().Addr().Next().String())
		}
	}
	return nodes, addresses
}

// gateway is the Endpoints or EndpointSlice of the API's service.
func (s State) gateway(r events.Resource, svc *Object, v *corev1.Service) events.Object {
	nodes, addresses := s.gateways()
	name, port, protocol := "https", int32(APIPort), corev1.ProtocolTCP
	if r == events.Endpoints {
		out := s.endpointsOf(svc, v)
		var e corev1.EndpointSubset
		for i, a := range addresses {
			e.Addresses = append(e.Addresses, corev1.EndpointAddress{IP: a, NodeName: &nodes[i]})
		}
		if len(addresses) > 0 {
			e.Ports = []corev1.EndpointPort{{Name: name, Port: port, Protocol: protocol}}
			out.Subsets = []corev1.EndpointSubset{e}
		}
		return out
	}
	out := serviceSlice(svc, v, subset{}, 0)
	yes := true
	for i, a := range addresses {
		out.Endpoints = append(out.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}, NodeName: &nodes[i], Conditions: discoveryv1.EndpointConditions{Ready: &yes}})
	}
	out.Ports = []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}}
	return out
}
