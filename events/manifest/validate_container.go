package manifest

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateContainers(cs []corev1.Container, names, volumes map[string]bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range cs {
		c, here := &cs[i], at.Index(i)
		switch {
		case c.Name == "":
			errs = append(errs, field.Required(here.Child("name"), ""))
		case names[c.Name]:
			errs = append(errs, field.Duplicate(here.Child("name"), c.Name))
		default:
			errs = invalid(errs, here.Child("name"), c.Name, validation.IsDNS1123Label(c.Name))
		}
		names[c.Name] = true
		errs = append(errs, validateContainer(c, volumes, here)...)
	}
	return errs
}

func validateContainer(c *corev1.Container, volumes map[string]bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case c.Image == "":
		errs = append(errs, field.Required(at.Child("image"), ""))
	case c.Image != strings.TrimSpace(c.Image):
		errs = append(errs, field.Invalid(at.Child("image"), c.Image, "must not have leading or trailing whitespace"))
	}
	errs = oneOf(errs, at.Child("imagePullPolicy"), c.ImagePullPolicy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
	errs = oneOf(errs, at.Child("terminationMessagePolicy"), c.TerminationMessagePolicy, corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)
	errs = append(errs, validateContainerPorts(c.Ports, at.Child("ports"))...)
	errs = append(errs, validateEnv(c.Env, at.Child("env"))...)
	errs = append(errs, validateEnvFrom(c.EnvFrom, at.Child("envFrom"))...)
	errs = append(errs, validateMounts(c, volumes, at.Child("volumeMounts"))...)
	errs = append(errs, validateSecurity(c.SecurityContext, at.Child("securityContext"))...)
	return append(errs, validateResources(&c.Resources, at.Child("resources"))...)
}

func validateContainerPorts(ps []corev1.ContainerPort, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, p := range ps {
		here := at.Index(i)
		if p.Name != "" {
			errs = invalid(errs, here.Child("name"), p.Name, validation.IsValidPortName(p.Name))
			if names[p.Name] {
				errs = append(errs, field.Duplicate(here.Child("name"), p.Name))
			}
			names[p.Name] = true
		}
		if p.ContainerPort == 0 {
			errs = append(errs, field.Required(here.Child("containerPort"), ""))
		} else {
			errs = invalid(errs, here.Child("containerPort"), p.ContainerPort, validation.IsValidPortNum(int(p.ContainerPort)))
		}
		if p.HostPort != 0 {
			errs = invalid(errs, here.Child("hostPort"), p.HostPort, validation.IsValidPortNum(int(p.HostPort)))
		}
		if p.HostIP != "" {
			errs = append(errs, validation.IsValidIP(here.Child("hostIP"), p.HostIP)...)
		}
		errs = oneOf(errs, here.Child("protocol"), p.Protocol, protocols...)
	}
	return errs
}

// hostPortConflicts finds two containers of a pod that want one port of the node.
func hostPortConflicts(cs []corev1.Container, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	taken := map[string]bool{}
	for i, c := range cs {
		for j, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			id := strings.Join([]string{string(p.Protocol), p.HostIP, strconv.Itoa(int(p.HostPort))}, "/")
			if taken[id] {
				errs = append(errs, field.Duplicate(at.Index(i).Child("ports").Index(j).Child("hostPort"), id))
			}
			taken[id] = true
		}
	}
	return errs
}

func validateEnv(env []corev1.EnvVar, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, e := range env {
		here := at.Index(i)
		if e.Name == "" {
			errs = append(errs, field.Required(here.Child("name"), ""))
		} else {
			errs = invalid(errs, here.Child("name"), e.Name, validation.IsRelaxedEnvVarName(e.Name))
		}
		if e.ValueFrom != nil {
			errs = append(errs, validateEnvSource(e, here.Child("valueFrom"))...)
		}
	}
	return errs
}

