package manifest

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// IngressAnnotation named the class of an Ingress before there was a field for it.
const IngressAnnotation = "kubernetes.io/ingress.class"

// longestController is how many characters the name of an ingress controller has at most.
const longestController = 250

func validateIngress(i *networkingv1.Ingress) field.ErrorList {
	at, s := field.NewPath("spec"), &i.Spec
	var errs field.ErrorList
	if len(s.Rules) == 0 && s.DefaultBackend == nil {
		errs = append(errs, field.Invalid(at, s.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if s.DefaultBackend != nil {
		errs = append(errs, validateBackend(s.DefaultBackend, at.Child("defaultBackend"))...)
	}
	for n, r := range s.Rules {
		errs = append(errs, validateIngressRule(r, at.Child("rules").Index(n))...)
	}
	for n, t := range s.TLS {
		here := at.Child("tls").Index(n)
		for h, host := range t.Hosts {
			errs = append(errs, validateHostName(host, here.Child("hosts").Index(h))...)
		}
		if t.SecretName != "" {
			errs = invalid(errs, here.Child("secretName"), t.SecretName, validation.IsDNS1123Subdomain(t.SecretName))
		}
	}
	if s.IngressClassName != nil {
		errs = invalid(errs, at.Child("ingressClassName"), *s.IngressClassName, validation.IsDNS1123Subdomain(*s.IngressClassName))
	}
	return errs
}

// IngressNames wants the field and the annotation that it took the place of to say the
// same; of an Ingress that is there already Kubernetes does not.
func IngressNames(i *networkingv1.Ingress) field.ErrorList {
	said, ok := i.Annotations[IngressAnnotation]
	if !ok || i.Spec.IngressClassName == nil || said == *i.Spec.IngressClassName {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("annotations").Child(IngressAnnotation), said, "must match `ingressClassName` when both are specified")}
}

func validateHostName(host string, at *field.Path) field.ErrorList {
	if strings.Contains(host, "*") {
		return invalid(nil, at, host, validation.IsWildcardDNS1123Subdomain(host))
	}
	return invalid(nil, at, host, validation.IsDNS1123Subdomain(host))
}

func validateIngressRule(r networkingv1.IngressRule, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if _, err := netip.ParseAddr(r.Host); err == nil {
		errs = append(errs, field.Invalid(at.Child("host"), r.Host, "must be a DNS name, not an IP address"))
	}
	if r.Host != "" {
		errs = append(errs, validateHostName(r.Host, at.Child("host"))...)
	}
	if r.HTTP == nil {
		return errs
	}
	paths := at.Child("http", "paths")
	if len(r.HTTP.Paths) == 0 {
		errs = append(errs, field.Required(paths, ""))
	}
	for i := range r.HTTP.Paths {
		errs = append(errs, validateIngressPath(&r.HTTP.Paths[i], paths.Index(i))...)
	}
	return errs
}

func validateIngressPath(p *networkingv1.HTTPIngressPath, at *field.Path) field.ErrorList {
	if p.PathType == nil {
		return field.ErrorList{field.Required(at.Child("pathType"), "pathType must be specified")}
	}
	var errs field.ErrorList
	wrong := func(said string) { errs = append(errs, field.Invalid(at.Child("path"), p.Path, said)) }
	exact := *p.PathType == networkingv1.PathTypeExact || *p.PathType == networkingv1.PathTypePrefix
	switch {
	case !exact && *p.PathType != networkingv1.PathTypeImplementationSpecific:
		errs = oneOf(errs, at.Child("pathType"), *p.PathType, networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific, networkingv1.PathTypePrefix)
	case !strings.HasPrefix(p.Path, "/") && (exact || p.Path != ""):
		wrong("must be an absolute path")
	}
	if exact {
		for _, part := range []string{"//", "/./", "/../", "%2f", "%2F"} {
			if strings.Contains(p.Path, part) {
				wrong(fmt.Sprintf("must not contain '%s'", part))
			}
		}
		for _, end := range []string{"/..", "/."} {
			if strings.HasSuffix(p.Path, end) {
				wrong(fmt.Sprintf("cannot end with '%s'", end))
			}
		}
	}
	return append(errs, validateBackend(&p.Backend, at.Child("backend"))...)
}

// validateBackend wants a service with one port, or another object.
func validateBackend(b *networkingv1.IngressBackend, at *field.Path) field.ErrorList {
	switch {
	case b.Resource != nil && b.Service != nil:
		return field.ErrorList{field.Invalid(at, "", "cannot set both resource and service backends")}
	case b.Resource != nil:
		return validateNamed(b.Resource.APIGroup, b.Resource.Kind, b.Resource.Name, at.Child("resource"))
	case b.Service == nil:
		return field.ErrorList{field.Invalid(at, "", "resource or service backend is required")}
	}
	s, here := b.Service, at.Child("service")
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(here.Child("name"), ""))
	} else {
		errs = invalid(errs, here.Child("name"), s.Name, validation.IsDNS1123Label(s.Name))
	}
	switch {
	case s.Port.Name != "" && s.Port.Number != 0:
		errs = append(errs, field.Invalid(at, "", "cannot set both port name & port number"))
	case s.Port.Name != "":
		errs = invalid(errs, here.Child("port", "name"), s.Port.Name, validation.IsValidPortName(s.Port.Name))
	case s.Port.Number != 0:
		errs = invalid(errs, here.Child("port", "number"), s.Port.Number, validation.IsValidPortNum(int(s.Port.Number)))
	default:
		errs = append(errs, field.Required(at, "port name or number is required"))
	}
	return errs
}

