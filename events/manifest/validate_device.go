package manifest

import (
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// validateDevices holds the kinds by which devices are offered, asked for and given to their rules. Expressions in CEL are
// read where policies' are: gateway/policy.
func validateDevices(o events.Object) field.ErrorList {
	at := field.NewPath("spec")
	switch o := o.(type) {
	case *resourcev1.DeviceClass:
		return validateDeviceClass(&o.Spec, at)
	case *resourcev1.ResourceClaim:
		return validateDeviceClaim(&o.Spec.Devices, at.Child("devices"))
	case *resourcev1.ResourceClaimTemplate:
		errs := validateLabels(o.Spec.Labels, at.Child("metadata", "labels"))
		errs = append(errs, validateAnnotations(o.Spec.Annotations, at.Child("metadata", "annotations"))...)
		return append(errs, validateDeviceClaim(&o.Spec.Spec.Devices, at.Child("spec", "devices"))...)
	case *resourcev1.ResourceSlice:
		return validateDeviceSlice(&o.Spec, at)
	case *resourcev1.DeviceTaintRule:
		return validateTaintRule(&o.Spec, at)
	}
	return nil
}

// updateDevices keeps what was asked for, and where a slice's devices are.
func updateDevices(old, next events.Object) field.ErrorList {
	at := field.NewPath("spec")
	switch old := old.(type) {
	case *resourcev1.ResourceClaim:
		if n, ok := next.(*resourcev1.ResourceClaim); ok {
			return unchanged(nil, at, old.Spec, n.Spec)
		}
	case *resourcev1.ResourceClaimTemplate:
		if n, ok := next.(*resourcev1.ResourceClaimTemplate); ok {
			return unchanged(nil, at, old.Spec, n.Spec)
		}
	case *resourcev1.ResourceSlice:
		if n, ok := next.(*resourcev1.ResourceSlice); ok {
			errs := unchanged(nil, at.Child("pool", "name"), old.Spec.Pool.Name, n.Spec.Pool.Name)
			errs = unchanged(errs, at.Child("driver"), old.Spec.Driver, n.Spec.Driver)
			return unchanged(errs, at.Child("nodeName"), old.Spec.NodeName, n.Spec.NodeName)
		}
	}
	return nil
}

// each holds the items of a list to a rule, unless there are too many to look at.
func each[T any](list []T, most int, at *field.Path, rule func(*T, *field.Path) field.ErrorList) field.ErrorList {
	if len(list) > most {
		return field.ErrorList{field.TooMany(at, len(list), most)}
	}
	var errs field.ErrorList
	for i := range list {
		errs = append(errs, rule(&list[i], at.Index(i))...)
	}
	return errs
}

// eachOnce is each for a list whose items have names that differ.
func eachOnce[T any](list []T, most int, at *field.Path, name func(*T) string, rule func(*T, *field.Path) field.ErrorList) field.ErrorList {
	errs := each(list, most, at, rule)
	if len(list) > most {
		return errs
	}
	seen := map[string]bool{}
	for i := range list {
		n := name(&list[i])
		if seen[n] {
			errs = append(errs, field.Duplicate(at.Index(i), n))
		}
		seen[n] = true
	}
	return errs
}

func itself(s *string) string { return *s }

func aLabel(name *string, at *field.Path) field.ErrorList {
	return invalid(nil, at, *name, validation.IsDNS1123Label(*name))
}

func aLabelName(name *string, at *field.Path) field.ErrorList {
	return invalid(nil, at, *name, validation.IsQualifiedName(*name))
}

// poolName is a path of names of domains.
func poolName(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	if len(name) > resourcev1.PoolNameMaxLength {
		errs = append(errs, field.TooLong(at, "", resourcev1.PoolNameMaxLength))
	}
	for part := range strings.SplitSeq(name, "/") {
		errs = invalid(errs, at, part, validation.IsDNS1123Subdomain(part))
	}
	return errs
}

// attributeName is a name of an attribute or a capacity: an identifier, of a domain when one is before it.
func attributeName(name string, at *field.Path) field.ErrorList {
	domain, id, qualified := strings.Cut(name, "/")
	if !qualified {
		return identifier(name, at)
	}
	var errs field.ErrorList
	if domain == "" {
		errs = append(errs, field.Invalid(at, "", "the domain must not be empty"))
	} else {
		errs = append(errs, driverName(domain, at)...)
	}
	if id == "" {
		return append(errs, field.Invalid(at, "", "the name must not be empty"))
	}
	return append(errs, identifier(id, at)...)
}

func identifier(id string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(id) > resourcev1.DeviceMaxIDLength {
		errs = append(errs, field.TooLong(at, "", resourcev1.DeviceMaxIDLength))
	}
	return invalid(errs, at, id, validation.IsCIdentifier(id))
}

// fullName is attributeName with a domain.
func fullName(name string, at *field.Path) field.ErrorList {
	errs := attributeName(name, at)
	if !strings.Contains(name, "/") {
		errs = append(errs, field.Invalid(at, name, "a fully qualified name must be a domain and a name separated by a slash"))
	}
	return errs
}

// jsonObject wants parameters for a driver: an object, and not a long one.
func jsonObject(raw []byte, most int, at *field.Path) field.ErrorList {
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return field.ErrorList{field.Required(at, "")}
	case len(raw) > most:
		return field.ErrorList{field.TooLong(at, "", most)}
	}
	if text := strings.TrimSpace(string(raw)); !strings.HasPrefix(text, "{") {
		return field.ErrorList{field.Invalid(at, "<value omitted>", "must be a valid JSON object")}
	}
	return nil
}

