package why

import (
	"fmt"
	"regexp"

	"github.com/stave-run/stave/projections"
)

// What a node says of a container that it cannot make, in Kubernetes' words.
var (
	noConfigMap = regexp.MustCompile(`configmap "([^"]+)" not found`)
	noKey       = regexp.MustCompile(`find key (\S+) in ConfigMap [^/]+/(\S+)`)
	noItem      = regexp.MustCompile(`configmap references non-existent config key: (\S+)`)
	asRoot      = regexp.MustCompile(`non-root policy|runAsNonRoot`)
	wrongPath   = regexp.MustCompile(`hostPath type check failed: (\S+) is not (.+)$`)
	noProfile   = regexp.MustCompile(`cannot load seccomp profile "([^"]+)"`)
	leadsOut    = regexp.MustCompile(`(subPath "[^"]*") leads out of its volume`)
)

// missing is what a container that cannot be made waits for, and the nearest change that would help; both empty when the
// node's words are all there is to say.
func (q Question) missing(o *projections.Object, p *projections.Pod, said string) (waits, fix string) {
	m := func(r *regexp.Regexp) (found []string) { return r.FindStringSubmatch(said) }
	if x := m(noConfigMap); x != nil {
		return "configmap/" + x[1], fmt.Sprintf("stave create configmap %s%s, or make it optional in %s", x[1], q.dashN(), q.owner(o))
	}
	if x := m(noKey); x != nil {
		return fmt.Sprintf("key %s of configmap/%s", x[1], x[2]), fmt.Sprintf("stave edit configmap/%s%s: add %s", x[2], q.dashN(), x[1])
	}
	if x := m(noItem); x != nil {
		return "the key " + x[1], fmt.Sprintf("add the key %s to the ConfigMap, or correct the items of the volume in %s", x[1], q.owner(o))
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
