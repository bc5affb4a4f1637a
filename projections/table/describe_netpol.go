package table

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// direction is one half of a policy, with the words in which kubectl tells it.
type direction struct {
	traffic string // "ingress"
	peer    string // "From"
	open    string // what no peers mean
	kind    networkingv1.PolicyType
	rules   []networkingv1.NetworkPolicyIngressRule // those for what goes out have the same parts
}

// networkPolicy tells of a policy, to the blank as kubectl does.
func (p page) networkPolicy(o *networkingv1.NetworkPolicy) {
	p.line(0, "Name:\t%s", o.Name)
	p.line(0, "Namespace:\t%s", o.Namespace)
	p.line(0, "Created on:\t%s", o.CreationTimestamp)
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	p.line(0, "Spec:")
	selected := "<none> (Allowing the specific traffic to all pods in this namespace)"
	if s := &o.Spec.PodSelector; len(s.MatchLabels)+len(s.MatchExpressions) > 0 {
		selected = metav1.FormatLabelSelector(s)
	}
	p.line(1, "PodSelector:     %s", selected)
	out := make([]networkingv1.NetworkPolicyIngressRule, len(o.Spec.Egress))
	for i, r := range o.Spec.Egress {
		out[i] = networkingv1.NetworkPolicyIngressRule{Ports: r.Ports, From: r.To}
	}
	for _, d := range []direction{
		{"ingress", "From", "source", networkingv1.PolicyTypeIngress, o.Spec.Ingress},
		{"egress", "To", "destination", networkingv1.PolicyTypeEgress, out},
	} {
		if slices.Contains(o.Spec.PolicyTypes, d.kind) {
			p.direction(d)
		} else {
			p.line(1, "Not affecting %s traffic", d.traffic)
		}
	}
	types := make([]string, len(o.Spec.PolicyTypes))
	for i, t := range o.Spec.PolicyTypes {
		types[i] = string(t)
	}
	p.line(1, "Policy Types: %s", strings.Join(types, ", "))
}

func (p page) direction(d direction) {
	p.line(1, "Allowing %s traffic:", d.traffic)
	if len(d.rules) == 0 {
		p.line(2, "<none> (Selected pods are isolated for %s connectivity)", d.traffic)
	}
	for i, r := range d.rules {
		if i > 0 {
			p.line(2, "----------")
		}
		if len(r.Ports) == 0 {
			p.line(2, "To Port: <any> (traffic allowed to all ports)")
		}
		for _, port := range r.Ports {
			p.policyPort(port)
		}
		if len(r.From) == 0 {
			p.line(2, "%s: <any> (traffic not restricted by %s)", d.peer, d.open)
		}
		for _, peer := range r.From {
			p.line(2, "%s:", d.peer)
			p.policyPeer(peer)
		}
	}
}

func (p page) policyPort(port networkingv1.NetworkPolicyPort) {
	carried := corev1.ProtocolTCP
	if port.Protocol != nil {
		carried = *port.Protocol
	}
	if port.EndPort != nil {
		p.line(2, "To Port Range: %s-%d/%s", port.Port, *port.EndPort, carried)
		return
	}
	p.line(2, "To Port: %s/%s", port.Port, carried)
}

func (p page) policyPeer(peer networkingv1.NetworkPolicyPeer) {
	if peer.NamespaceSelector != nil {
		p.line(3, "NamespaceSelector: %s", metav1.FormatLabelSelector(peer.NamespaceSelector))
	}
	if peer.PodSelector != nil {
		p.line(3, "PodSelector: %s", metav1.FormatLabelSelector(peer.PodSelector))
	}
	if peer.IPBlock != nil {
		p.line(3, "IPBlock:")
		p.line(4, "CIDR: %s", peer.IPBlock.CIDR)
		p.line(4, "Except: %s", strings.Join(peer.IPBlock.Except, ", "))
	}
}
