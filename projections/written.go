package projections

//lint:file-ignore SA1019 people still type "get endpoints"

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/stave-run/stave/events"
)

// Written is a slice that somebody wrote for a service, or that tells of the Endpoints
// which somebody wrote for it. It is shared: never change it.
type Written struct{ *discoveryv1.EndpointSlice }

// Written are the slices behind a service that follow from no selector. The API's own
// service has none: whoever may write slices does not become the API for all pods.
func (s State) Written(svc *Object) []Written {
	if svc.Key == GatewayKey {
		return nil
	}
	var out []Written
	for o := range s.List(events.EndpointSlices, svc.Key.Namespace) {
		if v := As[*discoveryv1.EndpointSlice](o); v.Labels[discoveryv1.LabelServiceName] == svc.Key.Name && v.AddressType == discoveryv1.AddressTypeIPv4 {
			out = append(out, Written{v})
		}
	}
	if len(As[*corev1.Service](svc).Spec.Selector) > 0 {
		return out
	}
	for _, v := range s.mirrored(svc) {
		if v.AddressType == discoveryv1.AddressTypeIPv4 {
			out = append(out, Written{v})
		}
	}
	return out
}

// Ready counts the endpoints that take new connections.
func (w Written) Ready() int {
	n := 0
	for i := range w.Endpoints {
		if takes(&w.Endpoints[i]) {
			n++
		}
	}
	return n
}

// takes tells whether an endpoint takes new connections: what nobody says of one, it does.
func takes(e *discoveryv1.Endpoint) bool {
	return len(e.Addresses) > 0 && (e.Conditions.Ready == nil || *e.Conditions.Ready)
}

// drains tells whether an endpoint serves on while it ends, for where nobody else is.
func drains(e *discoveryv1.Endpoint) bool {
	return len(e.Addresses) > 0 && !takes(e) && of(e.Conditions.Serving) && of(e.Conditions.Terminating)
}

// behind are the endpoints behind a service's port: what has its name and protocol.
// Of an endpoint's addresses the first counts, as in Kubernetes.
func (w Written) behind(p corev1.ServicePort) []endpoint {
	var out []endpoint
	for _, own := range w.Ports {
		if own.Port == nil || of(own.Name) != p.Name || protocol(of(own.Protocol)) != protocol(p.Protocol) {
			continue
		}
		for i := range w.Endpoints {
			if e := &w.Endpoints[i]; takes(e) || drains(e) {
				out = append(out, endpoint{hostPort(e.Addresses[0], *own.Port), of(e.NodeName), !takes(e)})
			}
		}
	}
	return out
}

// headless tells of a slice that says it is no route to an address of a service: proxies leave it alone, as kube-proxy does.
func (w Written) headless() bool {
	_, named := w.Labels[corev1.IsHeadlessService]
	return named
}

// portsBeside are the named ports that slices have and their service does not: where a name stands for the endpoints
// themselves, these are what it tells of.
func portsBeside(ports []corev1.ServicePort, written []Written) []corev1.ServicePort {
	var out []corev1.ServicePort
	for _, w := range written {
		for _, own := range w.Ports {
			same := func(p corev1.ServicePort) bool {
				return p.Name == of(own.Name) && protocol(p.Protocol) == protocol(of(own.Protocol))
			}
			if own.Port != nil && of(own.Name) != "" && !slices.ContainsFunc(ports, same) && !slices.ContainsFunc(out, same) {
				out = append(out, corev1.ServicePort{Name: *own.Name, Protocol: protocol(of(own.Protocol)), Port: *own.Port})
			}
		}
	}
	return out
}

// hosts are the addresses that a name without an address of its own stands for.
func (w Written) hosts() []NetHost {
	var out []NetHost
	for i := range w.Endpoints {
		if e := &w.Endpoints[i]; takes(e) {
			out = append(out, NetHost{IP: e.Addresses[0], Hostname: of(e.Hostname), Node: of(e.NodeName)})
		}
	}
	return out
}

// of is what an optional value is, or nothing.
func of[T any](v *T) T {
	var none T
	if v == nil {
		return none
	}
	return *v
}

// written touches the services that a slice, or an Endpoints, was or is written for.
func (f *folding) written(c Change) {
	for _, o := range []*Object{c.Before, c.After} {
		if o == nil {
			continue
		}
		k := events.Key{Resource: events.Services, Namespace: o.Key.Namespace, Name: o.Key.Name}
		if o.Key.Resource == events.EndpointSlices {
			k.Name = o.Typed().GetLabels()[discoveryv1.LabelServiceName]
		}
		if _, ok := f.s.Get(k); ok {
			f.touchOnce(k, nil)
		}
	}
}

// leaderAnnotation is on Endpoints that elect a leader, and serve nobody.
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader"

// mirrored are the slices that tell of the Endpoints that somebody wrote for a service
// without a selector: one for each subset and family of addresses.
func (s State) mirrored(svc *Object) []*discoveryv1.EndpointSlice {
	k := svc.Key
	k.Resource = events.Endpoints
	o, ok := s.Get(k)
	if !ok || svc.Key == GatewayKey {
		return nil
	}
	v := As[*corev1.Endpoints](o)
	if _, leads := v.Annotations[leaderAnnotation]; leads || v.Labels[discoveryv1.LabelSkipMirror] == "true" {
		return nil
	}
	var out []*discoveryv1.EndpointSlice
	for i := range v.Subsets {
		for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
			all := append(mirroredEndpoints(v.Subsets[i].Addresses, family, true), mirroredEndpoints(v.Subsets[i].NotReadyAddresses, family, false)...)
			if len(all) == 0 {
				continue
			}
			slice := newSlice(svc, o, "v1", "Endpoints", len(out))
			slice.AddressType, slice.Endpoints = family, all
			for label, value := range v.Labels {
				slice.Labels[label] = value
			}
			slice.Labels[discoveryv1.LabelServiceName], slice.Labels[discoveryv1.LabelManagedBy] = svc.Key.Name, "endpointslicemirroring-controller.k8s.io"
			for _, p := range v.Subsets[i].Ports {
				slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &p.Protocol, AppProtocol: p.AppProtocol})
			}
			out = append(out, slice)
		}
	}
	return out
}

func mirroredEndpoints(all []corev1.EndpointAddress, family discoveryv1.AddressType, ready bool) []discoveryv1.Endpoint {
	var out []discoveryv1.Endpoint
	for _, a := range all {
		ip, err := netip.ParseAddr(a.IP)
		if err != nil || ip.Is4() != (family == discoveryv1.AddressTypeIPv4) {
			continue
		}
		e := discoveryv1.Endpoint{Addresses: []string{a.IP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}, TargetRef: a.TargetRef, NodeName: a.NodeName}
		if a.Hostname != "" {
			e.Hostname = &a.Hostname
		}
		out = append(out, e)
	}
	return out
}
