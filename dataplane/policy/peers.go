package policy

import (
	"net/netip"
	"slices"
)

// peers are the addresses that any of the rules allows, as networks of which the longest decides.
func peers(of []numbered) []PeerRow {
	var blocks []Block
	hosts := map[netip.Prefix]bool{}
	for _, r := range of {
		if r.Anyone {
			return []PeerRow{{netip.PrefixFrom(netip.IPv4Unspecified(), 0), true}}
		}
		for _, h := range r.Hosts {
			hosts[netip.PrefixFrom(h.Addr, 32)] = true
		}
		for _, b := range r.Blocks {
			if b.CIDR.Addr().Is4() { // pods have no others
				blocks = append(blocks, b)
			}
		}
	}
	out := []PeerRow{}
	for n := range hosts {
		out = append(out, PeerRow{n, true})
	}
	for _, n := range edges(blocks) {
		if !hosts[n] {
			out = append(out, PeerRow{n, slices.ContainsFunc(blocks, func(b Block) bool { return b.has(n) })})
		}
	}
	slices.SortFunc(out, func(a, b PeerRow) int { return a.Net.Compare(b.Net) })
	return out
}

// edges are the networks between which blocks differ: nothing that lies in one of them, and in none of those inside of it,
// is allowed by some block and not by all that hold it.
func edges(blocks []Block) []netip.Prefix {
	var out []netip.Prefix
	for _, b := range blocks {
		out = append(out, b.CIDR.Masked())
		for _, e := range b.Except {
			out = append(out, e.Masked())
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// has tells whether a block holds a network, which is one of its edges or another's.
func (b Block) has(n netip.Prefix) bool {
	within := func(outer netip.Prefix) bool { return outer.Bits() <= n.Bits() && outer.Contains(n.Addr()) }
	return within(b.CIDR) && !slices.ContainsFunc(b.Except, within)
}
