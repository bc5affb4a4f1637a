package ration

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

func seLinux(s secured) (string, string) {
	types := []string{"", "container_t", "container_init_t", "container_kvm_t"}
	if s.minor >= 31 {
		types = append(types, "container_engine_t")
	}
	bad, user, role := words{}, false, false
	forbidden := func(o *corev1.SELinuxOptions) bool {
		if o == nil {
			return false
		}
		known := slices.Contains(types, o.Type)
		if !known {
			bad[o.Type] = true
		}
		user, role = user || o.User != "", role || o.Role != ""
		return !known || o.User != "" || o.Role != ""
	}
	who := setters(forbidden(s.pod().SELinuxOptions), s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool { return forbidden(c.SELinuxOptions) }))
	var said []string
	if len(bad) > 0 {
		said = append(said, counted("type", slices.Sorted(maps.Keys(bad))))
	}
	if user {
		said = append(said, "user may not be set")
	}
	if role {
		said = append(said, "role may not be set")
	}
	return "seLinuxOptions", told(who, "set forbidden securityContext.seLinuxOptions: "+strings.Join(said, "; "))
}

// Where a pod said how its system calls are filtered before there was a field for it.
const (
	seccompOfPod       = "seccomp.security.alpha.kubernetes.io/pod"
	seccompOfContainer = "container.seccomp.security.alpha.kubernetes.io/"
)

func seccompAnnotations(s secured) (string, string) {
	bad := words{}
	look := func(name string) {
		v, ok := s.annotations[name]
		if ok && v != corev1.SeccompProfileRuntimeDefault && v != corev1.DeprecatedSeccompProfileDockerDefault && !strings.HasPrefix(v, corev1.SeccompLocalhostProfileNamePrefix) {
			bad[fmt.Sprintf("%s=%q", name, v)] = true
		}
	}
	look(seccompOfPod)
	s.each(func(c *corev1.Container, _ *corev1.SecurityContext) { look(seccompOfContainer + c.Name) })
	if len(bad) == 0 {
		return "", ""
	}
	return "seccompProfile", "forbidden " + plural("annotation", len(bad)) + " " + strings.Join(slices.Sorted(maps.Keys(bad)), ", ")
}

func filters(p *corev1.SeccompProfile) bool {
	return p.Type == corev1.SeccompProfileTypeRuntimeDefault || p.Type == corev1.SeccompProfileTypeLocalhost
}

func seccomp(s secured) (string, string) {
	bad := words{}
	forbidden := func(p *corev1.SeccompProfile) bool {
		if p == nil || filters(p) {
			return false
		}
		bad[string(p.Type)] = true
		return true
	}
	who := setters(forbidden(s.pod().SeccompProfile), s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool { return forbidden(c.SeccompProfile) }))
	return "seccompProfile", told(who, "must not set securityContext.seccompProfile.type to "+bad.quoted())
}

func seccompSaid(s secured) (string, string) {
	if s.windows() {
		return "", ""
	}
	if reason, detail := seccomp(s); detail != "" {
		return reason, detail
	}
	if p := s.pod().SeccompProfile; p != nil {
		return "", ""
	}
	who := s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool { return c.SeccompProfile == nil })
	return "seccompProfile", orPod(who, `must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`)
}

// orPod is a detail about containers of which the pod could say the same for all.
func orPod(who []string, what string) string {
	if len(who) == 0 {
		return ""
	}
	return "pod or " + counted("container", who) + " " + what
}

// safeSysctls are those that a pod has for itself, by the version that first allowed them.
var safeSysctls = map[string]int{
	"kernel.shm_rmid_forced": 0, "net.ipv4.ip_local_port_range": 0, "net.ipv4.tcp_syncookies": 0, "net.ipv4.ping_group_range": 0, "net.ipv4.ip_unprivileged_port_start": 0,
	"net.ipv4.ip_local_reserved_ports": 27, "net.ipv4.tcp_keepalive_time": 29, "net.ipv4.tcp_fin_timeout": 29, "net.ipv4.tcp_keepalive_intvl": 29, "net.ipv4.tcp_keepalive_probes": 29,
	"net.ipv4.tcp_rmem": 32, "net.ipv4.tcp_wmem": 32, "net.ipv4.tcp_slow_start_after_idle": 37, "net.ipv4.tcp_notsent_lowat": 37,
}

