package policy

import (
	"math/bits"
	"slices"
)

// stretch is a range of ports for which the same rules hold.
type stretch struct {
	first, last int
	rules       []numbered
}

// every port of a protocol.
const maxPort = 1<<16 - 1

// stretches cuts a protocol's ports where rules begin and end. Ports that no rule is about are in none.
func stretches(proto Proto, rules []numbered) []stretch {
	cuts := []int{0, maxPort + 1}
	for _, r := range rules {
		for _, p := range r.Ports {
			if p.Proto == proto {
				cuts = append(cuts, int(p.First), int(p.Last)+1)
			}
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var out []stretch
	for i, first := range cuts[:len(cuts)-1] {
		s := stretch{first: first, last: cuts[i+1] - 1}
		for _, r := range rules {
			if r.about(proto, first) {
				s.rules = append(s.rules, r)
			}
		}
		if len(s.rules) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// about tells whether a rule allows a port to its peers.
func (r Rule) about(proto Proto, port int) bool {
	return r.AnyPort || slices.ContainsFunc(r.Ports, func(p Ports) bool {
		return p.Proto == proto && int(p.First) <= port && port <= int(p.Last)
	})
}

// rows covers a stretch with prefixes, at most thirty.
func (s stretch) rows(proto Proto, class string) []PortRow {
	var out []PortRow
	for at := s.first; at <= s.last; {
		size := 16 // as many ports as begin here by their bits, and are left
		if at > 0 {
			size = bits.TrailingZeros(uint(at))
		}
		for at+1<<size-1 > s.last {
			size--
		}
		out = append(out, PortRow{proto, uint16(at), 16 - size, class})
		at += 1 << size
	}
	return out
}
