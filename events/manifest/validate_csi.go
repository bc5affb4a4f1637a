package manifest

import (
	"slices"
	"strings"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// validateDrivers holds the kinds by which storage drivers tell of themselves to their rules.
func validateDrivers(o events.Object) field.ErrorList {
	switch o := o.(type) {
	case *storagev1.CSIDriver:
		return validateDriver(&o.Spec, field.NewPath("spec"))
	case *storagev1.CSINode:
		return validateNodeDrivers(o.Spec.Drivers, field.NewPath("spec", "drivers"))
	case *storagev1.CSIStorageCapacity:
		errs := validatePicks(o.NodeTopology, field.NewPath("nodeTopology"))
		errs = invalid(errs, field.NewPath("storageClassName"), o.StorageClassName, validation.IsDNS1123Subdomain(o.StorageClassName))
		if o.Capacity != nil && o.Capacity.Sign() < 0 {
			errs = append(errs, field.Invalid(field.NewPath("capacity"), o.Capacity.String(), "must be greater than or equal to 0"))
		}
		return errs
	case *storagev1.VolumeAttachment:
		return validateAttachment(&o.Spec, field.NewPath("spec"))
	case *storagev1.VolumeAttributesClass:
		return validateAttributes(o)
	}
	return nil
}

// maxDriverName is how long the name of a driver may be.
const maxDriverName = 63

func driverName(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	if len(name) > maxDriverName {
		errs = append(errs, field.TooLong(at, "", maxDriverName))
	}
	return invalid(errs, at, name, validation.IsDNS1123Subdomain(strings.ToLower(name)))
}

func validateDriver(s *storagev1.CSIDriverSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p := s.FSGroupPolicy; p != nil {
		errs = oneOf(errs, at.Child("fsGroupPolicy"), *p, storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	}
	for _, m := range s.VolumeLifecycleModes {
		errs = oneOf(errs, at.Child("volumeLifecycleModes"), m, storagev1.VolumeLifecyclePersistent, storagev1.VolumeLifecycleEphemeral)
	}
	heard := map[string]bool{}
	for i, t := range s.TokenRequests {
		here := at.Child("tokenRequests").Index(i)
		if heard[t.Audience] {
			errs = append(errs, field.Duplicate(here.Child("audience"), t.Audience))
		}
		if heard[t.Audience] = true; t.ExpirationSeconds != nil {
			errs = append(errs, ValidateTokenLife(*t.ExpirationSeconds, here.Child("expirationSeconds"))...)
		}
	}
	const shortest = 10
	if n := s.NodeAllocatableUpdatePeriodSeconds; n != nil && *n < shortest {
		errs = append(errs, field.Invalid(at.Child("nodeAllocatableUpdatePeriodSeconds"), *n, "must be greater than or equal to 10 seconds"))
	}
	if s.ServiceAccountTokenInSecrets != nil && len(s.TokenRequests) == 0 {
		errs = append(errs, field.Invalid(at.Child("serviceAccountTokenInSecrets"), *s.ServiceAccountTokenInSecrets, "serviceAccountTokenInSecrets is set but no tokenRequests are specified"))
	}
	return errs
}

func validateNodeDrivers(drivers []storagev1.CSINodeDriver, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, d := range drivers {
		here := at.Index(i)
		errs = append(errs, driverName(d.Name, here.Child("name"))...)
		if seen[d.Name] {
			errs = append(errs, field.Duplicate(here.Child("name"), d.Name))
		}
		const longest = 256
		switch seen[d.Name] = true; {
		case d.NodeID == "":
			errs = append(errs, field.Required(here.Child("nodeID"), d.NodeID))
		case len(d.NodeID) > longest:
			errs = append(errs, field.Invalid(here.Child("nodeID"), d.NodeID, "must be 256 characters or less"))
		}
		if d.Allocatable != nil && d.Allocatable.Count != nil {
			errs = notNegative(errs, here.Child("allocatable", "count"), int64(*d.Allocatable.Count))
		}
		for j, key := range d.TopologyKeys {
			if slices.Contains(d.TopologyKeys[:j], key) {
				errs = append(errs, field.Duplicate(here, key))
			}
			errs = invalid(errs, here, key, validation.IsQualifiedName(key))
		}
	}
	return errs
}

func validateAttachment(s *storagev1.VolumeAttachmentSpec, at *field.Path) field.ErrorList {
	errs := driverName(s.Attacher, at.Child("attacher"))
	const one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
	switch here, src := at.Child("source"), s.Source; {
	case src.InlineVolumeSpec == nil && src.PersistentVolumeName == nil:
		errs = append(errs, field.Required(here, one))
	case src.InlineVolumeSpec != nil && src.PersistentVolumeName != nil:
		errs = append(errs, field.Forbidden(here, one))
	case src.InlineVolumeSpec != nil && src.InlineVolumeSpec.CSI == nil:
		errs = append(errs, field.Required(here.Child("inlineVolumeSpec", "csi"), "has to be specified in the context of inline volumes"))
	case src.PersistentVolumeName != nil:
		errs = invalid(errs, here.Child("persistentVolumeName"), *src.PersistentVolumeName, validation.IsDNS1123Subdomain(*src.PersistentVolumeName))
	}
	return invalid(errs, at.Child("nodeName"), s.NodeName, validation.IsDNS1123Subdomain(s.NodeName))
}

func validateAttributes(c *storagev1.VolumeAttributesClass) field.ErrorList {
	var errs field.ErrorList
	if at := field.NewPath("driverName"); c.DriverName == "" {
		errs = append(errs, field.Required(at, ""))
	} else {
		errs = invalid(errs, at, c.DriverName, validation.IsQualifiedName(strings.ToLower(c.DriverName)))
	}
	if len(c.Parameters) == 0 {
		errs = append(errs, field.Required(field.NewPath("parameters"), "must contain at least one key/value pair"))
	}
	return errs
}

// updateDrivers says which changes of these kinds are not allowed.
func updateDrivers(old, next events.Object) field.ErrorList {
	spec := field.NewPath("spec")
	switch old := old.(type) {
	case *storagev1.CSIDriver:
		if n, ok := next.(*storagev1.CSIDriver); ok {
			errs := unchanged(nil, spec.Child("attachedRequired"), old.Spec.AttachRequired, n.Spec.AttachRequired)
			return unchanged(errs, spec.Child("volumeLifecycleModes"), old.Spec.VolumeLifecycleModes, n.Spec.VolumeLifecycleModes)
		}
	case *storagev1.CSINode:
		if n, ok := next.(*storagev1.CSINode); ok {
			return updateNodeDrivers(old.Spec.Drivers, n.Spec.Drivers, spec.Child("drivers"))
		}
	case *storagev1.CSIStorageCapacity:
		if n, ok := next.(*storagev1.CSIStorageCapacity); ok {
			errs := unchanged(nil, field.NewPath("nodeTopology"), old.NodeTopology, n.NodeTopology)
			return unchanged(errs, field.NewPath("storageClassName"), old.StorageClassName, n.StorageClassName)
		}
	case *storagev1.VolumeAttachment:
		if n, ok := next.(*storagev1.VolumeAttachment); ok {
			return unchanged(nil, spec, old.Spec, n.Spec)
		}
	case *storagev1.VolumeAttributesClass:
		if n, ok := next.(*storagev1.VolumeAttributesClass); ok {
			var errs field.ErrorList
			if old.DriverName != n.DriverName {
				errs = append(errs, field.Forbidden(field.NewPath("driverName"), "updates to driverName are forbidden."))
			}
			if !same(old.Parameters, n.Parameters) {
				errs = append(errs, field.Forbidden(field.NewPath("parameters"), "updates to parameters are forbidden."))
			}
			return errs
		}
	}
	return nil
}

// updateNodeDrivers lets drivers come and go; of one that stays, how many volumes it takes.
func updateNodeDrivers(old, next []storagev1.CSINodeDriver, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, was := range old {
		for _, is := range next {
			if was.Name == is.Name {
				was.Allocatable, is.Allocatable = nil, nil
				errs = unchanged(errs, at, was, is)
			}
		}
	}
	return errs
}
