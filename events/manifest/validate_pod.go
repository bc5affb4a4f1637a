package manifest

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validatePod checks a pod's spec, or a template's.
func validatePod(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	errs, volumes := validateVolumes(s.Volumes, at.Child("volumes"))
	if len(s.Containers) == 0 {
		errs = append(errs, field.Required(at.Child("containers"), ""))
	}
	names := map[string]bool{}
	errs = append(errs, validateContainers(s.InitContainers, names, volumes, at.Child("initContainers"))...)
	errs = append(errs, validateContainers(s.Containers, names, volumes, at.Child("containers"))...)
	errs = append(errs, validateEphemeral(s, names, volumes, at.Child("ephemeralContainers"))...)
	errs = append(errs, validateLives(s, at)...)
	errs = append(errs, validateResizePolicies(s, at)...)
	errs = append(errs, hostPortConflicts(s.Containers, at.Child("containers"))...)
	errs = oneOf(errs, at.Child("restartPolicy"), s.RestartPolicy, corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	errs = oneOf(errs, at.Child("dnsPolicy"), s.DNSPolicy, corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)
	errs = append(errs, validateDNS(s, at)...)
	errs = append(errs, validatePodSecurity(s, at.Child("securityContext"))...)
	if d := s.ActiveDeadlineSeconds; d != nil && *d < 1 {
		errs = append(errs, field.Invalid(at.Child("activeDeadlineSeconds"), *d, "must be between 1 and 2147483647, inclusive"))
	}
	errs = append(errs, validateLabels(s.NodeSelector, at.Child("nodeSelector"))...)
	errs = append(errs, validateHost(s, at)...)
	errs = append(errs, validateNodeAffinity(s.Affinity, at.Child("affinity", "nodeAffinity"))...)
	errs = append(errs, validatePodAffinity(s.Affinity, at.Child("affinity"))...)
	errs = append(errs, validateSpread(s.TopologySpreadConstraints, at.Child("topologySpreadConstraints"))...)
	errs = append(errs, validateGates(s.SchedulingGates, at.Child("schedulingGates"))...)
	errs = append(errs, validateTolerations(s.Tolerations, at.Child("tolerations"))...)
	for i, g := range s.ReadinessGates {
		errs = invalid(errs, at.Child("readinessGates").Index(i).Child("conditionType"), string(g.ConditionType), validation.IsQualifiedName(string(g.ConditionType)))
	}
	errs = append(errs, validateQuantities(s.Overhead, at.Child("overhead"))...)
	errs = oneOfPointed(errs, at.Child("preemptionPolicy"), s.PreemptionPolicy, corev1.PreemptLowerPriority, corev1.PreemptNever)
	errs = append(errs, validateOfPod(s.Resources, at.Child("resources"))...)
	if s.RuntimeClassName != nil {
		errs = invalid(errs, at.Child("runtimeClassName"), *s.RuntimeClassName, validation.IsDNS1123Subdomain(*s.RuntimeClassName))
	}
	for _, n := range []struct {
		field, value string
		rule         rule
	}{
		{"hostname", s.Hostname, validation.IsDNS1123Label}, {"subdomain", s.Subdomain, validation.IsDNS1123Label},
		{"priorityClassName", s.PriorityClassName, validation.IsDNS1123Subdomain}, {"nodeName", s.NodeName, validation.IsDNS1123Subdomain}, {"serviceAccountName", s.ServiceAccountName, validation.IsDNS1123Subdomain},
	} {
		if n.value != "" {
			errs = invalid(errs, at.Child(n.field), n.value, n.rule(n.value))
		}
	}
	return errs
}

// validateOfPod is about what all containers of a pod may take together.
func validateOfPod(r *corev1.ResourceRequirements, at *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	errs := validateResources(r, at)
	if len(r.Claims) > 0 {
		errs = append(errs, field.Forbidden(at.Child("claims"), "claims may not be set for Resources at pod-level"))
	}
	for _, side := range []struct {
		name string
		of   corev1.ResourceList
	}{{"limits", r.Limits}, {"requests", r.Requests}} {
		for _, name := range resourceNames(side.of) {
			if name != corev1.ResourceCPU && name != corev1.ResourceMemory && !strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) {
				errs = append(errs, field.NotSupported(at.Child(side.name).Key(string(name)), name, []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceHugePagesPrefix, corev1.ResourceMemory}))
			}
		}
	}
	return errs
}

func validateDNS(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	const most, searches = 3, 32
	var errs field.ErrorList
	c, here := s.DNSConfig, at.Child("dnsConfig")
	if s.DNSPolicy == corev1.DNSNone && (c == nil || len(c.Nameservers) == 0) {
		return append(errs, field.Required(here.Child("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None"))
	}
	if c == nil {
		return errs
	}
	if len(c.Nameservers) > most {
		errs = append(errs, field.Invalid(here.Child("nameservers"), c.Nameservers, "must not have more than 3 nameservers"))
	}
	for i, n := range c.Nameservers {
		errs = append(errs, validation.IsValidIP(here.Child("nameservers").Index(i), n)...)
	}
	if len(c.Searches) > searches {
		errs = append(errs, field.Invalid(here.Child("searches"), c.Searches, "must not have more than 32 search paths"))
	}
	for i, d := range c.Searches {
		if d = strings.TrimSuffix(d, "."); d != "" {
			errs = invalid(errs, here.Child("searches").Index(i), d, validation.IsDNS1123SubdomainWithUnderscore(d))
		}
	}
	for i, o := range c.Options {
		if o.Name == "" {
			errs = append(errs, field.Required(here.Child("options").Index(i), "must not be empty"))
		}
	}
	return errs
}

func validateTolerations(ts []corev1.Toleration, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, t := range ts {
		here := at.Index(i)
		if t.Key != "" {
			errs = invalid(errs, here.Child("key"), t.Key, validation.IsQualifiedName(t.Key))
		} else if t.Operator != corev1.TolerationOpExists {
			errs = append(errs, field.Invalid(here.Child("operator"), t.Operator, "operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
		}
		switch t.Operator {
		case corev1.TolerationOpEqual, "":
			errs = invalid(errs, here.Child("value"), t.Value, validation.IsValidLabelValue(t.Value))
		case corev1.TolerationOpExists:
			if t.Value != "" {
				errs = append(errs, field.Invalid(here.Child("value"), t.Value, "value must be empty when `operator` is 'Exists'"))
			}
		default:
			errs = append(errs, field.NotSupported(here.Child("operator"), t.Operator, []corev1.TolerationOperator{corev1.TolerationOpEqual, corev1.TolerationOpExists}))
		}
		if t.Effect != "" {
			errs = oneOf(errs, here.Child("effect"), t.Effect, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(here.Child("effect"), t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
		}
	}
	return errs
}
