package plan

import (
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// unfit says why a container can be made on no try: until its pod, a ConfigMap, a Secret or the node is another.
func (p *planner) unfit(c corev1.Container) error {
	if p.node.SELinux && labels(p.row.Pod.Spec.SecurityContext, c.SecurityContext) {
		return errors.New("seLinuxOptions are not set by Stave yet, and this node has SELinux: take them out, or let the pod run on a node without it")
	}
	if !bound(c) {
		return nil
	}
	_, err := Env(p.row, c, p.node, p.o.IP)
	return err
}

// bound tells whether a container's environment comes from elsewhere: nothing else can be missing.
func bound(c corev1.Container) bool {
	return len(c.EnvFrom) > 0 || slices.ContainsFunc(c.Env, func(v corev1.EnvVar) bool { return v.ValueFrom != nil })
}

func labels(pod *corev1.PodSecurityContext, c *corev1.SecurityContext) bool {
	return pod != nil && pod.SELinuxOptions != nil || c != nil && c.SELinuxOptions != nil
}
