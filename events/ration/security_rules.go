package ration

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// securityRule is one rule of the standards. check names what is broken, and in what; no detail: nothing is.
type securityRule struct {
	level        int
	since, until int  // minor versions that have it; until 0: all
	stricter     *int // from which version on the restricted profile has a stricter one in its place; nil: it has none
	check        func(secured) (reason, detail string)
}

func from(minor int) *int { return &minor }

// securityRules are all of them, in the order in which Kubernetes tells of them.
var securityRules = []securityRule{
	{baseline, 0, 0, nil, appArmor},
	{baseline, 0, 0, from(22), capabilities},
	{baseline, 0, 0, nil, hostNamespaces},
	{baseline, 0, 0, from(0), hostPaths},
	{baseline, 0, 0, nil, hostPorts},
	{baseline, 34, 0, nil, otherHosts},
	{baseline, 0, 0, nil, noPrivilege},
	{baseline, 0, 0, from(35), procMounts},
	{baseline, 0, 0, nil, seLinux},
	{baseline, 0, 18, nil, seccompAnnotations},
	{baseline, 19, 0, from(19), seccomp},
	{baseline, 0, 0, nil, sysctls},
	{baseline, 0, 0, nil, hostProcess},
	{restricted, 8, 0, nil, escalation},
	{restricted, 22, 0, nil, dropAll},
	{restricted, 35, 0, nil, allProcMounts},
	{restricted, 0, 0, nil, volumeTypes},
	{restricted, 0, 0, nil, nonRoot},
	{restricted, 23, 0, nil, rootUser},
	{restricted, 19, 0, nil, seccompSaid},
}

// secured is a pod as the rules look at it.
type secured struct {
	*corev1.PodSpec
	annotations map[string]string
	minor       int
}

func (s secured) windows() bool { return s.minor >= 25 && s.OS != nil && s.OS.Name == corev1.Windows }

// apart tells whether root in the pod is nobody outside of it.
func (s secured) apart() bool { return s.minor >= 35 && s.HostUsers != nil && !*s.HostUsers }

// each calls f with all containers and what is said of their security; never nil.
func (s secured) each(f func(*corev1.Container, *corev1.SecurityContext)) {
	visit := func(c *corev1.Container) {
		security := c.SecurityContext
		if security == nil {
			security = &corev1.SecurityContext{}
		}
		f(c, security)
	}
	for i := range s.InitContainers {
		visit(&s.InitContainers[i])
	}
	for i := range s.Containers {
		visit(&s.Containers[i])
	}
	for i := range s.EphemeralContainers {
		visit((*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon))
	}
}

// those are the names of the containers that are meant.
func (s secured) those(meant func(*corev1.Container, *corev1.SecurityContext) bool) []string {
	var out []string
	s.each(func(c *corev1.Container, security *corev1.SecurityContext) {
		if meant(c, security) {
			out = append(out, c.Name)
		}
	})
	return out
}

// pod is what is said of the security of all containers; never nil.
func (s secured) pod() *corev1.PodSecurityContext {
	if s.SecurityContext == nil {
		return &corev1.PodSecurityContext{}
	}
	return s.SecurityContext
}

// words are a set of what is not allowed.
type words map[string]bool

func (w words) quoted() string { return quotedAll(slices.Sorted(maps.Keys(w))) }

func quotedAll(all []string) string { return `"` + strings.Join(all, `", "`) + `"` }

func plural(word string, n int) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// counted is `container "a"` or `containers "a", "b"`; "" of none.
func counted(word string, all []string) string {
	if len(all) == 0 {
		return ""
	}
	return plural(word, len(all)) + " " + quotedAll(all)
}

// setters are the pod, containers, or both.
func setters(pod bool, containers []string) string {
	said := counted("container", containers)
	switch {
	case pod && said != "":
		return "pod and " + said
	case pod:
		return "pod"
	}
	return said
}

// told is a detail about somebody, "" about nobody.
func told(who, what string) string {
	if who == "" {
		return ""
	}
	return who + " " + what
}

func uses(n int) string {
	if n == 1 {
		return "uses"
	}
	return "use"
}

func yes(b *bool) bool { return b != nil && *b }

func appArmor(s secured) (string, string) {
	bad := words{}
	forbidden := func(p *corev1.AppArmorProfile) bool {
		if p == nil || p.Type == corev1.AppArmorProfileTypeRuntimeDefault || p.Type == corev1.AppArmorProfileTypeLocalhost {
			return false
		}
		bad[string(p.Type)] = true
		return true
	}
	who := setters(forbidden(s.pod().AppArmorProfile), s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool { return forbidden(c.AppArmorProfile) }))
	var noted []string
	for _, k := range slices.Sorted(maps.Keys(s.annotations)) {
		v := s.annotations[k]
		if strings.HasPrefix(k, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) && v != "" && v != corev1.DeprecatedAppArmorBetaProfileRuntimeDefault && !strings.HasPrefix(v, corev1.DeprecatedAppArmorBetaProfileNamePrefix) {
			noted = append(noted, fmt.Sprintf("%s=%q", k, v))
		}
	}
	values := append(slices.Sorted(maps.Keys(bad)), noted...)
	switch {
	case len(noted) > 0 && who != "":
		who += " and " + plural("annotation", len(noted))
	case len(noted) > 0:
		who = plural("annotation", len(noted))
	}
	return plural("forbidden AppArmor profile", len(values)), told(who, "must not set AppArmor profile type to "+quotedAll(values))
}

