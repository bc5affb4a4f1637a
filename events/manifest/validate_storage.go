package manifest

import (
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

var accessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod}

// validateModes wants modes that there are, and the one that shares nothing alone.
func validateModes(modes []corev1.PersistentVolumeAccessMode, none string, at *field.Path) field.ErrorList {
	if len(modes) == 0 {
		return field.ErrorList{field.Required(at, none)}
	}
	var errs field.ErrorList
	for _, m := range modes {
		if !slices.Contains(accessModes, m) {
			errs = append(errs, field.NotSupported(at, m, accessModes))
		}
	}
	shared := func(m corev1.PersistentVolumeAccessMode) bool { return m != corev1.ReadWriteOncePod }
	if slices.Contains(modes, corev1.ReadWriteOncePod) && slices.ContainsFunc(modes, shared) {
		errs = append(errs, field.Forbidden(at, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}

func validateVolumeMode(m *corev1.PersistentVolumeMode, at *field.Path) field.ErrorList {
	if m == nil {
		return nil
	}
	return oneOf(nil, at, *m, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)
}

func validateClassName(name *string, at *field.Path) field.ErrorList {
	if name == nil || *name == "" {
		return nil
	}
	return invalid(nil, at, *name, validation.IsDNS1123Subdomain(*name))
}

// validateStorage holds the kinds that storage is made of to their rules.
func validateStorage(o events.Object) field.ErrorList {
	switch o := o.(type) {
	case *corev1.PersistentVolume:
		return validateVolumeSpec(&o.Spec, field.NewPath("spec"))
	case *corev1.PersistentVolumeClaim:
		return validateClaimSpec(&o.Spec, field.NewPath("spec"))
	case *storagev1.StorageClass:
		return validateStorageClass(o)
	}
	return validateDrivers(o)
}

// SourcesOf are the kinds of volume that a spec names, by the fields' names. One is what there should be.
func SourcesOf(s *corev1.PersistentVolumeSource) []string {
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(events.MustBody(s), &fields) != nil {
		return nil // it was an object a moment ago
	}
	return keysOf(fields)
}

func validateVolumeSpec(s *corev1.PersistentVolumeSpec, at *field.Path) field.ErrorList {
	errs := validateModes(s.AccessModes, "", at.Child("accessModes"))
	size, sized := s.Capacity[corev1.ResourceStorage]
	switch here := at.Child("capacity"); {
	case len(s.Capacity) == 0:
		errs = append(errs, field.Required(here, ""))
	case !sized || len(s.Capacity) > 1:
		errs = append(errs, field.NotSupported(here, s.Capacity, []corev1.ResourceName{corev1.ResourceStorage}))
	case size.Sign() <= 0:
		errs = append(errs, field.Invalid(here.Key("storage"), size.String(), notPositive))
	}
	if p := s.PersistentVolumeReclaimPolicy; p != "" {
		errs = oneOf(errs, at.Child("persistentVolumeReclaimPolicy"), p, corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)
	}
	errs = append(errs, validateSources(s, at)...)
	errs = append(errs, validateVolumeMode(s.VolumeMode, at.Child("volumeMode"))...)
	errs = append(errs, validateClassName(&s.StorageClassName, at.Child("storageClassName"))...)
	if name, here := s.VolumeAttributesClassName, at.Child("volumeAttributesClassName"); name != nil {
		if errs = append(errs, validateClassName(name, here)...); *name == "" {
			errs = append(errs, field.Required(here, "an empty string is disallowed"))
		}
		if s.CSI == nil {
			errs = append(errs, field.Required(at.Child("csi"), "has to be specified when using volumeAttributesClassName"))
		}
	}
	return append(errs, validateVolumePlace(s, at.Child("nodeAffinity"))...)
}

func validateSources(s *corev1.PersistentVolumeSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch sources := SourcesOf(&s.PersistentVolumeSource); len(sources) {
	case 0:
		errs = append(errs, field.Required(at, "must specify a volume type"))
	case 1:
	default:
		errs = append(errs, field.Forbidden(at.Child(sources[1]), "may not specify more than 1 volume type"))
	}
	if h := s.HostPath; h != nil {
		errs = append(errs, validateHostPath(h, at.Child("hostPath"))...)
		if s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle && strings.TrimRight(h.Path, "/") == "" {
			errs = append(errs, field.Forbidden(at.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'"))
		}
	}
	if l := s.Local; l != nil {
		path := at.Child("local", "path")
		switch {
		case l.Path == "":
			errs = append(errs, field.Required(path, ""))
		case slices.Contains(strings.Split(l.Path, "/"), ".."):
			errs = append(errs, field.Invalid(path, l.Path, "must not contain '..'"))
		}
		if s.NodeAffinity == nil || s.NodeAffinity.Required == nil {
			errs = append(errs, field.Required(at.Child("nodeAffinity"), "Local volume requires node affinity"))
		}
	}
	return errs
}

func validateVolumePlace(s *corev1.PersistentVolumeSpec, at *field.Path) field.ErrorList {
	if s.NodeAffinity == nil {
		return nil
	}
	required := at.Child("required")
	if s.NodeAffinity.Required == nil {
		return field.ErrorList{field.Required(required, "must specify required node constraints")}
	}
	terms := required.Child("nodeSelectorTerms")
	if len(s.NodeAffinity.Required.NodeSelectorTerms) == 0 {
		return field.ErrorList{field.Required(terms, "must have at least one node selector term")}
	}
	var errs field.ErrorList
	for i := range s.NodeAffinity.Required.NodeSelectorTerms {
		errs = append(errs, validateTerm(&s.NodeAffinity.Required.NodeSelectorTerms[i], terms.Index(i))...)
	}
	return errs
}

func validateClaimSpec(s *corev1.PersistentVolumeClaimSpec, at *field.Path) field.ErrorList {
	errs := validateModes(s.AccessModes, "at least 1 access mode is required", at.Child("accessModes"))
	errs = append(errs, validatePicks(s.Selector, at.Child("selector"))...)
	here := at.Child("resources").Key("storage")
	switch size, ok := s.Resources.Requests[corev1.ResourceStorage]; {
	case !ok:
		errs = append(errs, field.Required(here, ""))
	case size.Sign() <= 0:
		errs = append(errs, field.Invalid(here, size.String(), notPositive))
	}
	errs = append(errs, validateClassName(s.StorageClassName, at.Child("storageClassName"))...)
	errs = append(errs, validateClassName(s.VolumeAttributesClassName, at.Child("volumeAttributesClassName"))...)
	return append(errs, validateVolumeMode(s.VolumeMode, at.Child("volumeMode"))...)
}

// validateStorageClass also wants provisioners to be names that can be told apart.
func validateStorageClass(c *storagev1.StorageClass) field.ErrorList {
	var errs field.ErrorList
	if at := field.NewPath("provisioner"); c.Provisioner == "" {
		errs = append(errs, field.Required(at, ""))
	} else {
		errs = invalid(errs, at, c.Provisioner, validation.IsQualifiedName(strings.ToLower(c.Provisioner)))
	}
	for _, k := range keysOf(c.Parameters) {
		if k == "" {
			errs = append(errs, field.Invalid(field.NewPath("parameters"), k, "field can not be empty."))
		}
	}
	if p := c.ReclaimPolicy; p != nil {
		errs = oneOf(errs, field.NewPath("reclaimPolicy"), *p, corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)
	}
	if m := c.VolumeBindingMode; m != nil {
		errs = oneOf(errs, field.NewPath("volumeBindingMode"), *m, storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)
	}
	for i, t := range c.AllowedTopologies {
		errs = append(errs, validateTopology(t.MatchLabelExpressions, field.NewPath("allowedTopologies").Index(i).Child("matchLabelExpressions"))...)
	}
	return errs
}

func validateTopology(all []corev1.TopologySelectorLabelRequirement, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	keys := map[string]bool{}
	for i, r := range all {
		here := at.Index(i)
		errs = invalid(errs, here.Child("key"), r.Key, validation.IsQualifiedName(r.Key))
		if keys[r.Key] {
			errs = append(errs, field.Duplicate(here.Child("key"), r.Key))
		}
		keys[r.Key] = true
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(here.Child("values"), ""))
		}
		for j, v := range r.Values {
			if slices.Contains(r.Values[:j], v) {
				errs = append(errs, field.Duplicate(here.Child("values").Index(j), v))
			}
		}
	}
	return errs
}

func validateClaimVolume(c *corev1.PersistentVolumeClaimVolumeSource, at *field.Path) field.ErrorList {
	if c.ClaimName == "" {
		return field.ErrorList{field.Required(at.Child("claimName"), "")}
	}
	return nil
}

func validateEphemeralVolume(e *corev1.EphemeralVolumeSource, at *field.Path) field.ErrorList {
	here := at.Child("volumeClaimTemplate")
	if e.VolumeClaimTemplate == nil {
		return field.ErrorList{field.Required(here, "")}
	}
	t := e.VolumeClaimTemplate
	errs := validateLabels(t.Labels, here.Child("metadata", "labels"))
	errs = append(errs, validateAnnotations(t.Annotations, here.Child("metadata", "annotations"))...)
	return append(errs, validateClaimSpec(&t.Spec, here.Child("spec"))...)
}