// validateNamed is a reference to an object of some kind.
func validateNamed(group *string, kind, name string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if group != nil {
		errs = invalid(errs, at.Child("apiGroup"), *group, validation.IsDNS1123Subdomain(*group))
	}
	return append(append(errs, validateSegment(kind, at.Child("kind"))...), validateSegment(name, at.Child("name"))...)
}

// validateSegment wants a word that can stand in a path.
func validateSegment(word string, at *field.Path) field.ErrorList {
	if word == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return invalid(nil, at, word, pathSegment(word))
}

func validateIngressClass(c *networkingv1.IngressClass) field.ErrorList {
	at := field.NewPath("spec", "controller")
	var errs field.ErrorList
	if len(c.Spec.Controller) > longestController {
		errs = append(errs, field.TooLong(at, "", longestController))
	}
	errs = append(errs, validation.IsDomainPrefixedPath(at, c.Spec.Controller)...)
	p, here := c.Spec.Parameters, field.NewPath("spec", "parameters")
	if p == nil {
		return errs
	}
	errs = append(errs, validateNamed(p.APIGroup, p.Kind, p.Name, here)...)
	const cluster, namespaced = networkingv1.IngressClassParametersReferenceScopeCluster, networkingv1.IngressClassParametersReferenceScopeNamespace
	scope := here.Child("scope")
	switch {
	case p.Scope == nil:
		return append(errs, field.Required(scope, ""))
	case *p.Scope == namespaced && p.Namespace == nil:
		errs = append(errs, field.Required(here.Child("namespace"), "`parameters.scope` is set to 'Namespace'"))
	case *p.Scope == namespaced:
		errs = invalid(errs, here.Child("namespace"), *p.Namespace, validation.IsDNS1123Label(*p.Namespace))
	case *p.Scope == cluster && p.Namespace != nil:
		errs = append(errs, field.Forbidden(here.Child("namespace"), "`parameters.scope` is set to 'Cluster'"))
	}
	return oneOf(errs, scope, *p.Scope, cluster, namespaced)
}

// IngressStatus says what is wrong with where an Ingress is said to be reached.
func IngressStatus(s *networkingv1.IngressStatus) field.ErrorList {
	var errs field.ErrorList
	for i, l := range s.LoadBalancer.Ingress {
		at := field.NewPath("status", "loadBalancer", "ingress").Index(i)
		if _, err := netip.ParseAddr(l.IP); l.IP != "" && err != nil {
			errs = append(errs, field.Invalid(at.Child("ip"), l.IP, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))
		}
		if l.Hostname == "" {
			continue
		}
		errs = invalid(errs, at.Child("hostname"), l.Hostname, validation.IsDNS1123Subdomain(l.Hostname))
		if _, err := netip.ParseAddr(l.Hostname); err == nil {
			errs = append(errs, field.Invalid(at.Child("hostname"), l.Hostname, "must be a DNS name, not an IP address"))
		}
	}
	return errs
}

// validateAddress is an IPAddress.
func validateAddress(a *networkingv1.IPAddress) field.ErrorList {
	r, at := a.Spec.ParentRef, field.NewPath("spec", "parentRef")
	if r == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	if r.Group != "" {
		errs = invalid(errs, at.Child("group"), r.Group, validation.IsDNS1123Subdomain(r.Group))
	}
	errs = append(append(errs, validateSegment(r.Resource, at.Child("resource"))...), validateSegment(r.Name, at.Child("name"))...)
	if r.Namespace != "" {
		errs = append(errs, validateSegment(r.Namespace, at.Child("namespace"))...)
	}
	return errs
}

// addressName wants the one way to write an IP address.
func addressName(name string) []string {
	var said []string
	for _, err := range validation.IsValidIP(nil, name) {
		said = append(said, err.Detail)
	}
	return said
}

// validateRanges is what a ServiceCIDR holds: one range, or one of each family.
func validateRanges(c *networkingv1.ServiceCIDR) field.ErrorList {
	at, ranges := field.NewPath("spec", "cidrs"), c.Spec.CIDRs
	switch {
	case len(ranges) == 0:
		return field.ErrorList{field.Required(at, "at least one CIDR required")}
	case len(ranges) > 2:
		return field.ErrorList{field.Invalid(at, ranges, "may only hold up to 2 values")}
	}
	var errs field.ErrorList
	families := map[corev1.IPFamily]bool{}
	for i, r := range ranges {
		errs = append(errs, validation.IsValidCIDR(at.Index(i), r)...)
		p, err := netip.ParsePrefix(r)
		family := corev1.IPv6Protocol
		if p.Addr().Is4() {
			family = corev1.IPv4Protocol
		}
		if err == nil && families[family] {
			errs = append(errs, field.Invalid(at, ranges, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"))
		}
		families[family] = err == nil || families[family]
	}
	return errs
}
