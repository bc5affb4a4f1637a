package manifest

import (
	"net/netip"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ClaimStatus says what is wrong with what was given to a claim, beside what was given before; leaving says that the claim
// shall go.
func ClaimStatus(spec *resourcev1.ResourceClaimSpec, old, next *resourcev1.ResourceClaimStatus, leaving bool) field.ErrorList {
	at := field.NewPath("status")
	reserved := at.Child("reservedFor")
	errs := eachOnce(next.ReservedFor, resourcev1.ResourceClaimReservedForMaxSize, reserved, func(r *resourcev1.ResourceClaimConsumerReference) string { return string(r.UID) }, validateConsumer)
	given := map[string]bool{}
	if a := next.Allocation; a != nil {
		for _, r := range a.Devices.Results {
			given[DeviceID(r.Driver, r.Pool, r.Device, (*string)(r.ShareID))] = true
		}
	}
	id := func(d *resourcev1.AllocatedDeviceStatus) string {
		return DeviceID(d.Driver, d.Pool, d.Device, d.ShareID)
	}
	errs = append(errs, eachOnce(next.Devices, len(next.Devices), at.Child("devices"), id, func(d *resourcev1.AllocatedDeviceStatus, at *field.Path) field.ErrorList {
		errs := validateGivenDevice(d, at)
		if !given[id(d)] {
			errs = append(errs, field.Invalid(at, id(d), "must be an allocated device in the claim"))
		}
		return errs
	})...)
	if len(next.ReservedFor) > 0 && next.Allocation == nil {
		errs = append(errs, field.Forbidden(reserved, "may not be specified when `allocated` is not set"))
	}
	more := slices.ContainsFunc(next.ReservedFor, func(r resourcev1.ResourceClaimConsumerReference) bool { return !slices.Contains(old.ReservedFor, r) })
	if more && leaving {
		errs = append(errs, field.Forbidden(reserved, "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"))
	}
	switch here := at.Child("allocation"); {
	case old.Allocation != nil && next.Allocation != nil:
		errs = unchanged(errs, here, old.Allocation, next.Allocation)
	case next.Allocation != nil:
		errs = append(errs, validateAllocation(next.Allocation, askedOf(&spec.Devices), here)...)
	}
	return errs
}

// DeviceID is a device of a pool of a driver, and whose share of it.
func DeviceID(driver, pool, device string, share *string) string {
	id := driver + "/" + pool + "/" + device
	if share != nil {
		id += "/" + *share
	}
	return id
}

func validateConsumer(r *resourcev1.ResourceClaimConsumerReference, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, f := range [][2]string{{"resource", r.Resource}, {"name", r.Name}, {"uid", string(r.UID)}} {
		if f[1] == "" {
			errs = append(errs, field.Required(at.Child(f[0]), ""))
		}
	}
	return errs
}

func validateAllocation(a *resourcev1.AllocationResult, names asked, at *field.Path) field.ErrorList {
	in := at.Child("devices")
	errs := each(a.Devices.Results, resourcev1.AllocationResultsMaxSize, in.Child("results"), func(r *resourcev1.DeviceRequestAllocationResult, at *field.Path) field.ErrorList {
		errs := names.named(&r.Request, at.Child("request"))
		errs = append(errs, validateDeviceName(r.Driver, r.Pool, r.Device, (*string)(r.ShareID), at)...)
		errs = append(errs, validateBindings(r.BindingConditions, r.BindingFailureConditions, at)...)
		errs = append(errs, each(r.Tolerations, resourcev1.DeviceTolerationsMaxLength, at.Child("tolerations"), validateDeviceToleration)...)
		return append(errs, validateSkipped(r.SkipNodeOperations, at.Child("skipNodeOperations"))...)
	})
	const both = 2 * resourcev1.DeviceConfigMaxSize // those of the class, and the claim's
	errs = append(errs, each(a.Devices.Config, both, in.Child("config"), func(c *resourcev1.DeviceAllocationConfiguration, at *field.Path) field.ErrorList {
		errs := oneOf(nil, at.Child("source"), c.Source, resourcev1.AllocationConfigSourceClaim, resourcev1.AllocationConfigSourceClass)
		errs = append(errs, names.list(c.Requests, at.Child("requests"))...)
		return append(errs, validateDeviceConfig(&c.DeviceConfiguration, at)...)
	})...)
	if n := a.NodeSelector; n != nil {
		terms := at.Child("nodeSelector", "nodeSelectorTerms")
		if len(n.NodeSelectorTerms) == 0 {
			errs = append(errs, field.Required(terms, "must have at least one node selector term"))
		}
		errs = append(errs, each(n.NodeSelectorTerms, len(n.NodeSelectorTerms), terms, func(t *corev1.NodeSelectorTerm, at *field.Path) field.ErrorList { return validateTerm(t, at) })...)
	}
	return errs
}

// uuid is a UUID in its one normal form.
var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func validateDeviceName(driver, pool, device string, share *string, at *field.Path) field.ErrorList {
	errs := driverName(driver, at.Child("driver"))
	errs = append(errs, poolName(pool, at.Child("pool"))...)
	errs = append(errs, aLabel(&device, at.Child("device"))...)
	if share != nil && !uuid.MatchString(*share) {
		errs = append(errs, field.Invalid(at.Child("shareID"), *share, "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters"))
	}
	return errs
}

func validateGivenDevice(d *resourcev1.AllocatedDeviceStatus, at *field.Path) field.ErrorList {
	errs := validateDeviceName(d.Driver, d.Pool, d.Device, d.ShareID, at)
	errs = append(errs, Conditions(d.Conditions, resourcev1.AllocatedDeviceStatusMaxConditions, at.Child("conditions"))...)
	if d.Data != nil && len(d.Data.Raw) > 0 {
		errs = append(errs, jsonObject(d.Data.Raw, resourcev1.AllocatedDeviceStatusDataMaxLength, at.Child("data"))...)
	}
	n, here := d.NetworkData, at.Child("networkData")
	if n == nil {
		return errs
	}
	if len(n.InterfaceName) > resourcev1.NetworkDeviceDataInterfaceNameMaxLength {
		errs = append(errs, field.TooLong(here.Child("interfaceName"), "", resourcev1.NetworkDeviceDataInterfaceNameMaxLength))
	}
	if len(n.HardwareAddress) > resourcev1.NetworkDeviceDataHardwareAddressMaxLength {
		errs = append(errs, field.TooLong(here.Child("hardwareAddress"), "", resourcev1.NetworkDeviceDataHardwareAddressMaxLength))
	}
	return append(errs, eachOnce(n.IPs, resourcev1.NetworkDeviceDataMaxIPs, here.Child("ips"), itself, func(ip *string, at *field.Path) field.ErrorList {
		if p, err := netip.ParsePrefix(*ip); err != nil || p.String() != *ip {
			return field.ErrorList{field.Invalid(at, *ip, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)")}
		}
		return nil
	})...)
}

// Conditions says what is wrong with conditions of Kubernetes' one form, of which there may be so many.
func Conditions(list []metav1.Condition, most int, at *field.Path) field.ErrorList {
	const longest = 32768
	return eachOnce(list, most, at, func(c *metav1.Condition) string { return c.Type }, func(c *metav1.Condition, at *field.Path) field.ErrorList {
		errs := aLabelName(&c.Type, at.Child("type"))
		errs = oneOf(errs, at.Child("status"), c.Status, metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown)
		errs = notNegative(errs, at.Child("observedGeneration"), c.ObservedGeneration)
		if c.LastTransitionTime.IsZero() {
			errs = append(errs, field.Required(at.Child("lastTransitionTime"), ""))
		}
		if len(c.Reason) == 0 {
			errs = append(errs, field.Required(at.Child("reason"), ""))
		} else {
			errs = append(errs, conditionReason(c.Reason, at.Child("reason"))...)
		}
		if len(c.Message) > longest {
			errs = append(errs, field.TooLong(at.Child("message"), "", longest))
		}
		return errs
	})
}

var reasonForm = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

func conditionReason(reason string, at *field.Path) field.ErrorList {
	const longest = 1024
	if len(reason) > longest {
		return field.ErrorList{field.TooLong(at, "", longest)}
	}
	if !reasonForm.MatchString(reason) {
		return field.ErrorList{field.Invalid(at, reason, validation.RegexError("a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
			"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", "my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"))}
	}
	return nil
}
