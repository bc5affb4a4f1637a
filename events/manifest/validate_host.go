package manifest

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateHost checks what a pod shares with its node, and what it adds to /etc/hosts.
func validateHost(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.HostNetwork {
		errs = append(errs, samePorts(s.InitContainers, at.Child("initContainers"))...)
		errs = append(errs, samePorts(s.Containers, at.Child("containers"))...)
	}
	if s.HostPID && s.ShareProcessNamespace != nil && *s.ShareProcessNamespace {
		errs = append(errs, field.Invalid(at.Child("shareProcessNamespace"), true, "ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	errs = append(errs, validateOS(s, at)...)
	if name := s.HostnameOverride; name != nil {
		errs = append(errs, validateOwnName(s, *name, at.Child("hostnameOverride"))...)
	}
	for i, a := range s.HostAliases {
		here := at.Child("hostAliases").Index(i)
		errs = append(errs, validation.IsValidIP(here.Child("ip"), a.IP)...)
		for j, name := range a.Hostnames {
			errs = invalid(errs, here.Child("hostnames").Index(j), name, validation.IsDNS1123Subdomain(name))
		}
	}
	return errs
}

func validateOS(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	if s.OS == nil {
		return nil
	}
	errs := oneOf(nil, at.Child("os"), s.OS.Name, corev1.Linux, corev1.Windows)
	if s.OS.Name != corev1.Linux {
		return errs
	}
	if c := s.SecurityContext; c != nil && c.WindowsOptions != nil {
		errs = append(errs, field.Forbidden(at.Child("securityContext", "windowsOptions"), alien))
	}
	for i := range s.InitContainers {
		errs = append(errs, forLinux(&s.InitContainers[i], at.Child("initContainers").Index(i))...)
	}
	for i := range s.Containers {
		errs = append(errs, forLinux(&s.Containers[i], at.Child("containers").Index(i))...)
	}
	return errs
}

// alien is what Kubernetes says of options for Windows in a pod that says it is for Linux.
const alien = "windows options cannot be set for a linux pod"

func forLinux(c *corev1.Container, at *field.Path) field.ErrorList {
	if c.SecurityContext == nil || c.SecurityContext.WindowsOptions == nil {
		return nil
	}
	return field.ErrorList{field.Forbidden(at.Child("securityContext", "windowsOptions"), alien)}
}

// validateOwnName holds the name that a pod has whatever else is said of its name.
func validateOwnName(s *corev1.PodSpec, name string, at *field.Path) field.ErrorList {
	const most = 64 // of the kernel
	var errs field.ErrorList
	if s.SetHostnameAsFQDN != nil && *s.SetHostnameAsFQDN {
		errs = append(errs, field.Forbidden(at, "may not be specified when setHostnameAsFQDN is true"))
	}
	if s.HostNetwork {
		errs = append(errs, field.Forbidden(at, "may not be specified when hostNetwork is true"))
	}
	if len(name) > most {
		errs = append(errs, field.TooLong(at, "", most))
	}
	return invalid(errs, at, name, validation.IsDNS1123Subdomain(name))
}

// samePorts: on the node's network a container's port is the node's.
func samePorts(cs []corev1.Container, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, c := range cs {
		for j, p := range c.Ports {
			if p.ContainerPort != p.HostPort {
				errs = append(errs, field.Invalid(at.Index(i).Child("ports").Index(j).Child("containerPort"), p.ContainerPort, "must match `hostPort` when `hostNetwork` is true"))
			}
		}
	}
	return errs
}

func validateNodeAffinity(a *corev1.Affinity, at *field.Path) field.ErrorList {
	if a == nil || a.NodeAffinity == nil {
		return nil
	}
	var errs field.ErrorList
	if r := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		here := at.Child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
		if len(r.NodeSelectorTerms) == 0 {
			errs = append(errs, field.Required(here, "must have at least one node selector term"))
		}
		for i := range r.NodeSelectorTerms {
			errs = append(errs, validateTerm(&r.NodeSelectorTerms[i], here.Index(i))...)
		}
	}
	for i := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
		p, here := &a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution[i], at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
		const most = 100
		if p.Weight < 1 || p.Weight > most {
			errs = append(errs, field.Invalid(here.Child("weight"), p.Weight, "must be in the range 1-100"))
		}
		errs = append(errs, validateTerm(&p.Preference, here.Child("preference"))...)
	}
	return errs
}

func validateTerm(t *corev1.NodeSelectorTerm, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, r := range t.MatchExpressions {
		here := at.Child("matchExpressions").Index(i)
		errs = append(errs, validateRequirement(r, here)...)
		errs = invalid(errs, here.Child("key"), r.Key, validation.IsQualifiedName(r.Key))
	}
	for i, r := range t.MatchFields {
		here := at.Child("matchFields").Index(i)
		if r.Key != "metadata.name" {
			errs = append(errs, field.Invalid(here.Child("key"), r.Key, "not a valid field selector key"))
		}
		errs = oneOf(errs, here.Child("operator"), r.Operator, corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn)
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(here.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
		}
		for j, v := range r.Values {
			errs = invalid(errs, here.Child("values").Index(j), v, validation.IsDNS1123Subdomain(v))
		}
	}
	return errs
}

func validateRequirement(r corev1.NodeSelectorRequirement, at *field.Path) field.ErrorList {
	values := at.Child("values")
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			return field.ErrorList{field.Required(values, "must be specified when `operator` is 'In' or 'NotIn'")}
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			return field.ErrorList{field.Forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")}
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			return field.ErrorList{field.Required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'")}
		}
		if _, err := strconv.ParseInt(r.Values[0], 10, 64); err != nil {
			return field.ErrorList{field.Invalid(values.Index(0), r.Values[0], "must be an integer when `operator` is 'Lt' or 'Gt'")}
		}
	default:
		return field.ErrorList{field.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator")}
	}
	return nil
}
