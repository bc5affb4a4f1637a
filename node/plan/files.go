package plan

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// maxHostname is the kernel's bound on a host name that Kubernetes keeps to, in bytes.
const maxHostname = 63

// maxFQDN is the kernel's bound on what a machine can be called, in bytes.
const maxFQDN = 64

// Hostname is what a pod calls itself: on the node's network that is the node.
func Hostname(pod *corev1.Pod, n Node) string {
	name := shortName(pod)
	switch set := pod.Spec.SetHostnameAsFQDN; {
	case pod.Spec.HostNetwork:
		return n.Hostname
	case set != nil && *set && hasDomain(pod):
		return name + "." + domainOf(pod, n)
	}
	return name
}

// HostnameError says in Kubernetes' words that a pod asks for a longer name than the kernel takes.
func HostnameError(pod *corev1.Pod, n Node) error {
	if name := Hostname(pod, n); !pod.Spec.HostNetwork && len(name) > maxFQDN {
		return fmt.Errorf("failed to construct FQDN from Pod hostname and cluster domain, FQDN %s is too long (%d characters is the max, %d characters requested)",
			name, maxFQDN, len(name))
	}
	return nil
}

func shortName(pod *corev1.Pod) string {
	name := pod.Spec.Hostname
	if name == "" {
		name = pod.Name
	}
	if pod.Spec.HostnameOverride != nil {
		name = *pod.Spec.HostnameOverride
	}
	if len(name) > maxHostname {
		name = strings.TrimRight(name[:maxHostname], "-.")
	}
	return name
}

// hasDomain tells whether a pod's own name for itself has a domain; a name that overrides all stands by itself.
func hasDomain(pod *corev1.Pod) bool {
	return pod.Spec.Subdomain != "" && pod.Spec.HostnameOverride == nil
}

// domainOf is where a pod with a subdomain is known.
func domainOf(pod *corev1.Pod, n Node) string {
	return pod.Spec.Subdomain + "." + pod.Namespace + ".svc." + n.Domain
}

// HostsFile is the pod's /etc/hosts; host is the node's own, for pods in the node's network.
func HostsFile(pod *corev1.Pod, n Node, podIP, host string) string {
	var b strings.Builder
	if pod.Spec.HostNetwork {
		b.WriteString("# Kubernetes-managed hosts file (host network).\n" + host)
	} else {
		b.WriteString("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::\tip6-localnet\nfe00::\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n")
		names := shortName(pod)
		if hasDomain(pod) {
			names = names + "." + domainOf(pod, n) + "\t" + names
		}
		b.WriteString(podIP + "\t" + names + "\n")
	}
	if len(pod.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
	}
	for _, a := range pod.Spec.HostAliases {
		b.WriteString(a.IP + "\t" + strings.Join(a.Hostnames, "\t") + "\n")
	}
	return b.String()
}

// ResolvConf is the pod's /etc/resolv.conf; host is the node's own.
func ResolvConf(pod *corev1.Pod, n Node, host string) string {
	var r resolver
	policy := pod.Spec.DNSPolicy
	if policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork {
		policy = corev1.DNSDefault // Kubernetes': who is on the node's network asks the node's servers
	}
	switch policy {
	case corev1.DNSNone:
	case corev1.DNSDefault:
		r = parseResolver(host)
	default:
		r = resolver{servers: []string{n.DNS}, options: []string{"ndots:5"}}
		r.search = []string{pod.Namespace + ".svc." + n.Domain, "svc." + n.Domain, n.Domain}
		r.search = append(r.search, parseResolver(host).search...)
	}
	if c := pod.Spec.DNSConfig; c != nil {
		r.merge(c)
	}
	return r.String()
}

type resolver struct{ servers, search, options []string }

func parseResolver(s string) resolver {
	var r resolver
	for line := range strings.Lines(s) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			r.servers = append(r.servers, words[1])
		case "search":
			r.search = words[1:]
		case "options":
			r.options = append(r.options, words[1:]...)
		}
	}
	return r
}

// merge adds what the pod asks for; an option it names replaces one of the same name.
func (r *resolver) merge(c *corev1.PodDNSConfig) {
	r.servers = union(r.servers, c.Nameservers)
	r.search = union(r.search, c.Searches)
	for _, o := range c.Options {
		r.options = slices.DeleteFunc(r.options, func(x string) bool { n, _, _ := strings.Cut(x, ":"); return n == o.Name })
		if o.Value != nil && *o.Value != "" {
			r.options = append(r.options, o.Name+":"+*o.Value)
		} else {
			r.options = append(r.options, o.Name)
		}
	}
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// String is the file's text.
func (r resolver) String() string {
	var b strings.Builder
	if len(r.search) > 0 {
		b.WriteString("search " + strings.Join(r.search, " ") + "\n")
	}
	for _, s := range r.servers {
		b.WriteString("nameserver " + s + "\n")
	}
	if len(r.options) > 0 {
		b.WriteString("options " + strings.Join(r.options, " ") + "\n")
	}
	return b.String()
}
