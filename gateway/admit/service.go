package admit

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
)

// carryService keeps a service's address and node ports across an update that
// does not name them, and drops what its new type cannot have.
func carryService(before, next *corev1.ServiceSpec) {
	leave(before, next)
	if before.Type == corev1.ServiceTypeExternalName && next.Type != before.Type && next.ExternalName == before.ExternalName {
		next.ExternalName = ""
	}
	switch {
	case next.Type == corev1.ServiceTypeExternalName:
		if before.Type != corev1.ServiceTypeExternalName && next.ClusterIP == before.ClusterIP {
			next.ClusterIP, next.ClusterIPs = "", nil
			next.IPFamilies, next.IPFamilyPolicy, next.InternalTrafficPolicy = nil, nil, nil
		}
	case next.ClusterIP == "" && len(next.ClusterIPs) == 0:
		next.ClusterIP, next.ClusterIPs = before.ClusterIP, before.ClusterIPs
	case next.ClusterIP != "" && next.ClusterIP != before.ClusterIP && slices.Equal(next.ClusterIPs, before.ClusterIPs):
		next.ClusterIPs = []string{next.ClusterIP} // people write the one field, the other is left of before
	}
	carryHealthPort(before, next)
	if next.Type == corev1.ServiceTypeClusterIP || next.Type == corev1.ServiceTypeExternalName || next.Type == "" {
		dropNodePorts(before, next)
		return
	}
	for i := range next.Ports {
		if p := &next.Ports[i]; p.NodePort == 0 {
			p.NodePort = nodePortOf(before, p)
		}
	}
}

// leave clears what a service has no use for any more and nobody asked for anew.
func leave(before, next *corev1.ServiceSpec) {
	if manifest.ReachedFromOutside(before) && !manifest.ReachedFromOutside(next) && next.ExternalTrafficPolicy == before.ExternalTrafficPolicy {
		next.ExternalTrafficPolicy = ""
	}
	if before.Type != corev1.ServiceTypeLoadBalancer || next.Type == corev1.ServiceTypeLoadBalancer {
		return
	}
	if was, is := before.AllocateLoadBalancerNodePorts, next.AllocateLoadBalancerNodePorts; was != nil && is != nil && *was == *is {
		next.AllocateLoadBalancerNodePorts = nil
	}
	if was, is := before.LoadBalancerClass, next.LoadBalancerClass; was != nil && is != nil && *was == *is {
		next.LoadBalancerClass = nil
	}
}

// carryHealthPort keeps where load balancers ask nodes, while somebody is to be asked.
func carryHealthPort(before, next *corev1.ServiceSpec) {
	was, is := manifest.NeedsHealthPort(before), manifest.NeedsHealthPort(next)
	switch {
	case was && is && next.HealthCheckNodePort == 0:
		next.HealthCheckNodePort = before.HealthCheckNodePort
	case was && !is && next.HealthCheckNodePort == before.HealthCheckNodePort:
		next.HealthCheckNodePort = 0
	}
}

// dropNodePorts clears node ports that stem from the type before. One that the
// person wrote newly stays, and is refused with its path.
func dropNodePorts(before, next *corev1.ServiceSpec) {
	for i := range next.Ports {
		if p := &next.Ports[i]; p.NodePort == nodePortOf(before, p) {
			p.NodePort = 0
		}
	}
}

func nodePortOf(s *corev1.ServiceSpec, like *corev1.ServicePort) int32 {
	for _, p := range s.Ports {
		if p.Port == like.Port && (p.Protocol == like.Protocol || like.Protocol == "" && p.Protocol == corev1.ProtocolTCP) {
			return p.NodePort
		}
	}
	return 0
}

// Port is a port that a node answers on.
type Port struct {
	Number   int32
	Protocol corev1.Protocol
}

