package manifest

import (
	"math"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validatePodSecurity checks what a pod says for all its containers.
func validatePodSecurity(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	c := s.SecurityContext
	if c == nil {
		return nil
	}
	var errs field.ErrorList
	errs = validateID(errs, at.Child("runAsUser"), c.RunAsUser)
	errs = validateID(errs, at.Child("runAsGroup"), c.RunAsGroup)
	errs = validateID(errs, at.Child("fsGroup"), c.FSGroup)
	for i := range c.SupplementalGroups {
		errs = validateID(errs, at.Child("supplementalGroups").Index(i), &c.SupplementalGroups[i])
	}
	if p := c.FSGroupChangePolicy; p != nil {
		errs = oneOf(errs, at.Child("fsGroupChangePolicy"), *p, corev1.FSGroupChangeAlways, corev1.FSGroupChangeOnRootMismatch)
	}
	if p := c.SupplementalGroupsPolicy; p != nil {
		errs = oneOf(errs, at.Child("supplementalGroupsPolicy"), *p, corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)
	}
	errs = append(errs, validateSeccomp(c.SeccompProfile, at.Child("seccompProfile"))...)
	return append(errs, validateSysctls(c.Sysctls, s, at.Child("sysctls"))...)
}

func validateID(errs field.ErrorList, at *field.Path, id *int64) field.ErrorList {
	if id != nil && (*id < 0 || *id > math.MaxInt32) {
		return append(errs, field.Invalid(at, *id, "must be between 0 and 2147483647, inclusive"))
	}
	return errs
}

func validateSeccomp(p *corev1.SeccompProfile, at *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := oneOf(nil, at.Child("type"), p.Type, corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	here := at.Child("localhostProfile")
	switch {
	case p.Type == corev1.SeccompProfileTypeLocalhost && (p.LocalhostProfile == nil || *p.LocalhostProfile == ""):
		errs = append(errs, field.Required(here, "must be set when seccomp type is Localhost"))
	case p.Type == corev1.SeccompProfileTypeLocalhost:
		errs = localPath(errs, here, *p.LocalhostProfile)
	case p.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(here, *p.LocalhostProfile, "can only be set when seccomp type is Localhost"))
	}
	return errs
}

// safeSysctls are those that Kubernetes lets any pod set: each belongs to a namespace of the pod's own and cannot harm
// the node or other pods.
var safeSysctls = []string{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
	"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}

const (
	sysctlPart   = `[a-z0-9]([-_a-z0-9]*[a-z0-9])?`
	sysctlLength = 253
)

var sysctlName = regexp.MustCompile(`^(` + sysctlPart + `[./])*` + sysctlPart + `$`)

func validateSysctls(list []corev1.Sysctl, s *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, c := range list {
		here, name := at.Index(i).Child("name"), strings.ReplaceAll(c.Name, "/", ".")
		switch {
		case c.Name == "":
			errs = append(errs, field.Required(here, ""))
		case len(c.Name) > sysctlLength || !sysctlName.MatchString(c.Name):
			errs = append(errs, field.Invalid(here, c.Name, "must have at most 253 characters and match "+sysctlName.String()))
		case seen[name]:
			errs = append(errs, field.Duplicate(here, c.Name))
		case !slices.Contains(safeSysctls, name):
			errs = append(errs, field.Forbidden(here, "it is none of the safe ones: "+strings.Join(safeSysctls, ", ")))
		case s.HostNetwork && strings.HasPrefix(name, "net."), s.HostIPC && strings.HasPrefix(name, "kernel.shm"):
			errs = append(errs, field.Invalid(here, c.Name, "may not be set in a namespace of the host"))
		}
		seen[name] = true
	}
	return errs
}

// capabilityNames are Linux'; the list only grows with the kernel.
var capabilityNames = []string{"ALL", "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN", "DAC_OVERRIDE",
	"DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT",
	"SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM"}

// validateSecurity checks what a container says for itself.
func validateSecurity(c *corev1.SecurityContext, at *field.Path) field.ErrorList {
	if c == nil {
		return nil
	}
	errs := validateID(nil, at.Child("runAsUser"), c.RunAsUser)
	errs = validateID(errs, at.Child("runAsGroup"), c.RunAsGroup)
	errs = append(errs, validateSeccomp(c.SeccompProfile, at.Child("seccompProfile"))...)
	if p := c.ProcMount; p != nil {
		errs = oneOf(errs, at.Child("procMount"), *p, corev1.DefaultProcMount, corev1.UnmaskedProcMount)
	}
	if caps := c.Capabilities; caps != nil {
		errs = append(errs, validateCapabilities(caps.Add, at.Child("capabilities", "add"))...)
		errs = append(errs, validateCapabilities(caps.Drop, at.Child("capabilities", "drop"))...)
	}
	if c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation {
		return errs
	}
	here := at.Child("allowPrivilegeEscalation")
	if c.Privileged != nil && *c.Privileged {
		errs = append(errs, field.Invalid(here, false, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
	}
	if c.Capabilities != nil && slices.ContainsFunc(c.Capabilities.Add, func(n corev1.Capability) bool { return plainCapability(n) == "SYS_ADMIN" }) {
		errs = append(errs, field.Invalid(here, false, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
	}
	return errs
}

// validateCapabilities knows the names: a misspelled one would keep the container from starting, on its node, later.
func validateCapabilities(names []corev1.Capability, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, n := range names {
		if !slices.Contains(capabilityNames, plainCapability(n)) {
			errs = append(errs, field.NotSupported(at.Index(i), string(n), capabilityNames))
		}
	}
	return errs
}

func plainCapability(n corev1.Capability) string {
	return strings.TrimPrefix(strings.ToUpper(string(n)), "CAP_")
}
