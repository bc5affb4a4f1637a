package manifest

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateDeviceClass(s *resourcev1.DeviceClassSpec, at *field.Path) field.ErrorList {
	errs := each(s.Selectors, resourcev1.DeviceSelectorsMaxSize, at.Child("selectors"), validateDeviceSelector)
	errs = append(errs, each(s.Config, resourcev1.DeviceConfigMaxSize, at.Child("config"), func(c *resourcev1.DeviceClassConfiguration, at *field.Path) field.ErrorList {
		return validateDeviceConfig(&c.DeviceConfiguration, at)
	})...)
	if n := s.ExtendedResourceName; n != nil && !isExtended(corev1.ResourceName(*n)) {
		errs = append(errs, field.Invalid(at.Child("extendedResourceName"), *n, "must be a valid extended resource name"))
	}
	return errs
}

// asked are the names of a claim's requests, each with those of the alternatives that it names.
type asked map[string][]string

func askedOf(c *resourcev1.DeviceClaim) asked {
	out := asked{}
	for _, r := range c.Requests {
		out[r.Name] = nil
		for _, s := range r.FirstAvailable {
			out[r.Name] = append(out[r.Name], s.Name)
		}
	}
	return out
}

// has tells whether a name is one of a request, or "request/alternative".
func (a asked) has(name string) bool {
	request, sub, deeper := strings.Cut(name, "/")
	subs, ok := a[request]
	if !ok || !deeper {
		return ok
	}
	for _, s := range subs {
		if s == sub {
			return true
		}
	}
	return false
}

// named is the rule for what names a request.
func (a asked) named(name *string, at *field.Path) field.ErrorList {
	const said = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
	segments := strings.Split(*name, "/")
	if len(segments) > 2 {
		return field.ErrorList{field.Invalid(at, *name, said)}
	}
	var errs field.ErrorList
	for _, s := range segments {
		errs = append(errs, aLabel(&s, at)...)
	}
	if !a.has(*name) {
		errs = append(errs, field.Invalid(at, *name, said))
	}
	return errs
}

func (a asked) list(names []string, at *field.Path) field.ErrorList {
	return eachOnce(names, resourcev1.DeviceRequestsMaxSize, at, itself, a.named)
}

func validateDeviceClaim(c *resourcev1.DeviceClaim, at *field.Path) field.ErrorList {
	names := askedOf(c)
	errs := eachOnce(c.Requests, resourcev1.DeviceRequestsMaxSize, at.Child("requests"), func(r *resourcev1.DeviceRequest) string { return r.Name },
		func(r *resourcev1.DeviceRequest, at *field.Path) field.ErrorList {
			return validateDeviceRequest(r, c.Constraints, at)
		})
	errs = append(errs, each(c.Constraints, resourcev1.DeviceConstraintsMaxSize, at.Child("constraints"), func(x *resourcev1.DeviceConstraint, at *field.Path) field.ErrorList {
		return validateDeviceConstraint(x, names, at)
	})...)
	return append(errs, each(c.Config, resourcev1.DeviceConfigMaxSize, at.Child("config"), func(x *resourcev1.DeviceClaimConfiguration, at *field.Path) field.ErrorList {
		return append(names.list(x.Requests, at.Child("requests")), validateDeviceConfig(&x.DeviceConfiguration, at)...)
	})...)
}

