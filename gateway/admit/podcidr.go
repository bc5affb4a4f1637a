package admit

import (
	"encoding/binary"
	"iter"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// nodeBits is the size of a node's part of the pod CIDR, as Kubernetes gives by
// default; a node that takes more than spare fewer pods than that has addresses
// gets a larger one.
const (
	nodeBits = 24
	spare    = 6 // the network's own, the node's, and some of pods that are going
)

// podCIDR is the lowest part of the cluster's pod CIDR that no node has any of,
// large enough for so many pods.
func podCIDR(v projections.State, pods string) (string, *refusal) {
	all, err := netip.ParsePrefix(v.Cluster().PodCIDR)
	if err != nil || !all.Addr().Is4() {
		return "", refuse(metav1.StatusReasonInternalError, httpInternalServerError, events.Key{}, "the cluster has no IPv4 pod CIDR: %v", err)
	}
	unit := max(all.Bits(), nodeBits)
	bits := max(all.Bits(), partBits(pods))
	have := map[uint32]bool{} // the units that nodes have, by their first address
	nodes := 0
	for o := range v.List(events.Nodes, "") {
		nodes++
		p, err := netip.ParsePrefix(projections.As[*corev1.Node](o).Spec.PodCIDR)
		if err != nil || !p.Overlaps(all) {
			continue // a person wrote it, of another family or elsewhere
		}
		if p.Bits() < all.Bits() {
			p = all
		}
		for a := range units(p, unit) {
			have[a] = true
		}
	}
	first := number(all.Masked().Addr())
	for i := range uint32(1) << (bits - all.Bits()) {
		p := netip.PrefixFrom(address(first+i<<(32-bits)), bits)
		if !inUse(have, p, unit) {
			return p.String(), nil
		}
	}
	return "", refuse(metav1.StatusReasonForbidden, httpForbidden, events.Key{}, "no part of the pod CIDR %s with %d addresses is free: %d nodes have one", all, 1<<(32-bits), nodes)
}

// partBits is the size of the part for so many pods.
func partBits(pods string) int {
	q, err := quantity.ParseQuantity(pods)
	if err != nil {
		return nodeBits
	}
	bits := nodeBits
	for bits > 1 && q.Value()+spare > 1<<(32-bits) {
		bits--
	}
	return bits
}

func inUse(have map[uint32]bool, p netip.Prefix, unit int) bool {
	for a := range units(p, unit) {
		if have[a] {
			return true
		}
	}
	return false
}

// units are the first addresses of the units of so many bits that a network has some of.
func units(p netip.Prefix, unit int) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		first := number(p.Masked().Addr()) >> (32 - unit) << (32 - unit)
		for i := range uint32(1) << max(unit-p.Bits(), 0) {
			if !yield(first + i<<(32-unit)) {
				return
			}
		}
	}
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func address(x uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], x)
	return netip.AddrFrom4(b)
}
