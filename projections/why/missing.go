package why

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/stave-run/stave/projections"
)

// What a node says of a container that it cannot make, in Kubernetes' words.
var (
	noConfig  = regexp.MustCompile(`(configmap|secret) "([^"]+)" not found`)
	noKey     = regexp.MustCompile(`find key (\S+) in (ConfigMap|Secret) [^/]+/(\S+)`)
	noItem    = regexp.MustCompile(`(?:configmap|secret) references non-existent (config|secret) key: (\S+)`)
	noOpening = regexp.MustCompile(`secret "([^"]+)": open (\S+): its key is not in the key store`)
	asRoot    = regexp.MustCompile(`non-root policy|runAsNonRoot`)
	wrongPath = regexp.MustCompile(`hostPath type check failed: (\S+) is not (.+)$`)
	noProfile = regexp.MustCompile(`cannot load seccomp profile "([^"]+)"`)
	leadsOut  = regexp.MustCompile(`(subPath "[^"]*") leads out of its volume`)
)

// missing is what a container that cannot be made waits for, and the nearest change that would help; both empty when the
// node's words are all there is to say.
func (q Question) missing(o *projections.Object, p *projections.Pod, said string) (waits, fix string) {
	m := func(r *regexp.Regexp) (found []string) { return r.FindStringSubmatch(said) }
	if waits, fix = q.missingConfig(o, m); waits != "" {
		return waits, fix
	}
	if asRoot.MatchString(said) {
		return "a user that is not root", fmt.Sprintf("set securityContext.runAsUser to a number above 0 in %s", q.owner(o))
	}
	if x := m(wrongPath); x != nil {
		return fmt.Sprintf("%s to be %s on %s", x[1], x[2], p.Node), fmt.Sprintf("make it there, or correct the hostPath's type in %s", q.owner(o))
	}
	if x := m(noProfile); x != nil {
		return x[1] + " on " + p.Node, "put the profile there, or name another in " + q.owner(o)
	}
	if x := m(leadsOut); x != nil {
		return x[1] + " to stay in its volume", "remove the link that leads out, or correct the subPath in " + q.owner(o)
	}
	return "", ""
}

// missingConfig is what is missing of a ConfigMap or Secret.
func (q Question) missingConfig(o *projections.Object, m func(*regexp.Regexp) []string) (waits, fix string) {
	if x := m(noConfig); x != nil {
		create := map[string]string{"configmap": "configmap", "secret": "secret generic"}[x[1]]
		return x[1] + "/" + x[2], fmt.Sprintf("stave create %s %s%s, or make it optional in %s", create, x[2], q.dashN(), q.owner(o))
	}
	if x := m(noKey); x != nil {
		kind := strings.ToLower(x[2])
		return fmt.Sprintf("key %s of %s/%s", x[1], kind, x[3]), fmt.Sprintf("stave edit %s/%s%s: add %s", kind, x[3], q.dashN(), x[1])
	}
	if x := m(noItem); x != nil {
		of := map[string]string{"config": "ConfigMap", "secret": "Secret"}[x[1]]
		return "the key " + x[2], fmt.Sprintf("add the key %s to the %s, or correct the items of the volume in %s", x[2], of, q.owner(o))
	}
	if x := m(noOpening); x != nil {
		return "a value of secret/" + x[1], fmt.Sprintf("set it anew: stave patch secret %s%s -p '{\"stringData\":{\"%s\":\"…\"}}'", x[1], q.dashN(), x[2])
	}
	return "", ""
}
