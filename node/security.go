package node

import (
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/node/runtime"
)

// seccompDir is where an administrator puts the profiles that pods name with type Localhost.
func (a *Agent) seccompDir() string { return filepath.Join(a.o.DataDir, "seccomp") }

// security joins what the pod says with what the container says; the container wins.
func (a *Agent) security(pod *corev1.PodSecurityContext, c *corev1.SecurityContext) runtime.Security {
	var s runtime.Security
	if pod != nil {
		s = a.podSecurity(pod)
	}
	if c == nil {
		return s
	}
	if c.RunAsUser != nil {
		s.User = c.RunAsUser
	}
	if c.RunAsGroup != nil {
		s.Group = c.RunAsGroup
	}
	if c.RunAsNonRoot != nil {
		s.NonRoot = *c.RunAsNonRoot
	}
	if c.SeccompProfile != nil {
		s.SeccompUnconfined, s.SeccompProfile = a.seccomp(c.SeccompProfile)
	}
	s.ReadOnlyRoot, s.Privileged = isTrue(c.ReadOnlyRootFilesystem), isTrue(c.Privileged)
	s.NoNewPrivileges = c.AllowPrivilegeEscalation != nil && !*c.AllowPrivilegeEscalation
	if c.Capabilities != nil {
		s.AddCapabilities, s.DropCapabilities = capabilities(c.Capabilities.Add), capabilities(c.Capabilities.Drop)
	}
	return s
}

func (a *Agent) podSecurity(pod *corev1.PodSecurityContext) runtime.Security {
	s := runtime.Security{User: pod.RunAsUser, Group: pod.RunAsGroup, ExtraGroups: slices.Clone(pod.SupplementalGroups), NonRoot: isTrue(pod.RunAsNonRoot)}
	if pod.FSGroup != nil {
		s.ExtraGroups = append(s.ExtraGroups, *pod.FSGroup)
	}
	s.StrictGroups = pod.SupplementalGroupsPolicy != nil && *pod.SupplementalGroupsPolicy == corev1.SupplementalGroupsPolicyStrict
	s.SeccompUnconfined, s.SeccompProfile = a.seccomp(pod.SeccompProfile)
	return s
}

func isTrue(b *bool) bool { return b != nil && *b }

// seccomp says that there shall be no profile, or in which file it is; neither means the runtime's default, which is also
// what a pod gets that names none.
func (a *Agent) seccomp(p *corev1.SeccompProfile) (unconfined bool, file string) {
	switch {
	case p == nil:
	case p.Type == corev1.SeccompProfileTypeUnconfined:
		return true, ""
	case p.Type == corev1.SeccompProfileTypeLocalhost && p.LocalhostProfile != nil:
		return false, filepath.Join(a.seccompDir(), filepath.Clean("/"+*p.LocalhostProfile))
	}
	return false, ""
}

func capabilities(names []corev1.Capability) []string {
	var out []string
	for _, n := range names {
		out = append(out, strings.TrimPrefix(strings.ToUpper(string(n)), "CAP_"))
	}
	return out
}

// sysctls are the kernel settings that the pod asks for; slashes between the parts of a name are dots in disguise.
func sysctls(spec *corev1.PodSpec) map[string]string {
	if spec.SecurityContext == nil || len(spec.SecurityContext.Sysctls) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, s := range spec.SecurityContext.Sysctls {
		out[strings.ReplaceAll(s.Name, "/", ".")] = s.Value
	}
	return out
}
