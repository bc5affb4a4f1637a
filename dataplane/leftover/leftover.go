// Package leftover finds the rules of another service proxy on this machine:
// kube-proxy's chains in iptables and nftables, its virtual servers in IPVS, and
// Cilium's programs on cgroups and links. They go on translating addresses of services
// that no longer exist, and chains of thousands of services slow every new connection
// down several times over. They are found over netlink and system calls: no iptables, nft
// or ipvsadm has to be there. Everything is looked for in the network namespace that the
// process is in.
package leftover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Finding is what one proxy has left in one place.
type Finding struct {
	Owner  string // "kube-proxy", "Cilium"
	What   string // "12 chains of iptables (nft): KUBE-SERVICES, …"
	Remove string // a command that takes it away
}

// String is the finding and what to do about it.
func (f Finding) String() string {
	return fmt.Sprintf("%s left %s; remove with: %s", f.Owner, f.What, f.Remove)
}

// proxies tells whose a chain is by how its name begins.
var proxies = []struct{ prefix, owner string }{{"KUBE-", "kube-proxy"}, {"CILIUM_", "Cilium"}}

// Find looks everywhere. What could not be looked at is in the error; the findings are
// good nevertheless. cgroup is the root of the cgroup2 hierarchy, or empty.
func Find(cgroup string) ([]Finding, error) {
	var out []Finding
	var errs []error
	for _, look := range []func() ([]Finding, error){
		nftables, iptables, virtualServers,
		func() ([]Finding, error) { return socketPrograms(cgroup) },
		linkPrograms,
	} {
		found, err := look()
		out, errs = append(out, found...), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// chains groups the chains of one kind of rules by who made them. remove is the command,
// with a %s where the beginning of the names goes.
func chains(names []string, kind, remove string) []Finding {
	var out []Finding
	for _, p := range proxies {
		var own []string
		for _, n := range names {
			if strings.HasPrefix(n, p.prefix) {
				own = append(own, n)
			}
		}
		slices.Sort(own)
		if own = slices.Compact(own); len(own) > 0 {
			out = append(out, Finding{p.owner, counted(own, "chain") + " of " + kind, fmt.Sprintf(remove, p.prefix)})
		}
	}
	return out
}

// shown is how many names a finding lists.
const shown = 3

// counted is "1 chain (A)" or "9 chains (A, B, C, …)".
func counted(names []string, one string) string {
	list := strings.Join(names[:min(shown, len(names))], ", ")
	if len(names) > shown {
		list += ", …"
	}
	if len(names) == 1 {
		return fmt.Sprintf("1 %s (%s)", one, list)
	}
	return fmt.Sprintf("%d %ss (%s)", len(names), one, list)
}