// allocate gives a service its address and node ports, as asked for or free. held
// are those that nobody in the cluster has and that are not free all the same. What
// the service had before it may keep: it would be none the freer, and a change of
// its labels must not fail of it.
func allocate(v projections.State, k events.Key, svc *corev1.Service, before events.Object, held map[Port]string, op events.OpID) field.ErrorList {
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	t := taken(v, k)
	t.held = held
	if b, ok := before.(*corev1.Service); ok {
		for _, p := range b.Spec.Ports {
			t.kept = append(t.kept, Port{p.NodePort, p.Protocol})
		}
		t.kept = append(t.kept, Port{b.Spec.HealthCheckNodePort, corev1.ProtocolTCP})
	}
	errs := t.address(v, svc, op)
	if svc.Spec.Type == corev1.ServiceTypeNodePort || svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
		errs = append(errs, t.nodePorts(svc, op)...)
	}
	if manifest.NeedsHealthPort(&svc.Spec) {
		errs = append(errs, t.healthPort(&svc.Spec, op)...)
	}
	return errs
}

// given is what other services have.
type given struct {
	addresses map[string]bool
	ports     map[int32]bool
	held      map[Port]string // by whom, outside of the cluster
	kept      []Port          // what this service had before
}

// holder is who outside of the cluster has a port.
func (t given) holder(number int32, protocol corev1.Protocol) (string, bool) {
	p := Port{number, cmp.Or(protocol, corev1.ProtocolTCP)}
	if slices.Contains(t.kept, p) {
		return "", false
	}
	who, ok := t.held[p]
	return who, ok
}

func taken(v projections.State, but events.Key) given {
	t := given{addresses: map[string]bool{}, ports: map[int32]bool{}}
	for o := range v.List(events.Addresses, "") { // somebody else's
		t.addresses[o.Key.Name] = true
	}
	for o := range v.List(events.Services, "") {
		if o.Key == but {
			continue
		}
		s := projections.As[*corev1.Service](o).Spec
		t.addresses[s.ClusterIP] = true
		for _, p := range s.Ports {
			t.ports[p.NodePort] = true
		}
		t.ports[s.HealthCheckNodePort] = true
	}
	return t
}

func (t given) address(v projections.State, svc *corev1.Service, op events.OpID) field.ErrorList {
	s, at := &svc.Spec, field.NewPath("spec", "clusterIPs").Index(0)
	if s.ClusterIP == corev1.ClusterIPNone {
		return nil
	}
	cluster := v.Cluster()
	prefix, err := netip.ParsePrefix(cluster.ServiceCIDR)
	if err != nil {
		return field.ErrorList{field.InternalError(at, fmt.Errorf("the cluster has no service CIDR: %w", err))}
	}
	if s.ClusterIP == "" {
		a, ok := t.free(prefix, cluster.DNS, op)
		if !ok {
			return field.ErrorList{field.InternalError(at, fmt.Errorf("failed to allocate a serviceIP: %s is full", prefix))}
		}
		s.ClusterIP, s.ClusterIPs = a, []string{a}
		return nil
	}
	a, err := netip.ParseAddr(s.ClusterIP)
	switch {
	case err != nil:
		return nil // validation says so
	case !prefix.Contains(a):
		return field.ErrorList{field.Invalid(at, s.ClusterIP, fmt.Sprintf("failed to allocate IP %s: the provided IP is not in the valid range. The range of valid IPs is %s", a, prefix))}
	case t.addresses[a.String()] || a == prefix.Masked().Addr():
		return field.ErrorList{field.Invalid(at, s.ClusterIP, fmt.Sprintf("failed to allocate IP %s: provided IP is already allocated", a))}
	}
	return nil
}

// free finds an address that nobody has. It begins somewhere that the operation
// decides, not at the lowest: an address that was just given back would meet
// connections and caches that still mean its last service. The lower part of the
// range is for addresses that people ask for, as in Kubernetes.
func (t given) free(prefix netip.Prefix, dns string, op events.OpID) (string, bool) {
	base := prefix.Masked().Addr().As4()
	first := uint32(base[0])<<24 | uint32(base[1])<<16 | uint32(base[2])<<8 | uint32(base[3])
	size := uint32(1) << (32 - prefix.Bits())
	low := min(max(16, size/16), 256)
	if size < low+2 {
		low = 1
	}
	if size < 4 {
		return "", false
	}
	start := seedOf(op)
	for _, band := range [][2]uint32{{low, size - 1}, {1, low}} {
		n := band[1] - band[0]
		for i := range n {
			x := first + band[0] + (start%n+i)%n
			a := netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)}).String()
			if !t.addresses[a] && a != dns {
				return a, true
			}
		}
	}
	return "", false
}

