package policy

import (
	"fmt"
	"sync"

	celgo "github.com/google/cel-go/cel"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"
)

// devices is what expressions about devices are read in. What a device has is known to its driver alone, so its fields are
// of any type; the scheduler that chooses devices checks them again.
var devices = sync.OnceValues(func() (*celgo.Env, error) {
	set, err := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0), EnvOptions: []celgo.EnvOption{celgo.Variable("device", celgo.DynType)}})
	if err != nil {
		return nil, fmt.Errorf("make CEL environment of devices: %w", err)
	}
	return set.Env(environment.NewExpressions)
})

// CheckDevices compiles the expressions of what asks for devices, and is an *apierrors.StatusError that names each one that
// is none. Other objects pass.
func CheckDevices(o runtime.Object) error {
	var errs field.ErrorList
	var kind, name string
	at := field.NewPath("spec")
	switch o := o.(type) {
	case *resourcev1.DeviceClass:
		kind, name = "DeviceClass", o.Name
		errs = checkSelectors(o.Spec.Selectors, at.Child("selectors"))
	case *resourcev1.ResourceClaim:
		kind, name = "ResourceClaim", o.Name
		errs = checkRequests(o.Spec.Devices.Requests, at.Child("devices", "requests"))
	case *resourcev1.ResourceClaimTemplate:
		kind, name = "ResourceClaimTemplate", o.Name
		errs = checkRequests(o.Spec.Spec.Devices.Requests, at.Child("spec", "devices", "requests"))
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: resourcev1.GroupName, Kind: kind}, name, errs)
}

func checkRequests(all []resourcev1.DeviceRequest, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, r := range all {
		if x, here := r.Exactly, at.Index(i).Child("exactly"); x != nil {
			errs = append(errs, checkSelectors(x.Selectors, here.Child("selectors"))...)
			errs = append(errs, checkDerived(x.DerivedAttributes, here.Child("derivedAttributes"))...)
		}
		for j, x := range r.FirstAvailable {
			here := at.Index(i).Child("firstAvailable").Index(j)
			errs = append(errs, checkSelectors(x.Selectors, here.Child("selectors"))...)
			errs = append(errs, checkDerived(x.DerivedAttributes, here.Child("derivedAttributes"))...)
		}
	}
	return errs
}

func checkSelectors(all []resourcev1.DeviceSelector, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, s := range all {
		if s.CEL != nil {
			errs = append(errs, checkDevice(s.CEL.Expression, true, at.Index(i).Child("cel", "expression"))...)
		}
	}
	return errs
}

func checkDerived(all []resourcev1.DeviceDerivedAttribute, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, d := range all {
		if d.Expression != "" {
			errs = append(errs, checkDevice(d.Expression, false, at.Index(i).Child("expression"))...)
		}
	}
	return errs
}

// checkDevice compiles one expression; question says that it has to be true or false.
func checkDevice(text string, question bool, at *field.Path) field.ErrorList {
	if len(text) > resourcev1.CELSelectorExpressionMaxLength {
		return nil // admission says so
	}
	env, err := devices()
	if err != nil {
		return field.ErrorList{field.InternalError(at, err)}
	}
	ast, issues := env.Compile(text)
	if issues != nil {
		return field.ErrorList{field.Invalid(at, text, "compilation failed: "+issues.String())}
	}
	if t := ast.OutputType(); question && !t.IsExactType(celgo.BoolType) && !t.IsExactType(celgo.AnyType) && !t.IsExactType(celgo.DynType) {
		return field.ErrorList{field.Invalid(at, text, "must evaluate to bool or the unknown type, not "+t.String())}
	}
	return nil
}
