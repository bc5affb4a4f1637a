package table

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/projections"
)

func (p page) pod(o *corev1.Pod, row *projections.Pod) {
	p.podHead(o)
	if len(o.Spec.InitContainers) > 0 {
		p.line(0, "Init Containers:")
	}
	for i := range o.Spec.InitContainers {
		c := &o.Spec.InitContainers[i]
		p.container(c, statusOf(o.Status.InitContainerStatuses, c.Name), row)
	}
	p.line(0, "Containers:")
	for i := range o.Spec.Containers {
		c := &o.Spec.Containers[i]
		p.container(c, statusOf(o.Status.ContainerStatuses, c.Name), row)
	}
	if len(o.Spec.EphemeralContainers) > 0 {
		p.line(0, "Ephemeral Containers:")
	}
	for c := range projections.Ephemeral(&o.Spec) {
		p.container(c, statusOf(o.Status.EphemeralContainerStatuses, c.Name), row)
	}
	p.gates(o)
	if len(o.Status.Conditions) > 0 {
		p.line(0, "Conditions:\n  Type\tStatus")
		for _, c := range o.Status.Conditions {
			p.line(1, "%s\t%s ", c.Type, c.Status)
		}
	}
	p.volumes("", o.Spec.Volumes)
	p.line(0, "QoS Class:\t%s", o.Status.QOSClass)
	p.pairs("Node-Selectors:", o.Spec.NodeSelector)
	p.tolerations(o.Spec.Tolerations)
}

func (p page) podHead(o *corev1.Pod) {
	p.line(0, "Name:\t%s", o.Name)
	p.line(0, "Namespace:\t%s", o.Namespace)
	priority := int32(0)
	if o.Spec.Priority != nil {
		priority = *o.Spec.Priority
	}
	p.line(0, "Priority:\t%d", priority)
	if o.Spec.PriorityClassName != "" {
		p.line(0, "Priority Class Name:\t%s", o.Spec.PriorityClassName)
	}
	if o.Spec.ServiceAccountName != "" {
		p.line(0, "Service Account:\t%s", o.Spec.ServiceAccountName)
	}
	node := none
	if o.Spec.NodeName != "" {
		node = o.Spec.NodeName + "/" + o.Status.HostIP
	}
	p.line(0, "Node:\t%s", node)
	if o.Status.StartTime != nil {
		p.line(0, "Start Time:\t%s", date(*o.Status.StartTime))
	}
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	if o.DeletionTimestamp != nil && o.Status.Phase != corev1.PodFailed && o.Status.Phase != corev1.PodSucceeded {
		grace := time.Duration(*o.DeletionGracePeriodSeconds) * time.Second // the timestamp is when it ends
		p.line(0, "Status:\tTerminating (lasts %s)", since(o.DeletionTimestamp.Add(-grace), p.now))
		p.line(0, "Termination Grace Period:\t%ds", int(grace.Seconds()))
	} else {
		p.line(0, "Status:\t%s", o.Status.Phase)
	}
	if o.Status.Reason != "" {
		p.line(0, "Reason:\t%s", o.Status.Reason)
	}
	if o.Status.Message != "" {
		p.line(0, "Message:\t%s", o.Status.Message)
	}
	p.line(0, "IP:\t%s", o.Status.PodIP)
	if len(o.Status.PodIPs) == 0 {
		p.line(0, "IPs:\t%s", none)
	} else {
		p.line(0, "IPs:")
		for _, ip := range o.Status.PodIPs {
			p.line(1, "IP:\t%s", ip.IP)
		}
	}
	controlledBy(p, o)
}

