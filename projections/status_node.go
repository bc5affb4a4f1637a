package projections

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// nodeStatus fills in what a node said of itself and what its silence said.
func (s State) nodeStatus(o *Object, v *corev1.Node) {
	n, ok := s.Node(o.Key.Name)
	if !ok {
		n = &Node{Name: o.Key.Name}
	}
	f, st := n.Facts, &v.Status
	st.Capacity, st.Allocatable = quantities(f.Capacity), quantities(f.Allocatable)
	for _, a := range f.Addresses {
		st.Addresses = append(st.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	if f.Hostname != "" {
		st.Addresses = append(st.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: f.Hostname})
	}
	system, _, _ := strings.Cut(v.Labels[corev1.LabelOSStable], ",")
	if system == "" {
		system = "linux" // Stave runs nowhere else
	}
	st.NodeInfo = corev1.NodeSystemInfo{MachineID: f.MachineID, BootID: f.BootID, KernelVersion: f.Kernel, OSImage: f.OSImage,
		ContainerRuntimeVersion: f.ContainerRuntime, KubeletVersion: f.AgentVersion, OperatingSystem: system, Architecture: f.Architecture}
	if v.Spec.PodCIDR == "" && f.PodCIDR != "" {
		v.Spec.PodCIDR, v.Spec.PodCIDRs = f.PodCIDR, []string{f.PodCIDR}
	}
	st.Conditions = n.conditions(o)
}

func quantities(in map[string]string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range in {
		out[corev1.ResourceName(name)] = quantity(q)
	}
	return out
}

// quantity reads what a node said; what it said wrongly counts as nothing.
func quantity(s string) resource.Quantity {
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return resource.Quantity{}
	}
	return q
}

// conditions are the pressures and then Ready, as the kubelet orders them.
func (n *Node) conditions(o *Object) []corev1.NodeCondition {
	var out []corev1.NodeCondition
	quiet := !n.Report.Ready && !n.Since.IsZero()
	for _, c := range n.Facts.Conditions {
		x := corev1.NodeCondition{Type: corev1.NodeConditionType(c.Type), Status: truth(c.Status), Reason: c.Reason, Message: c.Message,
			LastHeartbeatTime: stamp(n.Seen.Time), LastTransitionTime: stamp(n.Seen.Time)}
		if quiet {
			x.Status, x.Reason, x.Message = corev1.ConditionUnknown, "NodeStatusUnknown", n.Report.Said
			x.LastTransitionTime = stamp(n.Since.Time)
		}
		out = append(out, x)
	}
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: "NodeStatusNeverUpdated",
		Message: "Kubelet never posted node status.", LastHeartbeatTime: stamp(o.Created.Time), LastTransitionTime: stamp(o.Created.Time)}
	if !n.Since.IsZero() {
		ready.Status, ready.Reason, ready.Message = corev1.ConditionTrue, n.Report.Reason, n.Report.Said
		if quiet {
			ready.Status = corev1.ConditionUnknown
		}
		ready.LastTransitionTime = stamp(n.Since.Time)
		ready.LastHeartbeatTime = stamp(latest(n.Since.Time, n.Seen.Time))
	}
	return append(out, ready)
}

func truth(ok bool) corev1.ConditionStatus {
	if ok {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

// Roles are the roles that a node's labels give it, sorted.
func Roles(v *corev1.Node) []string {
	var out []string
	for k := range v.Labels {
		if role, ok := strings.CutPrefix(k, "node-role.kubernetes.io/"); ok && role != "" {
			out = append(out, role)
		}
	}
	slices.Sort(out)
	return out
}
