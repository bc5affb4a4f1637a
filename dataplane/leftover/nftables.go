package leftover

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/netdump"
)

// chain is one of nftables, as the kernel lists it.
type chain struct {
	family      uint8
	table, name string
}

// nftables finds what kube-proxy made, through the iptables of today or in a table of its own.
func nftables() ([]Finding, error) {
	all, err := netdump.Whole(listChains)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL) {
		return nil, nil // a kernel without nftables
	}
	if err != nil {
		return nil, fmt.Errorf("list nftables: %w", err)
	}
	var out []Finding
	for _, f := range []struct {
		family                   uint8
		name, save, restore, nft string
	}{
		{unix.NFPROTO_IPV4, "iptables (nft)", "iptables-nft-save", "iptables-nft-restore", "ip"},
		{unix.NFPROTO_IPV6, "ip6tables (nft)", "ip6tables-nft-save", "ip6tables-nft-restore", "ip6"},
	} {
		var names, own []string
		for _, c := range all {
			switch {
			case c.family != f.family:
			case c.table == "kube-proxy":
				own = append(own, c.name)
			default:
				names = append(names, c.name)
			}
		}
		out = append(out, chains(names, f.name, f.save+" | grep -v %s | "+f.restore)...)
		if len(own) > 0 {
			slices.Sort(own)
			out = append(out, Finding{"kube-proxy", counted(own, "chain") + " in the nftables table kube-proxy", "nft delete table " + f.nft + " kube-proxy"})
		}
	}
	return out, nil
}

func listChains() ([]chain, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.NFPROTO_UNSPEC, Version: unix.NFNETLINK_V0})
	raw, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return nil, err
	}
	var out []chain
	for _, m := range raw {
		const header = 4
		if len(m) < header {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[header:])
		if err != nil {
			return nil, fmt.Errorf("read chain: %w", err)
		}
		c := chain{family: m[0]}
		for _, a := range attrs {
			switch a.Attr.Type & nl.NLA_TYPE_MASK {
			case unix.NFTA_CHAIN_TABLE:
				c.table = unix.ByteSliceToString(a.Value)
			case unix.NFTA_CHAIN_NAME:
				c.name = unix.ByteSliceToString(a.Value)
			}
		}
		out = append(out, c)
	}
	return out, nil
}