func validateEnvSource(e corev1.EnvVar, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	from, sources := e.ValueFrom, 0
	if f := from.FieldRef; f != nil {
		sources++
		errs = append(errs, validateFieldRef(f, EnvFields, at.Child("fieldRef", "fieldPath"))...)
	}
	if c := from.ConfigMapKeyRef; c != nil {
		sources++
		errs = append(errs, validateKeyRef(c.Name, c.Key, at.Child("configMapKeyRef"))...)
	}
	if r := from.SecretKeyRef; r != nil {
		sources++
		errs = append(errs, validateKeyRef(r.Name, r.Key, at.Child("secretKeyRef"))...)
	}
	if r := from.ResourceFieldRef; r != nil {
		sources++
		errs = append(errs, validateResourceRef(r, at.Child("resourceFieldRef"))...)
	}
	switch {
	case sources == 0:
		errs = append(errs, field.Invalid(at, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"))
	case e.Value != "":
		errs = append(errs, field.Invalid(at, "", "may not be specified when `value` is not empty"))
	case sources > 1:
		errs = append(errs, field.Invalid(at, "", "may not have more than one field specified at a time"))
	}
	return errs
}

// validateKeyRef wants a name, and a key that a ConfigMap or Secret can have.
func validateKeyRef(name, key string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	}
	if key == "" {
		return append(errs, field.Required(at.Child("key"), ""))
	}
	return invalid(errs, at.Child("key"), key, validation.IsConfigMapKey(key))
}

// EnvFields are the paths that an environment variable's fieldRef may name,
// beside metadata.labels['key'] and metadata.annotations['key'].
var EnvFields = []string{"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
	"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"}

func validateFieldRef(f *corev1.ObjectFieldSelector, allowed []string, at *field.Path) field.ErrorList {
	path := f.FieldPath
	switch {
	case path == "":
		return field.ErrorList{field.Required(at, "")}
	case f.APIVersion != "v1" && f.APIVersion != "":
		return field.ErrorList{field.Invalid(at, path, "error converting fieldPath: unsupported pod version: "+f.APIVersion)}
	}
	for _, prefix := range []string{"metadata.labels['", "metadata.annotations['"} {
		if key, ok := strings.CutPrefix(path, prefix); ok && strings.HasSuffix(key, "']") {
			return invalid(nil, at, path, validation.IsQualifiedName(strings.ToLower(strings.TrimSuffix(key, "']"))))
		}
	}
	if slices.Contains(allowed, path) {
		return nil
	}
	return field.ErrorList{field.NotSupported(at, path, allowed)}
}

func validateEnvFrom(from []corev1.EnvFromSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, f := range from {
		here := at.Index(i)
		if f.Prefix != "" {
			errs = invalid(errs, here.Child("prefix"), f.Prefix, validation.IsRelaxedEnvVarName(f.Prefix))
		}
		switch {
		case f.ConfigMapRef == nil && f.SecretRef == nil:
			errs = append(errs, field.Invalid(here, "", "must specify one of: `configMapRef` or `secretRef`"))
		case f.ConfigMapRef != nil && f.SecretRef != nil:
			errs = append(errs, field.Invalid(here, "", "may not have more than one field specified at a time"))
		case f.ConfigMapRef != nil && f.ConfigMapRef.Name == "":
			errs = append(errs, field.Required(here.Child("configMapRef", "name"), ""))
		case f.SecretRef != nil && f.SecretRef.Name == "":
			errs = append(errs, field.Required(here.Child("secretRef", "name"), ""))
		}
	}
	return errs
}

func validateResources(r *corev1.ResourceRequirements, at *field.Path) field.ErrorList {
	limits, requests := at.Child("limits"), at.Child("requests")
	errs := validateQuantities(r.Limits, limits)
	errs = append(errs, validateQuantities(r.Requests, requests)...)
	for _, name := range resourceNames(r.Requests) {
		request := r.Requests[name]
		limit, limited := r.Limits[name]
		switch {
		case !shareable(name) && !limited:
			errs = append(errs, field.Required(limits, "Limit must be set for non overcommitable resources"))
		case !shareable(name) && request.Cmp(limit) != 0:
			errs = append(errs, field.Invalid(requests, request.String(), "must be equal to "+string(name)+" limit of "+limit.String()))
		case limited && request.Cmp(limit) > 0:
			errs = append(errs, field.Invalid(requests, request.String(), "must be less than or equal to "+string(name)+" limit of "+limit.String()))
		}
	}
	return errs
}

func validateQuantities(list corev1.ResourceList, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range resourceNames(list) {
		here := at.Key(string(name))
		errs = invalid(errs, here, string(name), validation.IsQualifiedName(string(name)))
		switch {
		case !strings.Contains(string(name), "/"):
			if !standard(name) {
				errs = append(errs, field.Invalid(here, name, "must be a standard resource for containers"))
			}
		case !native(name) && !isExtended(name):
			errs = append(errs, field.Invalid(here, name, "doesn't follow extended resource name standard"))
		}
		errs = append(errs, validateQuantity(name, list[name], here)...)
	}
	return errs
}

// validateQuantity wants no less than nothing, and of extended resources whole ones.
func validateQuantity(name corev1.ResourceName, q resource.Quantity, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if q.Sign() < 0 {
		errs = append(errs, field.Invalid(at, q.String(), "must be greater than or equal to 0"))
	}
	if isExtended(name) && q.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(at, q, "must be an integer"))
	}
	return errs
}

// ValidateNodeStatus checks what a client writes of what a node has.
func ValidateNodeStatus(st *corev1.NodeStatus) field.ErrorList {
	var errs field.ErrorList
	for _, of := range []struct {
		name string
		list corev1.ResourceList
	}{{"capacity", st.Capacity}, {"allocatable", st.Allocatable}} {
		for _, name := range resourceNames(of.list) {
			here := field.NewPath("status", of.name).Key(string(name))
			errs = invalid(errs, here, string(name), validation.IsQualifiedName(string(name)))
			errs = append(errs, validateQuantity(name, of.list[name], here)...)
		}
	}
	return errs
}

// native are the resources whose names Kubernetes gives.
func native(name corev1.ResourceName) bool {
	return !strings.Contains(string(name), "/") || strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}

// isExtended tells whether a resource is one that others name, and quotas can limit.
func isExtended(name corev1.ResourceName) bool {
	return !native(name) && !strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) &&
		len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(name))) == 0
}

// shareable are the resources of which more can be promised than there is.
func shareable(name corev1.ResourceName) bool {
	return native(name) && !strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

func standard(name corev1.ResourceName) bool {
	return name == corev1.ResourceCPU || name == corev1.ResourceMemory || name == corev1.ResourceEphemeralStorage ||
		strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

func resourceNames(list corev1.ResourceList) []corev1.ResourceName {
	names := make([]corev1.ResourceName, 0, len(list))
	for n := range list {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