func sysctls(s secured) (string, string) {
	var bad []string
	for _, c := range s.pod().Sysctls {
		if since, ok := safeSysctls[c.Name]; !ok || s.minor < since {
			bad = append(bad, c.Name)
		}
	}
	if slices.Equal(bad, []string{""}) {
		bad = []string{`""`}
	}
	return "forbidden sysctls", strings.Join(bad, ", ")
}

func hostProcess(s secured) (string, string) {
	forbidden := func(o *corev1.WindowsSecurityContextOptions) bool { return o != nil && yes(o.HostProcess) }
	who := setters(forbidden(s.pod().WindowsOptions), s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool { return forbidden(c.WindowsOptions) }))
	return "hostProcess", told(who, "must not set securityContext.windowsOptions.hostProcess=true")
}

func escalation(s secured) (string, string) {
	if s.windows() {
		return "", ""
	}
	who := s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool {
		return c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation
	})
	return "allowPrivilegeEscalation != false", told(counted("container", who), "must set securityContext.allowPrivilegeEscalation=false")
}

func nonRoot(s secured) (string, string) {
	if s.apart() {
		return "", ""
	}
	const reason = "runAsNonRoot != true"
	pod, no := s.pod().RunAsNonRoot, func(b *bool) bool { return b != nil && !*b }
	who := setters(no(pod), s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool { return no(c.RunAsNonRoot) }))
	if who != "" {
		return reason, who + " must not set securityContext.runAsNonRoot=false"
	}
	if yes(pod) {
		return "", ""
	}
	return reason, orPod(s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool { return c.RunAsNonRoot == nil }), "must set securityContext.runAsNonRoot=true")
}

func rootUser(s secured) (string, string) {
	if s.apart() {
		return "", ""
	}
	root := func(id *int64) bool { return id != nil && *id == 0 }
	who := setters(root(s.pod().RunAsUser), s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool { return root(c.RunAsUser) }))
	return "runAsUser=0", told(who, "must not set runAsUser=0")
}

// volumeTypes allows what is of the cluster alone, and not of a node.
func volumeTypes(s secured) (string, string) {
	types := words{}
	var names []string
	for _, v := range s.Volumes {
		if v.ConfigMap != nil || v.CSI != nil || v.DownwardAPI != nil || v.EmptyDir != nil || v.Ephemeral != nil || v.Image != nil || v.PersistentVolumeClaim != nil || v.Projected != nil || v.Secret != nil {
			continue
		}
		names = append(names, v.Name)
		types[volumeType(&v.VolumeSource)] = true
	}
	return "restricted volume types", told(counted("volume", names), uses(len(names))+" "+plural("restricted volume type", len(types))+" "+types.quoted())
}

func volumeType(v *corev1.VolumeSource) string {
	for _, k := range []struct {
		name string
		is   bool
	}{
		{"hostPath", v.HostPath != nil}, {"gcePersistentDisk", v.GCEPersistentDisk != nil}, {"awsElasticBlockStore", v.AWSElasticBlockStore != nil}, {"gitRepo", v.GitRepo != nil}, {"nfs", v.NFS != nil},
		{"iscsi", v.ISCSI != nil}, {"glusterfs", v.Glusterfs != nil}, {"rbd", v.RBD != nil}, {"flexVolume", v.FlexVolume != nil}, {"cinder", v.Cinder != nil}, {"cephfs", v.CephFS != nil},
		{"flocker", v.Flocker != nil}, {"fc", v.FC != nil}, {"azureFile", v.AzureFile != nil}, {"vsphereVolume", v.VsphereVolume != nil}, {"quobyte", v.Quobyte != nil}, {"azureDisk", v.AzureDisk != nil},
		{"photonPersistentDisk", v.PhotonPersistentDisk != nil}, {"portworxVolume", v.PortworxVolume != nil}, {"scaleIO", v.ScaleIO != nil}, {"storageos", v.StorageOS != nil},
	} {
		if k.is {
			return k.name
		}
	}
	return "unknown"
}