// staticNodePorts is how many ports at the beginning of the range are left to
// people who ask for one, as in Kubernetes, while there are others.
const staticNodePorts = 86

func (t given) nodePorts(svc *corev1.Service, op events.OpID) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("spec", "ports")
	own := ownPorts(&svc.Spec)
	lazy := svc.Spec.Type == corev1.ServiceTypeLoadBalancer && svc.Spec.AllocateLoadBalancerNodePorts != nil && !*svc.Spec.AllocateLoadBalancerNodePorts
	for i := range svc.Spec.Ports {
		p, here := &svc.Spec.Ports[i], at.Index(i).Child("nodePort")
		switch {
		case p.NodePort != 0 && t.ports[p.NodePort]:
			errs = append(errs, field.Invalid(here, p.NodePort, "provided port is already allocated"))
		case p.NodePort != 0:
			if who, ok := t.holder(p.NodePort, p.Protocol); ok {
				errs = append(errs, field.Invalid(here, p.NodePort, "provided port is in use on this machine by "+who+"; leave nodePort out to be given a free one"))
			}
		case lazy: // its balancer goes to its address
		default:
			if p.NodePort = t.freeNodePort(p.Protocol, own, op); p.NodePort == 0 {
				errs = append(errs, field.InternalError(here, fmt.Errorf("failed to allocate a nodePort: range is full")))
			}
			own[p.NodePort] = true
		}
	}
	return errs
}

func ownPorts(s *corev1.ServiceSpec) map[int32]bool {
	own := map[int32]bool{s.HealthCheckNodePort: true}
	for _, p := range s.Ports {
		own[p.NodePort] = true
	}
	return own
}

// healthPort gives a service the port on which nodes tell its load balancer whether they have endpoints. It is
// a node port like any other, of nobody else.
func (t given) healthPort(s *corev1.ServiceSpec, op events.OpID) field.ErrorList {
	at, port := field.NewPath("spec", "healthCheckNodePort"), s.HealthCheckNodePort
	if port == 0 {
		if s.HealthCheckNodePort = t.freeNodePort(corev1.ProtocolTCP, ownPorts(s), op); s.HealthCheckNodePort == 0 {
			return field.ErrorList{field.InternalError(at, fmt.Errorf("failed to allocate a HealthCheck NodePort: range is full"))}
		}
		return nil
	}
	why := ""
	who, held := t.holder(port, corev1.ProtocolTCP)
	switch {
	case port < manifest.FirstNodePort || port > manifest.LastNodePort:
		why = fmt.Sprintf("provided port is not in the valid range. The range of valid ports is %d-%d", manifest.FirstNodePort, manifest.LastNodePort)
	case t.ports[port] || slices.ContainsFunc(s.Ports, func(p corev1.ServicePort) bool { return p.NodePort == port }):
		why = "provided port is already allocated"
	case held:
		why = "provided port is in use on this machine by " + who + "; leave healthCheckNodePort out to be given a free one"
	default:
		return nil
	}
	return field.ErrorList{field.Invalid(at, port, "failed to allocate requested HealthCheck NodePort: "+why)}
}

// freeNodePort finds a port that nobody has, or 0. It begins where the operation
// says: two clusters on one machine that give out ports at the same moment do not
// see each other's.
func (t given) freeNodePort(protocol corev1.Protocol, own map[int32]bool, op events.OpID) int32 {
	const dynamic = manifest.FirstNodePort + staticNodePorts
	for _, band := range [][2]int32{{dynamic, manifest.LastNodePort}, {manifest.FirstNodePort, dynamic - 1}} {
		n := band[1] - band[0] + 1
		for i := range n {
			port := band[0] + int32((seedOf(op)+uint32(i))%uint32(n))
			if _, foreign := t.holder(port, protocol); !t.ports[port] && !own[port] && !foreign {
				return port
			}
		}
	}
	return 0
}

// seedOf is a number that follows from an operation.
func seedOf(op events.OpID) uint32 {
	hash, seed := events.HashOf([]byte(op)), uint32(0)
	for i := range 8 {
		seed = seed<<4 | uint32(hash[i]&0xf)
	}
	return seed
}
