package plan

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// HostPort is a port of the node that leads to one of a pod.
type HostPort struct {
	Protocol string         `json:"protocol"` // TCP, UDP
	Host     netip.AddrPort `json:"host"`     // the address is 0.0.0.0 for all of the node's
	Pod      netip.AddrPort `json:"pod"`
}

// HostPorts are the ports of the node that a pod asks for. A pod on the node's network opens them itself, and what is neither TCP
// nor UDP, or not IPv4, is not carried.
func HostPorts(pod *corev1.Pod, ip netip.Addr) []HostPort {
	if pod.Spec.HostNetwork {
		return nil
	}
	var out []HostPort
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			h := HostPort{Protocol: string(p.Protocol), Pod: netip.AddrPortFrom(ip, uint16(p.ContainerPort))}
			switch h.Protocol {
			case "":
				h.Protocol = string(corev1.ProtocolTCP)
			case string(corev1.ProtocolTCP), string(corev1.ProtocolUDP):
			default:
				continue
			}
			addr, err := netip.ParseAddr(p.HostIP)
			if addr = addr.Unmap(); err != nil || addr.IsUnspecified() {
				addr = netip.IPv4Unspecified()
			}
			if !addr.Is4() {
				continue // pods have no such addresses
			}
			h.Host = netip.AddrPortFrom(addr, uint16(p.HostPort))
			out = append(out, h)
		}
	}
	return out
}
