package admit

import (
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
	named := next.Type != "" && next.Type != before.Type
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
	if next.Type == corev1.ServiceTypeClusterIP || next.Type == corev1.ServiceTypeExternalName || next.Type == "" {
		if named && next.ExternalTrafficPolicy == before.ExternalTrafficPolicy {
			next.ExternalTrafficPolicy = ""
		}
		dropNodePorts(before, next)
		return
	}
	for i := range next.Ports {
		if p := &next.Ports[i]; p.NodePort == 0 {
			p.NodePort = nodePortOf(before, p)
		}
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

// allocate gives a service its address and node ports, as asked for or free.
func allocate(v projections.State, k events.Key, svc *corev1.Service, op events.OpID) field.ErrorList {
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	t := taken(v, k)
	errs := t.address(v, svc, op)
	if svc.Spec.Type == corev1.ServiceTypeNodePort || svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
		errs = append(errs, t.nodePorts(svc)...)
	}
	return errs
}

// given is what other services have.
type given struct {
	addresses map[string]bool
	ports     map[int32]bool
}

func taken(v projections.State, but events.Key) given {
	t := given{map[string]bool{}, map[int32]bool{}}
	for o := range v.List(events.Services, "") {
		if o.Key == but {
			continue
		}
		s := projections.As[*corev1.Service](o).Spec
		t.addresses[s.ClusterIP] = true
		for _, p := range s.Ports {
			t.ports[p.NodePort] = true
		}
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
	seed := events.HashOf([]byte(op))
	start := uint32(0)
	for i := range 8 {
		start = start<<4 | uint32(seed[i]&0xf)
	}
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

func (t given) nodePorts(svc *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("spec", "ports")
	own := map[int32]bool{}
	for _, p := range svc.Spec.Ports {
		own[p.NodePort] = true
	}
	for i := range svc.Spec.Ports {
		p, here := &svc.Spec.Ports[i], at.Index(i).Child("nodePort")
		switch {
		case p.NodePort != 0 && t.ports[p.NodePort]:
			errs = append(errs, field.Invalid(here, p.NodePort, "provided port is already allocated"))
		case p.NodePort != 0:
		default:
			for n := manifest.FirstNodePort; n <= manifest.LastNodePort && p.NodePort == 0; n++ {
				if !t.ports[n] && !own[n] {
					p.NodePort = n
				}
			}
			if p.NodePort == 0 {
				errs = append(errs, field.InternalError(here, fmt.Errorf("failed to allocate a nodePort: range is full")))
			}
			own[p.NodePort] = true
		}
	}
	return errs
}
