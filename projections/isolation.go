package projections

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
)

// NetPolicy is one NetworkPolicy as the dataplane needs it: whom it isolates is said by labels, for a node knows its own pods
// before anybody else has heard of their addresses; who may speak with them by addresses.
type NetPolicy struct {
	Key      events.Key           `json:"key"`
	Version  string               `json:"version"` // of its spec
	Selector metav1.LabelSelector `json:"selector"`
	// Ingress and Egress are what may come and go; nil where the policy does not isolate.
	Ingress *NetRules `json:"ingress,omitempty"`
	Egress  *NetRules `json:"egress,omitempty"`
}

// NetRules each allow something; none of them nothing.
type NetRules struct {
	Rules []NetRule `json:"rules,omitempty"`
}

// NetRule allows its peers its ports. Ports without any are all.
type NetRule struct {
	Ports  []NetRange             `json:"ports,omitempty"`
	Anyone bool                   `json:"anyone,omitempty"`
	Hosts  []NetPeer              `json:"hosts,omitempty"` // in the order of their addresses
	Blocks []networkingv1.IPBlock `json:"blocks,omitempty"`
}

// NetRange is a range of ports of a protocol, or a port by the name that a container gives it.
type NetRange struct {
	Protocol string `json:"protocol"`
	First    int32  `json:"first,omitempty"`
	Last     int32  `json:"last,omitempty"`
	Name     string `json:"name,omitempty"`
}

// NetPeer is a pod among a rule's peers, with those of its ports that have a name of which the rule speaks.
type NetPeer struct {
	IP    string                 `json:"ip"`
	Ports []corev1.ContainerPort `json:"ports,omitempty"`
}

// PolicyRow is one NetworkPolicy as the dataplane needs it.
func PolicyRow(s State, k events.Key) (NetPolicy, bool) {
	o, ok := s.Get(k)
	if !ok || k.Resource != events.NetworkPolicies {
		return NetPolicy{}, false
	}
	return s.policyRow(o), true
}

func (s State) policyRow(o *Object) NetPolicy {
	spec := &As[*networkingv1.NetworkPolicy](o).Spec
	n := NetPolicy{Key: o.Key, Version: fmt.Sprintf("%s.%d", o.UID, o.Generation), Selector: spec.PodSelector}
	if slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
		n.Ingress = &NetRules{}
		for _, r := range spec.Ingress {
			n.Ingress.Rules = append(n.Ingress.Rules, s.netRule(o.Key.Namespace, r.From, r.Ports, false))
		}
	}
	if slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		n.Egress = &NetRules{}
		for _, r := range spec.Egress {
			n.Egress.Rules = append(n.Egress.Rules, s.netRule(o.Key.Namespace, r.To, r.Ports, true))
		}
	}
	return n
}

// netRule is one rule. Ports that are named are the pod's own where others come to it, and its peers' where it goes to them.
func (s State) netRule(namespace string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, egress bool) NetRule {
	r := NetRule{Anyone: len(peers) == 0}
	var names []NetRange
	for _, p := range ports {
		at := netRange(p)
		r.Ports = append(r.Ports, at)
		if egress && at.Name != "" {
			names = append(names, at)
		}
	}
	if r.Anyone && len(names) > 0 {
		peers = []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}} // whoever has such a port
	}
	hosts := map[string]NetPeer{}
	for _, p := range peers {
		if p.IPBlock != nil {
			r.Blocks = append(r.Blocks, *p.IPBlock)
			continue
		}
		s.hosts(chooserOf(namespace, p), names, hosts)
	}
	for _, ip := range slices.Sorted(maps.Keys(hosts)) {
		r.Hosts = append(r.Hosts, hosts[ip])
	}
	return r
}

func netRange(p networkingv1.NetworkPolicyPort) NetRange {
	out := NetRange{Protocol: string(corev1.ProtocolTCP), Last: 1<<16 - 1}
	if p.Protocol != nil {
		out.Protocol = string(*p.Protocol)
	}
	if p.Port == nil {
		return out
	}
	if out.Name = p.Port.StrVal; out.Name != "" {
		out.Last = 0
		return out
	}
	out.First, out.Last = p.Port.IntVal, p.Port.IntVal
	if p.EndPort != nil {
		out.Last = *p.EndPort
	}
	return out
}

// hosts finds the pods that are chosen.
func (s State) hosts(c chooser, names []NetRange, into map[string]NetPeer) {
	for _, namespace := range s.namespacesOf(c) {
		for o := range s.List(events.Pods, namespace) {
			p, _ := s.PodOf(o.Key)
			if ip := peerAddress(o, p); ip != "" && c.pods.Matches(labels.Set(o.PodLabels())) {
				into[ip] = NetPeer{IP: ip, Ports: portsNamed(o.PodSpec(), names)}
			}
		}
	}
}

func (s State) namespacesOf(c chooser) []string {
	if c.namespaces == nil {
		return []string{c.own}
	}
	var out []string
	for o := range s.List(events.Namespaces, "") {
		if c.namespaces.Matches(labels.Set(As[*corev1.Namespace](o).Labels)) {
			out = append(out, o.Key.Name)
		}
	}
	return out
}

