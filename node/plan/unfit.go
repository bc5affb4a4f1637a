package plan

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
)

// unfit says why a container can be made on no try: until its pod, a ConfigMap, a Secret or the node is another.
func (p *planner) unfit(c corev1.Container) error {
	if p.node.SELinux && labels(p.row.Pod.Spec.SecurityContext, c.SecurityContext) {
		return errors.New("seLinuxOptions are not set by Stave yet, and this node has SELinux: take them out, or let the pod run on a node without it")
	}
	_, err := Env(p.row, c, p.node, p.o.IP)
	return err
}

func labels(pod *corev1.PodSecurityContext, c *corev1.SecurityContext) bool {
	return pod != nil && pod.SELinuxOptions != nil || c != nil && c.SELinuxOptions != nil
}
