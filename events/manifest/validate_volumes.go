package manifest

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateVolumes also gives the names that mounts may use.
func validateVolumes(vs []corev1.Volume, at *field.Path) (field.ErrorList, map[string]bool) {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, v := range vs {
		here := at.Index(i)
		switch {
		case v.Name == "":
			errs = append(errs, field.Required(here.Child("name"), ""))
		case names[v.Name]:
			errs = append(errs, field.Duplicate(here.Child("name"), v.Name))
		default:
			errs = invalid(errs, here.Child("name"), v.Name, validation.IsDNS1123Label(v.Name))
		}
		names[v.Name] = true
		errs = append(errs, validateVolume(&v, here)...)
	}
	return errs, names
}

func validateVolume(v *corev1.Volume, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	kinds := 0
	check := func(kind string, set bool, find func(*field.Path) field.ErrorList) {
		if !set {
			return
		}
		here := at.Child(kind)
		if kinds++; kinds > 1 {
			errs = append(errs, field.Forbidden(here, "may not specify more than 1 volume type"))
		}
		errs = append(errs, find(here)...)
	}
	check("hostPath", v.HostPath != nil, func(here *field.Path) field.ErrorList { return validateHostPath(v.HostPath, here) })
	check("emptyDir", v.EmptyDir != nil, func(here *field.Path) field.ErrorList { return validateEmptyDir(v.EmptyDir, here) })
	check("configMap", v.ConfigMap != nil, func(here *field.Path) field.ErrorList {
		c := v.ConfigMap
		return append(validateMode(nil, here.Child("defaultMode"), c.DefaultMode), validateConfigSource(c.Name, c.Items, here)...)
	})
	check("secret", v.Secret != nil, func(here *field.Path) field.ErrorList {
		if v.Secret.SecretName == "" {
			return field.ErrorList{field.Required(here.Child("secretName"), "")}
		}
		return append(validateMode(nil, here.Child("defaultMode"), v.Secret.DefaultMode), validateConfigSource(v.Secret.SecretName, v.Secret.Items, here)...)
	})
	check("downwardAPI", v.DownwardAPI != nil, func(here *field.Path) field.ErrorList {
		return append(validateMode(nil, here.Child("defaultMode"), v.DownwardAPI.DefaultMode), validateDownward(v.DownwardAPI.Items, here.Child("items"))...)
	})
	check("persistentVolumeClaim", v.PersistentVolumeClaim != nil, func(here *field.Path) field.ErrorList { return validateClaimVolume(v.PersistentVolumeClaim, here) })
	check("ephemeral", v.Ephemeral != nil, func(here *field.Path) field.ErrorList { return validateEphemeralVolume(v.Ephemeral, here) })
	check("image", v.Image != nil, func(here *field.Path) field.ErrorList { return validateImageVolume(v.Image, here) })
	check("csi", v.CSI != nil, func(here *field.Path) field.ErrorList { return validateCSIVolume(v.CSI, here) })
	check("projected", v.Projected != nil, func(here *field.Path) field.ErrorList { return validateProjected(v.Projected, here) })
	return errs
}