// peerAddress is where a pod is known to the policies of others; empty when it is not: those on their node's network are
// their node.
func peerAddress(o *Object, p *Pod) string {
	if o == nil || p == nil || p.IP == "" || !p.Stopped.IsZero() || p.Failed != nil || o.PodSpec().HostNetwork || p.Finished(o) {
		return ""
	}
	return p.IP
}

func portsNamed(spec *corev1.PodSpec, names []NetRange) []corev1.ContainerPort {
	var out []corev1.ContainerPort
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, port := range c.Ports {
			protocol := string(protocol(port.Protocol))
			if slices.ContainsFunc(names, func(n NetRange) bool { return n.Name == port.Name && n.Protocol == protocol }) {
				out = append(out, corev1.ContainerPort{Name: port.Name, ContainerPort: port.ContainerPort, Protocol: port.Protocol})
			}
		}
	}
	return out
}

// chooser is a peer that selectors choose.
type chooser struct {
	own        string          // the policy's namespace
	namespaces labels.Selector // nil: its own
	pods       labels.Selector
}

func chooserOf(namespace string, p networkingv1.NetworkPolicyPeer) chooser {
	c := chooser{own: namespace, pods: labels.Everything()}
	if p.NamespaceSelector != nil {
		c.namespaces = selectorOf(p.NamespaceSelector)
	}
	if p.PodSelector != nil {
		c.pods = selectorOf(p.PodSelector)
	}
	return c
}

// selectorOf compiles what admission has checked.
func selectorOf(s *metav1.LabelSelector) labels.Selector {
	out, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return out
}

// PolicyChanges tells which NetworkPolicies the changed rows concern, and which are gone: their own, and pods and namespaces
// that are or were among their peers.
func PolicyChanges(s State, changes []Change) (changed, dropped []events.Key) {
	concerned := map[events.Key]bool{}
	watched := sync.OnceValue(s.policyWatches) // most changes are of nothing that policies look at
	for _, c := range changes {
		switch c.Key.Resource {
		case events.NetworkPolicies:
			_, there := s.Get(c.Key)
			concerned[c.Key] = there
		case events.Pods:
			if !samePeer(c) {
				s.concern(watched(), c, concerned)
			}
		case events.Namespaces:
			for _, w := range watched() {
				if w.wide() && !sameLabels(c) {
					concerned[w.key] = true
				}
			}
		}
	}
	for k, there := range concerned {
		if there {
			changed = append(changed, k)
		} else {
			dropped = append(dropped, k)
		}
	}
	slices.SortFunc(changed, compareKeys)
	slices.SortFunc(dropped, compareKeys)
	return changed, dropped
}

// policyWatch is whom the peers of a policy are chosen from.
type policyWatch struct {
	key     events.Key
	choices []chooser
}

func (w policyWatch) wide() bool {
	return slices.ContainsFunc(w.choices, func(c chooser) bool { return c.namespaces != nil })
}

func (s State) policyWatches() []policyWatch {
	var out []policyWatch
	for o := range s.List(events.NetworkPolicies, "") {
		spec := &As[*networkingv1.NetworkPolicy](o).Spec
		w := policyWatch{key: o.Key}
		for _, r := range spec.Ingress {
			w.choose(r.From)
		}
		for _, r := range spec.Egress {
			w.choose(r.To)
			if len(r.To) == 0 && slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool { return netRange(p).Name != "" }) {
				w.choices = append(w.choices, chooser{namespaces: labels.Everything(), pods: labels.Everything()})
			}
		}
		if len(w.choices) > 0 {
			out = append(out, w)
		}
	}
	return out
}

func (w *policyWatch) choose(peers []networkingv1.NetworkPolicyPeer) {
	for _, p := range peers {
		if p.IPBlock == nil {
			w.choices = append(w.choices, chooserOf(w.key.Namespace, p))
		}
	}
}

// concern notes the policies that a pod was or is among the peers of.
func (s State) concern(watches []policyWatch, c Change, concerned map[events.Key]bool) {
	var spaces labels.Set
	if ns, ok := s.Get(events.Key{Resource: events.Namespaces, Name: c.Key.Namespace}); ok {
		spaces = As[*corev1.Namespace](ns).Labels
	}
	for _, w := range watches {
		if slices.ContainsFunc(w.choices, func(x chooser) bool {
			within := x.namespaces == nil && x.own == c.Key.Namespace || x.namespaces != nil && x.namespaces.Matches(spaces)
			return within && (chosen(x, c.Before) || chosen(x, c.After))
		}) {
			concerned[w.key] = true
		}
	}
}

func chosen(c chooser, o *Object) bool { return o != nil && c.pods.Matches(labels.Set(o.PodLabels())) }

func samePeer(c Change) bool {
	before, after := peerAddress(c.Before, c.PodBefore), peerAddress(c.After, c.PodAfter)
	return before == after && (after == "" || c.Before == c.After || maps.Equal(c.Before.PodLabels(), c.After.PodLabels()))
}

func sameLabels(c Change) bool {
	return c.Before != nil && c.After != nil && maps.Equal(As[*corev1.Namespace](c.Before).Labels, As[*corev1.Namespace](c.After).Labels)
}

// policyRows are all NetworkPolicies, in the order of namespace and name.
func (s State) policyRows() []NetPolicy {
	var out []NetPolicy
	for o := range s.List(events.NetworkPolicies, "") {
		out = append(out, s.policyRow(o))
	}
	return out
}