var usualCapabilities = []corev1.Capability{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}

// adding are the containers that add capabilities which are not allowed, and those.
func (s secured) adding(allowed ...corev1.Capability) ([]string, words) {
	bad := words{}
	return s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool {
		found := false
		if c.Capabilities != nil {
			for _, name := range c.Capabilities.Add {
				if !slices.Contains(allowed, name) {
					found, bad[string(name)] = true, true
				}
			}
		}
		return found
	}), bad
}

const addsCapabilities = " in securityContext.capabilities.add"

func capabilities(s secured) (string, string) {
	who, bad := s.adding(usualCapabilities...)
	return "non-default capabilities", told(counted("container", who), "must not include "+bad.quoted()+addsCapabilities)
}

func dropAll(s secured) (string, string) {
	if s.windows() {
		return "", ""
	}
	keeping := s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool {
		return c.Capabilities == nil || !slices.Contains(c.Capabilities.Drop, "ALL")
	})
	who, bad := s.adding("NET_BIND_SERVICE")
	said := slices.DeleteFunc([]string{told(counted("container", keeping), `must set securityContext.capabilities.drop=["ALL"]`), told(counted("container", who), "must not include "+bad.quoted()+addsCapabilities)},
		func(s string) bool { return s == "" })
	return "unrestricted capabilities", strings.Join(said, "; ")
}

func hostNamespaces(s secured) (string, string) {
	var said []string
	for _, n := range []struct {
		name string
		set  bool
	}{{"hostNetwork", s.HostNetwork}, {"hostPID", s.HostPID}, {"hostIPC", s.HostIPC}} {
		if n.set {
			said = append(said, n.name+"=true")
		}
	}
	return "host namespaces", strings.Join(said, ", ")
}

func hostPaths(s secured) (string, string) {
	var names []string
	for _, v := range s.Volumes {
		if v.HostPath != nil {
			names = append(names, v.Name)
		}
	}
	return "hostPath volumes", counted("volume", names)
}

func hostPorts(s secured) (string, string) {
	bad := words{}
	who := s.those(func(c *corev1.Container, _ *corev1.SecurityContext) bool {
		found := false
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				found, bad[strconv.Itoa(int(p.HostPort))] = true, true
			}
		}
		return found
	})
	return "hostPort", told(counted("container", who), uses(len(who))+" "+plural("hostPort", len(bad))+" "+strings.Join(slices.Sorted(maps.Keys(bad)), ", "))
}

// otherHosts are those that probes and hooks would connect to in the node's name.
func otherHosts(s secured) (string, string) {
	bad, who := words{}, words{}
	s.each(func(c *corev1.Container, _ *corev1.SecurityContext) {
		note := func(get *corev1.HTTPGetAction, tcp *corev1.TCPSocketAction) {
			if get != nil && get.Host != "" {
				bad[get.Host], who[c.Name] = true, true
			}
			if tcp != nil && tcp.Host != "" {
				bad[tcp.Host], who[c.Name] = true, true
			}
		}
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p != nil {
				note(p.HTTPGet, p.TCPSocket)
			}
		}
		if c.Lifecycle == nil {
			return
		}
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				note(h.HTTPGet, h.TCPSocket)
			}
		}
	})
	return "probe or lifecycle host", told(counted("container", slices.Sorted(maps.Keys(who))), uses(len(who))+" "+plural("probe or lifecycle host", len(bad))+" "+bad.quoted())
}

func noPrivilege(s secured) (string, string) {
	who := s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool { return yes(c.Privileged) })
	return "privileged", told(counted("container", who), "must not set securityContext.privileged=true")
}

func procMounts(s secured) (string, string) {
	if s.apart() {
		return "", ""
	}
	return allProcMounts(s)
}

func allProcMounts(s secured) (string, string) {
	bad := words{}
	who := s.those(func(_ *corev1.Container, c *corev1.SecurityContext) bool {
		if c.ProcMount == nil || *c.ProcMount == corev1.DefaultProcMount {
			return false
		}
		bad[string(*c.ProcMount)] = true
		return true
	})
	return "procMount", told(counted("container", who), "must not set securityContext.procMount to "+bad.quoted())
}