func validateImageVolume(v *corev1.ImageVolumeSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if v.Reference == "" {
		errs = append(errs, field.Required(at.Child("reference"), ""))
	}
	return oneOf(errs, at.Child("pullPolicy"), v.PullPolicy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
}

func validateCSIVolume(c *corev1.CSIVolumeSource, at *field.Path) field.ErrorList {
	errs := driverName(c.Driver, at.Child("driver"))
	if s := c.NodePublishSecretRef; s != nil && s.Name == "" {
		errs = append(errs, field.Required(at.Child("nodePublishSecretRef", "name"), ""))
	}
	return errs
}

func validateEmptyDir(e *corev1.EmptyDirVolumeSource, at *field.Path) field.ErrorList {
	if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
		return field.ErrorList{field.Forbidden(at.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity")}
	}
	return nil
}

func validateHostPath(h *corev1.HostPathVolumeSource, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if h.Path == "" {
		errs = append(errs, field.Required(at.Child("path"), ""))
	}
	if slices.Contains(strings.Split(h.Path, "/"), "..") {
		errs = append(errs, field.Invalid(at.Child("path"), h.Path, "must not contain '..'"))
	}
	if h.Type != nil && *h.Type != corev1.HostPathUnset {
		errs = oneOf(errs, at.Child("type"), *h.Type, corev1.HostPathDirectoryOrCreate, corev1.HostPathDirectory, corev1.HostPathFileOrCreate,
			corev1.HostPathFile, corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev)
	}
	return errs
}

func validateConfigSource(name string, items []corev1.KeyToPath, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	}
	for i, item := range items {
		here := at.Child("items").Index(i)
		if item.Key == "" {
			errs = append(errs, field.Required(here.Child("key"), ""))
		}
		errs = validatePath(errs, here.Child("path"), item.Path)
		errs = validateMode(errs, here.Child("mode"), item.Mode)
	}
	return errs
}

// validatePath wants the path of a file in a volume.
func validatePath(errs field.ErrorList, at *field.Path, path string) field.ErrorList {
	if path == "" {
		return append(errs, field.Required(at, ""))
	}
	before := len(errs)
	if errs = localPath(errs, at, path); len(errs) == before && strings.HasPrefix(path, "..") {
		errs = append(errs, field.Invalid(at, path, "must not start with '..'"))
	}
	return errs
}

// volumeFieldRefs are the paths that a file's fieldRef may name, beside metadata.labels['key'] and metadata.annotations['key'].
var volumeFieldRefs = []string{"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}

func validateDownward(items []corev1.DownwardAPIVolumeFile, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, item := range items {
		here := at.Index(i)
		errs = validatePath(errs, here.Child("path"), item.Path)
		errs = validateMode(errs, here.Child("mode"), item.Mode)
		switch {
		case item.FieldRef != nil && item.ResourceFieldRef != nil:
			errs = append(errs, field.Invalid(here, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		case item.FieldRef != nil:
			errs = append(errs, validateFieldRef(item.FieldRef, volumeFieldRefs, here.Child("fieldRef", "fieldPath"))...)
		case item.ResourceFieldRef == nil:
			errs = append(errs, field.Required(here, "one of fieldRef and resourceFieldRef is required"))
		case item.ResourceFieldRef.ContainerName == "":
			errs = append(errs, field.Required(here.Child("resourceFieldRef", "containerName"), ""))
			fallthrough
		default:
			errs = append(errs, validateResourceRef(item.ResourceFieldRef, here.Child("resourceFieldRef"))...)
		}
	}
	return errs
}

// What a resourceFieldRef may name, and in which units.
var (
	resourceRefs   = []string{"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"}
	cpuDivisors    = []string{"1", "1m"}
	memoryDivisors = []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}
)

func validateResourceRef(r *corev1.ResourceFieldSelector, at *field.Path) field.ErrorList {
	if r.Resource == "" {
		return field.ErrorList{field.Required(at.Child("resource"), "")}
	}
	if !slices.Contains(resourceRefs, r.Resource) {
		return field.ErrorList{field.NotSupported(at.Child("resource"), r.Resource, resourceRefs)}
	}
	allowed, what := memoryDivisors, "memory and storage"
	if strings.HasSuffix(r.Resource, ".cpu") {
		allowed, what = cpuDivisors, "cpu"
	}
	fits := func(s string) bool { q := resource.MustParse(s); return q.Cmp(r.Divisor) == 0 }
	if !r.Divisor.IsZero() && !slices.ContainsFunc(allowed, fits) {
		return field.ErrorList{field.Invalid(at.Child("divisor"), r.Divisor.String(), "only divisor's values "+strings.Join(allowed, ", ")+" are supported with "+what)}
	}
	return nil
}

func validateProjected(p *corev1.ProjectedVolumeSource, at *field.Path) field.ErrorList {
	errs := validateMode(nil, at.Child("defaultMode"), p.DefaultMode)
	paths := map[string]bool{}
	for i, s := range p.Sources {
		here := at.Child("sources").Index(i)
		found, named := validateProjection(s, here)
		errs = append(errs, found...)
		for _, path := range named {
			if path != "" && paths[path] {
				errs = append(errs, field.Invalid(here, path, "conflicting duplicate paths"))
			}
			paths[path] = true
		}
	}
	return errs
}

// validateProjection also gives the paths that a source names.
func validateProjection(s corev1.VolumeProjection, at *field.Path) (errs field.ErrorList, named []string) {
	sources := 0
	items := func(name string, list []corev1.KeyToPath, at *field.Path) {
		sources++
		errs = append(errs, validateConfigSource(name, list, at)...)
		for _, item := range list {
			named = append(named, item.Path)
		}
	}
	if c := s.ConfigMap; c != nil {
		items(c.Name, c.Items, at.Child("configMap"))
	}
	if c := s.Secret; c != nil {
		items(c.Name, c.Items, at.Child("secret"))
	}
	if d := s.DownwardAPI; d != nil {
		sources++
		errs = append(errs, validateDownward(d.Items, at.Child("downwardAPI", "items"))...)
		for _, item := range d.Items {
			named = append(named, item.Path)
		}
	}
	if t := s.ServiceAccountToken; t != nil {
		sources++
		errs = append(errs, validateToken(t, at.Child("serviceAccountToken"))...)
		named = append(named, t.Path)
	}
	if c := s.ClusterTrustBundle; c != nil {
		sources++
		errs = append(errs, validateTrustSource(c, at.Child("clusterTrustBundle"))...)
		named = append(named, c.Path)
	}
	if c := s.PodCertificate; c != nil {
		sources++
		errs = append(errs, validatePodCertSource(c, at.Child("podCertificate"))...)
		named = append(named, c.CredentialBundlePath, c.KeyPath, c.CertificateChainPath)
	}
	if sources > 1 {
		errs = append(errs, field.Forbidden(at, "may not specify more than 1 volume type"))
	}
	return errs, named
}

// How long a token may last, in seconds, as in Kubernetes.
const (
	ShortestToken int64 = 10 * 60
	LongestToken  int64 = 1 << 32
)

func validateToken(t *corev1.ServiceAccountTokenProjection, at *field.Path) field.ErrorList {
	errs := validatePath(nil, at.Child("path"), t.Path)
	if n := t.ExpirationSeconds; n != nil {
		errs = append(errs, ValidateTokenLife(*n, at.Child("expirationSeconds"))...)
	}
	return errs
}

// ValidateTokenLife holds the life that is wanted for a token, in seconds, to its
// bounds.
func ValidateTokenLife(seconds int64, at *field.Path) field.ErrorList {
	switch {
	case seconds < ShortestToken:
		return field.ErrorList{field.Invalid(at, seconds, "may not specify a duration less than 10 minutes")}
	case seconds > LongestToken:
		return field.ErrorList{field.Invalid(at, seconds, "may not specify a duration larger than 2^32 seconds")}
	}
	return nil
}

func validateMode(errs field.ErrorList, at *field.Path, mode *int32) field.ErrorList {
	const most = 0o777
	if mode != nil && (*mode < 0 || *mode > most) {
		return append(errs, field.Invalid(at, *mode, "must be a number between 0 and 0777 (octal), both inclusive"))
	}
	return errs
}

// localPath wants a path that stays below where it begins.
func localPath(errs field.ErrorList, at *field.Path, path string) field.ErrorList {
	if strings.HasPrefix(path, "/") {
		errs = append(errs, field.Invalid(at, path, "must be a relative path"))
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			return append(errs, field.Invalid(at, path, "must not contain '..'"))
		}
	}
	return errs
}

func validateMounts(c *corev1.Container, volumes map[string]bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	paths := map[string]bool{}
	for i, m := range c.VolumeMounts {
		here := at.Index(i)
		switch {
		case m.Name == "":
			errs = append(errs, field.Required(here.Child("name"), ""))
		case !volumes[m.Name]:
			errs = append(errs, field.NotFound(here.Child("name"), m.Name))
		}
		switch {
		case m.MountPath == "":
			errs = append(errs, field.Required(here.Child("mountPath"), ""))
		case paths[m.MountPath]:
			errs = append(errs, field.Invalid(here.Child("mountPath"), m.MountPath, "must be unique"))
		}
		paths[m.MountPath] = true
		errs = localPath(errs, here.Child("subPath"), m.SubPath)
		errs = localPath(errs, here.Child("subPathExpr"), m.SubPathExpr)
		if m.SubPath != "" && m.SubPathExpr != "" {
			errs = append(errs, field.Invalid(here.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
		}
		errs = append(errs, validatePropagation(m.MountPropagation, c, here.Child("mountPropagation"))...)
		errs = append(errs, validateRecursive(&m, here.Child("recursiveReadOnly"))...)
	}
	return errs
}

func validatePropagation(p *corev1.MountPropagationMode, c *corev1.Container, at *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	privileged := c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
	if *p == corev1.MountPropagationBidirectional && !privileged {
		return field.ErrorList{field.Forbidden(at, "Bidirectional mount propagation is available only to privileged containers")}
	}
	return oneOf(nil, at, *p, corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)
}

// validateRecursive wants that nobody takes a mount for read only, with all below it, that is not.
func validateRecursive(m *corev1.VolumeMount, at *field.Path) field.ErrorList {
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled {
		return nil
	}
	errs := oneOf(nil, at, *m.RecursiveReadOnly, corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible)
	if !m.ReadOnly {
		errs = append(errs, field.Forbidden(at, "may only be specified when readOnly is true"))
	}
	if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
		errs = append(errs, field.Forbidden(at, "may only be specified when mountPropagation is None or not specified"))
	}
	return errs
}
