package main

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/stave-run/stave/dataplane/podnet"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

func anyNode(keys []events.Key) bool {
	return slices.ContainsFunc(keys, func(k events.Key) bool { return k.Resource == events.Nodes })
}

// changePeers leads to the other nodes' pods, and lets pods keep their addresses
// on the way there. A node that shares no link with this one is told of and left
// out: the others are none the worse for it.
func (n *network) changePeers(put []projections.NetNode, drop []events.Key) error {
	for _, p := range put {
		n.peers[p.Key] = p
	}
	for _, k := range drop {
		delete(n.peers, k)
	}
	inside := slices.Clone(n.inside)
	var peers []podnet.Peer
	for _, p := range n.peers {
		pods, err := netip.ParsePrefix(p.PodCIDR)
		if err != nil || p.Address == "" || pods == n.own {
			continue // it has not joined yet, or is this one
		}
		via, err := netip.ParseAddr(p.Address)
		if err != nil {
			return fmt.Errorf("read address of %s: %w", p.Key, err)
		}
		peers = append(peers, podnet.Peer{PodCIDR: pods, Via: via})
		inside = append(inside, pods, netip.PrefixFrom(via, via.BitLen()))
	}
	if err := n.tables.SetInside(inside); err != nil {
		return err
	}
	if err := n.links.SetPeers(peers); err != nil {
		n.log.Warn("leading to other nodes' pods", "err", err)
	}
	return nil
}