func validateDeviceRequest(r *resourcev1.DeviceRequest, bound []resourcev1.DeviceConstraint, at *field.Path) field.ErrorList {
	errs := aLabel(&r.Name, at.Child("name"))
	switch some := len(r.FirstAvailable) > 0; {
	case !some && r.Exactly == nil:
		return append(errs, field.Required(at, "exactly one of `exactly` or `firstAvailable` is required"))
	case some && r.Exactly != nil:
		return append(errs, field.Invalid(at, nil, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"))
	case some:
		return append(errs, eachOnce(r.FirstAvailable, resourcev1.FirstAvailableDeviceRequestMaxSize, at.Child("firstAvailable"), func(s *resourcev1.DeviceSubRequest) string { return s.Name },
			func(s *resourcev1.DeviceSubRequest, at *field.Path) field.ErrorList {
				w := wished{s.DeviceClassName, s.Selectors, s.AllocationMode, s.Count, s.Tolerations, s.DerivedAttributes, r.Name + "/" + s.Name}
				return append(aLabel(&s.Name, at.Child("name")), w.validate(bound, at)...)
			})...)
	}
	x := r.Exactly
	w := wished{x.DeviceClassName, x.Selectors, x.AllocationMode, x.Count, x.Tolerations, x.DerivedAttributes, r.Name}
	return append(errs, w.validate(bound, at.Child("exactly"))...)
}

// wished is what both forms of a request say.
type wished struct {
	class       string
	selectors   []resourcev1.DeviceSelector
	mode        resourcev1.DeviceAllocationMode
	count       int64
	tolerations []resourcev1.DeviceToleration
	derived     []resourcev1.DeviceDerivedAttribute
	request     string // its name
}

func (w *wished) validate(bound []resourcev1.DeviceConstraint, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if class := at.Child("deviceClassName"); w.class == "" {
		errs = append(errs, field.Required(class, ""))
	} else {
		errs = invalid(errs, class, w.class, validation.IsDNS1123Subdomain(w.class))
	}
	errs = append(errs, each(w.selectors, resourcev1.DeviceSelectorsMaxSize, at.Child("selectors"), validateDeviceSelector)...)
	errs = append(errs, eachOnce(w.derived, resourcev1.DeviceDerivedAttributesMaxSize, at.Child("derivedAttributes"), func(d *resourcev1.DeviceDerivedAttribute) string { return string(d.Name) },
		func(d *resourcev1.DeviceDerivedAttribute, at *field.Path) field.ErrorList {
			return w.attribute(d, bound, at)
		})...)
	switch count := at.Child("count"); {
	case w.mode == resourcev1.DeviceAllocationModeAll && w.count != 0:
		errs = append(errs, field.Invalid(count, w.count, "must not be specified when allocationMode is '"+string(w.mode)+"'"))
	case w.mode == resourcev1.DeviceAllocationModeExactCount && w.count <= 0:
		errs = append(errs, field.Invalid(count, w.count, notPositive))
	}
	errs = oneOf(errs, at.Child("allocationMode"), w.mode, resourcev1.DeviceAllocationModeAll, resourcev1.DeviceAllocationModeExactCount)
	return append(errs, each(w.tolerations, resourcev1.DeviceTolerationsMaxLength, at.Child("tolerations"), validateDeviceToleration)...)
}

// attribute wants that somebody compares what is derived: nothing else can be done with it.
func (w *wished) attribute(d *resourcev1.DeviceDerivedAttribute, bound []resourcev1.DeviceConstraint, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name := at.Child("name"); d.Name == "" {
		errs = append(errs, field.Required(name, ""))
	} else {
		errs = append(errs, fullName(string(d.Name), name)...)
		if !w.compared(string(d.Name), bound) {
			errs = append(errs, field.Invalid(name, d.Name, "must be referenced by at least one matchAttribute or distinctAttribute constraint targeting this request"))
		}
	}
	if d.Expression == "" {
		errs = append(errs, field.Required(at.Child("expression"), ""))
	}
	return errs
}

func (w *wished) compared(name string, bound []resourcev1.DeviceConstraint) bool {
	parent, _, _ := strings.Cut(w.request, "/")
	for _, c := range bound {
		by := c.MatchAttribute
		if by == nil {
			by = c.DistinctAttribute
		}
		if by == nil || string(*by) != name {
			continue
		}
		if len(c.Requests) == 0 {
			return true
		}
		for _, r := range c.Requests {
			if r == w.request || r == parent {
				return true
			}
		}
	}
	return false
}

func validateDeviceSelector(s *resourcev1.DeviceSelector, at *field.Path) field.ErrorList {
	if s.CEL == nil {
		return field.ErrorList{field.Required(at.Child("cel"), "")}
	}
	if len(s.CEL.Expression) > resourcev1.CELSelectorExpressionMaxLength {
		return field.ErrorList{field.TooLong(at.Child("cel", "expression"), "", resourcev1.CELSelectorExpressionMaxLength)}
	}
	return nil
}

func validateDeviceConstraint(c *resourcev1.DeviceConstraint, names asked, at *field.Path) field.ErrorList {
	errs := names.list(c.Requests, at.Child("requests"))
	if c.MatchAttribute != nil {
		errs = append(errs, fullName(string(*c.MatchAttribute), at.Child("matchAttribute"))...)
	}
	if c.DistinctAttribute != nil {
		errs = append(errs, fullName(string(*c.DistinctAttribute), at.Child("distinctAttribute"))...)
	}
	if (c.MatchAttribute == nil) == (c.DistinctAttribute == nil) {
		errs = append(errs, field.Required(at, `exactly one of "matchAttribute" or "distinctAttribute" is required`))
	}
	return errs
}

func validateDeviceConfig(c *resourcev1.DeviceConfiguration, at *field.Path) field.ErrorList {
	here := at.Child("opaque")
	if c.Opaque == nil {
		return field.ErrorList{field.Required(here, "")}
	}
	errs := driverName(c.Opaque.Driver, here.Child("driver"))
	return append(errs, jsonObject(c.Opaque.Parameters.Raw, resourcev1.OpaqueParametersMaxLength, here.Child("parameters"))...)
}
