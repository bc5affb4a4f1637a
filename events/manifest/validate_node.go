package manifest

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// validateGround holds what all else stands on to its rules.
func validateGround(o events.Object) field.ErrorList {
	switch o := o.(type) {
	case *corev1.Node:
		return validateNode(&o.Spec, field.NewPath("spec"))
	case *corev1.Namespace:
		return validateNamespace(&o.Spec, field.NewPath("spec", "finalizers"))
	}
	return nil
}

// validateNode wants ranges that pods can have addresses of: at most one a family, the first of which is the old field's.
func validateNode(s *corev1.NodeSpec, at *field.Path) field.ErrorList {
	errs := validateTaints(s.Taints, at.Child("taints"))
	all := s.PodCIDRs
	if len(all) == 0 && s.PodCIDR != "" {
		all = []string{s.PodCIDR}
	}
	here := at.Child("podCIDRs")
	if s.PodCIDR != "" && all[0] != s.PodCIDR {
		errs = append(errs, field.Invalid(here.Index(0), all[0], "must be equal to podCIDR"))
	}
	families := map[bool]bool{}
	for i, text := range all {
		p, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			errs = append(errs, field.Invalid(here.Index(i), text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"))
		case p != p.Masked():
			errs = append(errs, field.Invalid(here.Index(i), text, "must not have bits set beyond the prefix length"))
		case families[p.Addr().Is4()]:
			errs = append(errs, field.Invalid(here, all, "may specify no more than one CIDR for each IP family"))
		default:
			families[p.Addr().Is4()] = true
		}
	}
	return errs
}

// validateNamespace holds the finalizers of a namespace's own to the rules of others.
func validateNamespace(s *corev1.NamespaceSpec, at *field.Path) field.ErrorList {
	names := make([]string, len(s.Finalizers))
	for i, f := range s.Finalizers {
		names[i] = string(f)
	}
	return append(validateFinalizers(names, at), domainsOf(names, at)...)
}