func statusOf(list []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

func (p page) container(c *corev1.Container, st *corev1.ContainerStatus, row *projections.Pod) {
	p.line(1, "%s:", c.Name)
	if st != nil {
		p.line(2, "Container ID:\t%s", st.ContainerID)
	}
	p.line(2, "Image:\t%s", c.Image)
	if st != nil {
		p.line(2, "Image ID:\t%s", st.ImageID)
	}
	p.ports(c.Ports)
	p.words("Command:", c.Command)
	p.words("Args:", c.Args)
	if st != nil {
		p.state("State", st.State)
		if st.LastTerminationState.Terminated != nil {
			p.state("Last State", st.LastTerminationState)
		}
		p.line(2, "Ready:\t%s", title(st.Ready))
		p.line(2, "Restart Count:\t%d", st.RestartCount)
		p.strains(c.Name, row)
	}
	p.resources("Limits", c.Resources.Limits)
	p.resources("Requests", c.Resources.Requests)
	p.probes(c)
	p.environment(c)
	p.mounts(c.VolumeMounts)
}

// strains are the limits that the present run met; kubectl knows no such lines.
func (p page) strains(container string, row *projections.Pod) {
	if row == nil {
		return
	}
	c, ok := row.Container(container)
	if !ok || c.Phase != projections.Running {
		return
	}
	if c.Starved != nil {
		p.line(2, "Memory Kills:\t%d: %s", c.Starved.Count, c.Starved.Message)
	}
	if c.Crowded != nil {
		p.line(2, "Refused Forks:\t%d: %s", c.Crowded.Count, c.Crowded.Message)
	}
}

func (p page) ports(list []corev1.ContainerPort) {
	var ports, host []string
	for _, x := range list {
		t := fmt.Sprintf("%d/%s", x.ContainerPort, x.Protocol)
		if x.Name != "" {
			t += " (" + x.Name + ")"
		}
		ports = append(ports, t)
		host = append(host, fmt.Sprintf("%d/%s", x.HostPort, x.Protocol))
	}
	s := "s"
	if len(list) < 2 {
		s = ""
	}
	p.line(2, "Port%s:\t%s", s, orNone(strings.Join(ports, ", ")))
	p.line(2, "Host Port%s:\t%s", s, orNone(strings.Join(host, ", ")))
}

func (p page) words(title string, list []string) {
	if len(list) == 0 {
		return
	}
	p.line(2, "%s", title)
	for _, x := range list {
		for _, line := range strings.Split(x, "\n") {
			p.line(3, "%s", line)
		}
	}
}

func (p page) state(title string, s corev1.ContainerState) {
	switch {
	case s.Running != nil:
		p.line(2, "%s:\tRunning", title)
		p.line(3, "Started:\t%s", date(s.Running.StartedAt))
	case s.Terminated != nil:
		t := s.Terminated
		p.line(2, "%s:\tTerminated", title)
		p.line(3, "Reason:\t%s", t.Reason)
		if t.Message != "" {
			p.line(3, "Message:\t%s", t.Message)
		}
		p.line(3, "Exit Code:\t%d", t.ExitCode)
		if t.Signal > 0 {
			p.line(3, "Signal:\t%d", t.Signal)
		}
		if !t.StartedAt.IsZero() {
			p.line(3, "Started:\t%s", date(t.StartedAt))
		}
		p.line(3, "Finished:\t%s", date(t.FinishedAt))
	default:
		p.line(2, "%s:\tWaiting", title)
		if s.Waiting != nil && s.Waiting.Reason != "" {
			p.line(3, "Reason:\t%s", s.Waiting.Reason)
		}
	}
}

func (p page) resources(title string, list corev1.ResourceList) {
	if len(list) == 0 {
		return
	}
	p.line(2, "%s:", title)
	names := map[string]resource.Quantity{}
	for n, q := range list {
		names[string(n)] = q
	}
	for _, n := range sortedKeys(names) {
		q := names[n]
		p.line(3, "%s:\t%s", n, q.String())
	}
}

func (p page) environment(c *corev1.Container) {
	if len(c.EnvFrom) > 0 {
		p.line(2, "Environment Variables from:")
		for _, e := range c.EnvFrom {
			prefix := ""
			if e.Prefix != "" {
				prefix = " with prefix '" + e.Prefix + "'"
			}
			switch {
			case e.ConfigMapRef != nil:
				p.line(3, "%s\tConfigMap%s\tOptional: %t", e.ConfigMapRef.Name, prefix, is(e.ConfigMapRef.Optional))
			case e.SecretRef != nil:
				p.line(3, "%s\tSecret%s\tOptional: %t", e.SecretRef.Name, prefix, is(e.SecretRef.Optional))
			}
		}
	}
	if len(c.Env) == 0 {
		p.line(2, "Environment:\t%s", none)
		return
	}
	p.line(2, "Environment:")
	for _, e := range c.Env {
		p.line(3, "%s:\t%s", e.Name, envValue(e))
	}
}

func envValue(e corev1.EnvVar) string {
	switch v := e.ValueFrom; {
	case v == nil:
		return strings.ReplaceAll(e.Value, "\n", "\n\t  ")
	case v.ConfigMapKeyRef != nil:
		return fmt.Sprintf("<set to the key '%s' of config map '%s'>\tOptional: %t", v.ConfigMapKeyRef.Key, v.ConfigMapKeyRef.Name,
			v.ConfigMapKeyRef.Optional != nil && *v.ConfigMapKeyRef.Optional)
	case v.SecretKeyRef != nil:
		return fmt.Sprintf("<set to the key '%s' in secret '%s'>\tOptional: %t", v.SecretKeyRef.Key, v.SecretKeyRef.Name,
			v.SecretKeyRef.Optional != nil && *v.SecretKeyRef.Optional)
	case v.FieldRef != nil:
		return fmt.Sprintf(" (%s:%s)", v.FieldRef.APIVersion, v.FieldRef.FieldPath)
	case v.ResourceFieldRef != nil:
		return fmt.Sprintf(" (%s)", v.ResourceFieldRef.Resource)
	}
	return ""
}

func (p page) mounts(list []corev1.VolumeMount) {
	if len(list) == 0 {
		p.line(2, "Mounts:\t%s", none)
		return
	}
	p.line(2, "Mounts:")
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b corev1.VolumeMount) int { return strings.Compare(a.MountPath, b.MountPath) })
	for _, m := range list {
		flags := []string{"rw"}
		if m.ReadOnly {
			flags[0] = "ro"
		}
		if m.SubPath != "" {
			flags = append(flags, fmt.Sprintf("path=%q", m.SubPath))
		}
		p.line(3, "%s from %s (%s)", m.MountPath, m.Name, strings.Join(flags, ","))
	}
}

