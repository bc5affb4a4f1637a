package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// Tables are what shall be in force. Sets and classes have names that say where they come from: they stay when a pod comes
// or goes among the peers, and are others when a spec is.
type Tables struct {
	Pods    map[uint32]Names // by link; of every pod that is known
	Sets    map[string][]PortRow
	Classes map[string][]PeerRow
}

// Names are a pod's sets, each empty where the pod is not isolated.
type Names struct{ Ingress, Egress string }

// PortRow leads the ports that agree with Port in their first Bits bits, 0 to 16, to a class.
type PortRow struct {
	Proto Proto
	Port  uint16
	Bits  int
	Class string
}

// PeerRow says whether the addresses of a network are in a class; the longest one that holds an address decides.
type PeerRow struct {
	Net netip.Prefix
	In  bool
}

// Compile makes the tables for a node's pods.
func Compile(all []Policy, pods []Pod) Tables {
	t := Tables{Pods: map[uint32]Names{}, Sets: map[string][]PortRow{}, Classes: map[string][]PeerRow{}}
	for _, p := range pods {
		var ingress, egress []spelled
		for _, pol := range all {
			if pol.Namespace != p.Namespace || !pol.Selector.Matches(labels.Set(p.Labels)) {
				continue
			}
			if pol.Ingress != nil {
				ingress = append(ingress, pol.spell("ingress", *pol.Ingress, p.Ports))
			}
			if pol.Egress != nil {
				egress = append(egress, pol.spell("egress", *pol.Egress, nil))
			}
		}
		t.Pods[p.Link] = Names{t.set(ingress), t.set(egress)}
	}
	return t
}

// spelled is what a policy allows a pod in one direction, with every port a number.
type spelled struct {
	name  string
	rules []numbered
}

// numbered is a rule without names of ports.
type numbered struct {
	name string
	Rule
}

// spell puts numbers in the place of the names of ports: the pod's own where others come to it, each peer's own where it
// goes to others.
func (p Policy) spell(direction string, rules Rules, own map[Name]uint16) spelled {
	out := spelled{name: fmt.Sprintf("%s/%s@%s %s", p.Namespace, p.Name, p.Version, direction)}
	for i, r := range rules {
		plain := numbered{fmt.Sprintf("%s %d", out.name, i), r}
		plain.Named = nil
		for _, n := range r.Named {
			if direction == "egress" {
				out.rules = append(out.rules, byPeer(plain, n)...)
			} else if port, ok := own[n]; ok {
				plain.Ports = append(slices.Clone(plain.Ports), Ports{n.Proto, port, port})
				out.name += fmt.Sprintf(" %s=%d", n.Name, port)
				plain.name += fmt.Sprintf(" %s=%d", n.Name, port)
			}
		}
		if plain.AnyPort || len(plain.Ports) > 0 {
			out.rules = append(out.rules, plain)
		}
	}
	return out
}

// byPeer is a rule for each number that the peers have for a name.
func byPeer(r numbered, n Name) []numbered {
	hosts := map[uint16][]Host{}
	for _, h := range r.Hosts {
		if port, ok := h.Ports[n]; ok {
			hosts[port] = append(hosts[port], h)
		}
	}
	var out []numbered
	for port, of := range hosts {
		out = append(out, numbered{fmt.Sprintf("%s %s=%d", r.name, n.Name, port), Rule{Hosts: of, Ports: []Ports{{n.Proto, port, port}}}})
	}
	slices.SortFunc(out, func(a, b numbered) int { return cmp.Compare(a.name, b.name) })
	return out
}

// set enters what policies allow together, and returns its name; empty when there are none.
func (t Tables) set(of []spelled) string {
	if len(of) == 0 {
		return ""
	}
	var names []string
	var rules []numbered
	for _, s := range of {
		names, rules = append(names, s.name), append(rules, s.rules...)
		for _, r := range s.rules { // of peers that change their numbers
			names = append(names, r.name)
		}
	}
	slices.Sort(names)
	name := strings.Join(names, "; ")
	if _, ok := t.Sets[name]; ok {
		return name
	}
	rows := []PortRow{}
	for _, proto := range protos {
		for _, s := range stretches(proto, rules) {
			rows = append(rows, s.rows(proto, t.class(s.rules))...)
		}
	}
	t.Sets[name] = rows
	return name
}

// class enters the peers of some rules together.
func (t Tables) class(of []numbered) string {
	names := make([]string, len(of))
	for i, r := range of {
		names[i] = r.name
	}
	slices.Sort(names)
	name := strings.Join(names, "; ")
	if _, ok := t.Classes[name]; !ok {
		t.Classes[name] = peers(of)
	}
	return name
}