// taintEffects are what a taint of a device can do.
var taintEffects = []resourcev1.DeviceTaintEffect{resourcev1.DeviceTaintEffectNoExecute, resourcev1.DeviceTaintEffectNoSchedule, resourcev1.DeviceTaintEffectNone}

func validateDeviceTaint(t *resourcev1.DeviceTaint, at *field.Path) field.ErrorList {
	errs := aLabelName(&t.Key, at.Child("key"))
	errs = invalid(errs, at.Child("value"), t.Value, validation.IsValidLabelValue(t.Value))
	return oneOf(errs, at.Child("effect"), t.Effect, taintEffects...)
}

func validateDeviceToleration(t *resourcev1.DeviceToleration, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Key != "" {
		errs = aLabelName(&t.Key, at.Child("key"))
	}
	errs = oneOf(errs, at.Child("operator"), t.Operator, resourcev1.DeviceTolerationOpEqual, resourcev1.DeviceTolerationOpExists)
	switch {
	case t.Operator == resourcev1.DeviceTolerationOpExists && t.Value != "":
		errs = append(errs, field.Invalid(at.Child("value"), t.Value, "must be empty for operator `Exists`"))
	case t.Operator == resourcev1.DeviceTolerationOpEqual:
		errs = invalid(errs, at.Child("value"), t.Value, validation.IsValidLabelValue(t.Value))
	}
	if t.Effect != "" {
		errs = oneOf(errs, at.Child("effect"), t.Effect, taintEffects...)
	}
	return errs
}

func validateTaintRule(s *resourcev1.DeviceTaintRuleSpec, at *field.Path) field.ErrorList {
	errs := validateDeviceTaint(&s.Taint, at.Child("taint"))
	f, here := s.DeviceSelector, at.Child("deviceSelector")
	if f == nil {
		return errs
	}
	if f.Driver != nil {
		errs = append(errs, driverName(*f.Driver, here.Child("driver"))...)
	}
	if f.Pool != nil {
		errs = append(errs, poolName(*f.Pool, here.Child("pool"))...)
	}
	if f.Device != nil {
		errs = append(errs, aLabel(f.Device, here.Child("device"))...)
	}
	return errs
}
