package manifest

import (
	"math"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// mostOptions is how many amounts of a capacity can be named.
const mostOptions = 10

// validateDeviceCapacity holds how much of a capacity can be asked for to its rules; shared says that several claims may
// have some of it.
func validateDeviceCapacity(c *resourcev1.DeviceCapacity, shared bool, at *field.Path) field.ErrorList {
	p, here := c.RequestPolicy, at.Child("requestPolicy")
	switch {
	case p == nil:
		return nil
	case !shared:
		return field.ErrorList{field.Forbidden(here, "allowMultipleAllocations must be true")}
	case len(p.ValidValues) > 0 && p.ValidRange != nil:
		return field.ErrorList{field.Forbidden(here, `exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time`)}
	case len(p.ValidValues) > 0 && p.Default == nil:
		return field.ErrorList{field.Required(here.Child("default"), "required when validValues is defined")}
	case len(p.ValidValues) > 0:
		return validateOptions(*p.Default, c.Value, p.ValidValues, here.Child("validValues"))
	case p.ValidRange != nil && p.Default == nil:
		return field.ErrorList{field.Required(here.Child("default"), "required when validRange is defined")}
	case p.ValidRange != nil:
		return validateRange(*p.Default, c.Value, p.ValidRange, here.Child("validRange"))
	}
	return nil
}

func validateOptions(usual, most resource.Quantity, options []resource.Quantity, at *field.Path) field.ErrorList {
	if n := len(options); n > mostOptions {
		return field.ErrorList{field.TooMany(at, n, mostOptions)}
	}
	var errs field.ErrorList
	found := false
	for i, o := range options {
		here := at.Index(i)
		if o.Cmp(most) > 0 {
			errs = append(errs, field.Invalid(here, o.String(), "option is larger than capacity value: "+most.String()))
		}
		found = found || o.Cmp(usual) == 0
		if i == 0 {
			continue
		}
		switch c := options[i-1].Cmp(o); {
		case c > 0:
			errs = append(errs, field.Invalid(here, o.String(), "values must be sorted in ascending order"))
		case c == 0:
			errs = append(errs, field.Duplicate(here, o.String()))
		}
	}
	if !found {
		errs = append(errs, field.Invalid(at, usual.String(), "default value is not valid according to the requestPolicy"))
	}
	return errs
}

func validateRange(usual, most resource.Quantity, r *resourcev1.CapacityRequestPolicyRange, at *field.Path) field.ErrorList {
	if r.Min == nil {
		return field.ErrorList{field.Required(at.Child("min"), "required when validRange is defined")}
	}
	var errs field.ErrorList
	above := func(name string, q, bound resource.Quantity, said string) {
		if q.Cmp(bound) > 0 {
			errs = append(errs, field.Invalid(at.Child(name), q.String(), said+bound.String()))
		}
	}
	above("min", *r.Min, most, "min is larger than capacity value: ")
	if usual.Cmp(*r.Min) < 0 {
		errs = append(errs, field.Invalid(at.Child("default"), usual.String(), "default is less than min: "+r.Min.String()))
	}
	if r.Max != nil {
		if r.Min.Cmp(*r.Max) > 0 {
			errs = append(errs, field.Invalid(at.Child("max"), r.Min.String(), "min is larger than max: "+r.Max.String()))
		}
		above("max", *r.Max, most, "max is larger than capacity value: ")
		above("default", usual, *r.Max, "default is more than max: ")
	}
	if r.Step == nil {
		return errs
	}
	if r.Step.Sign() <= 0 {
		return append(errs, field.Invalid(at.Child("step"), r.Step.String(), notPositive))
	}
	next := r.Min.DeepCopy()
	if next.Add(*r.Step); next.Cmp(most) > 0 {
		errs = append(errs, field.Invalid(at.Child("step"), r.Step.String(), "one step "+next.String()+" is larger than capacity value: "+most.String()))
	}
	return append(errs, validateSteps(usual, r, at)...)
}

// validateSteps wants that the default and the maximum are some steps above the minimum; in thousandths when one of them is
// no whole number.
func validateSteps(usual resource.Quantity, r *resourcev1.CapacityRequestPolicyRange, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	parts := []struct {
		name string
		q    *resource.Quantity
	}{{"default", &usual}, {"min", r.Min}, {"max", r.Max}, {"step", r.Step}}
	milli := false
	for _, p := range parts {
		milli = milli || p.q != nil && p.q.Cmp(*resource.NewQuantity(p.q.Value(), p.q.Format)) != 0 && p.q.CmpInt64(math.MaxInt64) <= 0
	}
	for _, p := range parts {
		switch {
		case p.q == nil:
		case milli && p.q.Cmp(*resource.NewMilliQuantity(p.q.MilliValue(), p.q.Format)) != 0:
			errs = append(errs, field.Invalid(at.Child(p.name), p.q.String(), "value cannot be represented as a milli value"))
		case !milli && p.q.Sign() < 0:
			errs = append(errs, field.Invalid(at.Child(p.name), p.q.String(), "must be greater than or equal to 0"))
		case !milli && p.q.CmpInt64(math.MaxInt64) > 0:
			errs = append(errs, field.Invalid(at.Child(p.name), p.q.String(), "must not be larger than 9223372036854775807"))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	number := (*resource.Quantity).Value
	if milli {
		number = (*resource.Quantity).MilliValue
	}
	for _, q := range []*resource.Quantity{&usual, r.Max} {
		if q != nil && (number(q)-number(r.Min))%number(r.Step) != 0 {
			errs = append(errs, field.Invalid(at.Child("step"), q.String(), "value is not a multiple of a given step ("+r.Step.String()+") from ("+r.Min.String()+")"))
		}
	}
	return errs
}