// pairs prints a map on lines of its own, as labels are, with a title that is
// aligned with what stands around it.
func (p page) pairs(title string, m map[string]string) {
	keys := sortedKeys(m)
	if len(keys) == 0 {
		p.line(0, "%s\t%s", title, none)
		return
	}
	for i, k := range keys {
		if i > 0 {
			title = ""
		}
		p.line(0, "%s\t%s=%s", title, k, m[k])
	}
}

func (p page) tolerations(list []corev1.Toleration) {
	if len(list) == 0 {
		p.line(0, "Tolerations:\t%s", none)
		return
	}
	title := "Tolerations:"
	for _, t := range list {
		p.line(0, "%s\t%s", title, toleration(t))
		title = ""
	}
}

func toleration(t corev1.Toleration) string {
	text := t.Key
	if t.Value != "" {
		text += "=" + t.Value
	}
	if t.Effect != "" {
		text += ":" + string(t.Effect)
	}
	if t.Operator == corev1.TolerationOpExists && t.Value == "" {
		if t.Key != "" || t.Effect != "" {
			text += " "
		}
		text += "op=Exists"
	}
	if t.TolerationSeconds != nil {
		text += fmt.Sprintf(" for %ds", *t.TolerationSeconds)
	}
	return text
}

// gates tells the readiness gates of a pod and how they stand.
func (p page) gates(o *corev1.Pod) {
	if len(o.Spec.ReadinessGates) == 0 {
		return
	}
	p.line(0, "Readiness Gates:\n  Type\tStatus")
	for _, g := range o.Spec.ReadinessGates {
		status := none
		for _, c := range o.Status.Conditions {
			if c.Type == g.ConditionType {
				status = string(c.Status)
			}
		}
		p.line(1, "%s\t%s", g.ConditionType, status)
	}
}
