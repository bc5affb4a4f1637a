package manifest

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// policyTypes are the directions that a policy can hold in.
var policyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}

// policyRule is a rule of either direction: who is on the other side, and where the rule is.
type policyRule struct {
	ports []networkingv1.NetworkPolicyPort
	peers []networkingv1.NetworkPolicyPeer
	at    *field.Path
	said  string // what the rule calls its peers
}

// policyRulesOf are all rules of a policy, those for what comes in first.
func policyRulesOf(s *networkingv1.NetworkPolicySpec, at *field.Path) []policyRule {
	var out []policyRule
	for i, r := range s.Ingress {
		out = append(out, policyRule{r.Ports, r.From, at.Child("ingress").Index(i), "from"})
	}
	for i, r := range s.Egress {
		out = append(out, policyRule{r.Ports, r.To, at.Child("egress").Index(i), "to"})
	}
	return out
}

func validateNetworkPolicy(s *networkingv1.NetworkPolicySpec, at *field.Path) field.ErrorList {
	errs := validatePicks(&s.PodSelector, at.Child("podSelector"))
	for _, r := range policyRulesOf(s, at) {
		for i := range r.ports {
			errs = append(errs, validatePolicyPort(&r.ports[i], r.at.Child("ports").Index(i))...)
		}
		for i := range r.peers {
			errs = append(errs, validatePolicyPeer(&r.peers[i], r.at.Child(r.said).Index(i))...)
		}
	}
	here := at.Child("policyTypes")
	if len(s.PolicyTypes) > len(policyTypes) {
		return append(errs, field.Invalid(here, &s.PolicyTypes, "may not specify more than two policyTypes"))
	}
	for i, t := range s.PolicyTypes {
		if !slices.Contains(policyTypes, t) {
			errs = append(errs, field.NotSupported(here.Index(i), t, policyTypes))
		}
	}
	return errs
}

func validatePolicyPort(p *networkingv1.NetworkPolicyPort, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	carried := []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
	if p.Protocol != nil && !slices.Contains(carried, *p.Protocol) {
		errs = append(errs, field.NotSupported(at.Child("protocol"), *p.Protocol, carried))
	}
	end := at.Child("endPort")
	switch {
	case p.Port == nil && p.EndPort != nil:
		return append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is not specified"))
	case p.Port == nil:
		return errs
	case p.Port.Type == intstr.String:
		if p.EndPort != nil {
			errs = append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is non-numeric"))
		}
		return invalid(errs, at.Child("port"), p.Port.StrVal, validation.IsValidPortName(p.Port.StrVal))
	}
	errs = invalid(errs, at.Child("port"), p.Port.IntVal, validation.IsValidPortNum(int(p.Port.IntVal)))
	if p.EndPort == nil {
		return errs
	}
	if *p.EndPort < p.Port.IntVal {
		errs = append(errs, field.Invalid(end, *p.EndPort, "must be greater than or equal to `port`"))
	}
	return invalid(errs, end, *p.EndPort, validation.IsValidPortNum(int(*p.EndPort)))
}

// validatePolicyPeer wants selectors or a block of addresses, and not both.
func validatePolicyPeer(p *networkingv1.NetworkPolicyPeer, at *field.Path) field.ErrorList {
	selects := p.PodSelector != nil || p.NamespaceSelector != nil
	errs := append(validatePicks(p.PodSelector, at.Child("podSelector")), validatePicks(p.NamespaceSelector, at.Child("namespaceSelector"))...)
	if p.IPBlock != nil {
		errs = append(errs, validateBlock(p.IPBlock, at.Child("ipBlock"))...)
	}
	switch {
	case !selects && p.IPBlock == nil:
		errs = append(errs, field.Required(at, "must specify a peer"))
	case selects && p.IPBlock != nil:
		errs = append(errs, field.Forbidden(at, "may not specify both ipBlock and another peer"))
	}
	return errs
}

// validateBlock wants what is left out of a block to be less than the block, and in it.
func validateBlock(b *networkingv1.IPBlock, at *field.Path) field.ErrorList {
	if b.CIDR == "" {
		return field.ErrorList{field.Required(at.Child("cidr"), "")}
	}
	errs := validatePolicyCIDR(b.CIDR, at.Child("cidr"))
	block, err := netip.ParsePrefix(b.CIDR)
	for i, e := range b.Except {
		if err != nil {
			break // the block itself is what to mend first
		}
		here := at.Child("except").Index(i)
		errs = append(errs, validatePolicyCIDR(e, here)...)
		if out, bad := netip.ParsePrefix(e); bad == nil && (!block.Contains(out.Masked().Addr()) || block.Bits() >= out.Bits()) {
			errs = append(errs, field.Invalid(here, e, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}

// validatePolicyCIDR is as strict as Kubernetes is here: IPv6 may be spelled as people like.
func validatePolicyCIDR(cidr string, at *field.Path) field.ErrorList {
	return validation.IsValidCIDRForLegacyField(at, cidr, true, nil)
}

// networkPolicyWarnings are what to know of a policy that is valid: which of its blocks
// Kubernetes would spell otherwise, and what of it has no effect.
func networkPolicyWarnings(p *networkingv1.NetworkPolicy) []string {
	var out []string
	at := field.NewPath("spec")
	for _, r := range policyRulesOf(&p.Spec, at) {
		for i := range r.peers {
			if b := r.peers[i].IPBlock; b != nil {
				out = append(out, blockWarnings(b, r.at.Child(r.said).Index(i).Child("ipBlock"))...)
			}
		}
	}
	for _, d := range []struct {
		of    networkingv1.PolicyType
		name  string
		rules int
	}{{networkingv1.PolicyTypeIngress, "ingress", len(p.Spec.Ingress)}, {networkingv1.PolicyTypeEgress, "egress", len(p.Spec.Egress)}} {
		if d.rules > 0 && !slices.Contains(p.Spec.PolicyTypes, d.of) {
			out = append(out, fmt.Sprintf("%s: these rules have no effect: %s does not name %s", at.Child(d.name), at.Child("policyTypes"), d.of))
		}
	}
	return out
}

func blockWarnings(b *networkingv1.IPBlock, at *field.Path) []string {
	out := validation.GetWarningsForCIDR(at.Child("cidr"), b.CIDR)
	if p, err := netip.ParsePrefix(b.CIDR); err == nil && !p.Addr().Is4() {
		out = append(out, fmt.Sprintf("%s: pods have IPv4 addresses here: %q matches nobody", at.Child("cidr"), b.CIDR))
	}
	for i, e := range b.Except {
		out = append(out, validation.GetWarningsForCIDR(at.Child("except").Index(i), e)...)
	}
	return out
}
