package table

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/projections"
)

func (p page) node(s projections.State, o *corev1.Node) {
	p.nodeHead(o)
	p.line(0, "Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage")
	p.line(1, "----\t------\t-----------------\t------------------\t------\t-------")
	for _, c := range o.Status.Conditions {
		p.line(1, "%v \t%v \t%s \t%s \t%v \t%v", c.Type, c.Status, date(c.LastHeartbeatTime), date(c.LastTransitionTime), c.Reason, c.Message)
	}
	p.line(0, "Addresses:")
	for _, a := range o.Status.Addresses {
		p.line(1, "%s:\t%s", a.Type, a.Address)
	}
	p.quantities("Capacity:", o.Status.Capacity)
	p.quantities("Allocatable:", o.Status.Allocatable)
	i := &o.Status.NodeInfo
	p.line(0, "System Info:")
	for _, x := range [][2]string{{"Machine ID", i.MachineID}, {"Boot ID", i.BootID}, {"Kernel Version", i.KernelVersion},
		{"OS Image", i.OSImage}, {"Operating System", i.OperatingSystem}, {"Architecture", i.Architecture},
		{"Container Runtime Version", i.ContainerRuntimeVersion}, {"Kubelet Version", i.KubeletVersion}} {
		p.line(1, "%s:\t%s", x[0], x[1])
	}
	if o.Spec.PodCIDR != "" {
		p.line(0, "PodCIDR:\t%s", o.Spec.PodCIDR)
		p.line(0, "PodCIDRs:\t%s", o.Spec.PodCIDR)
	}
	if n, ok := s.Node(o.Name); ok && n.Facts.MaxProcesses > 0 {
		p.line(0, "Container Limits:")
		p.line(1, "processes:\t%d", n.Facts.MaxProcesses)
	}
	p.nodePods(s, o)
}

func (p page) nodeHead(o *corev1.Node) {
	p.line(0, "Name:\t%s", o.Name)
	roles := projections.Roles(o)
	if len(roles) == 0 {
		p.line(0, "Roles:\t%s", none)
	} else {
		p.line(0, "Roles:\t%s", strings.Join(roles, ","))
	}
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	p.line(0, "CreationTimestamp:\t%s", date(o.CreationTimestamp))
	title := "Taints:"
	if len(o.Spec.Taints) == 0 {
		p.line(0, "%s\t%s", title, none)
	}
	for _, t := range o.Spec.Taints {
		p.line(0, "%s\t%s", title, t.ToString())
		title = ""
	}
	p.line(0, "Unschedulable:\t%t", o.Spec.Unschedulable)
}

func (p page) quantities(title string, list corev1.ResourceList) {
	if len(list) == 0 {
		return
	}
	p.line(0, "%s", title)
	names := map[string]string{}
	for n, q := range list {
		names[string(n)] = q.String()
	}
	for _, n := range sortedKeys(names) {
		p.line(1, "%s:\t%s", n, names[n])
	}
}

// sums of the pods' requests and limits, in millicores and bytes.
type sums struct{ cpuRequest, cpuLimit, memoryRequest, memoryLimit int64 }

// sumsOf is what a pod asks for, as projections.Asks counts.
func sumsOf(spec *corev1.PodSpec) sums {
	var all, beside, most sums
	for i := range spec.Containers {
		all = all.plus(sumOf(&spec.Containers[i]))
	}
	for i := range spec.InitContainers {
		c := sumOf(&spec.InitContainers[i])
		if projections.Sidecar(&spec.InitContainers[i]) {
			all, beside = all.plus(c), beside.plus(c)
			c = sums{}
		}
		most = most.max(beside.plus(c))
	}
	return all.max(most)
}

func sumOf(c *corev1.Container) sums {
	r := &c.Resources
	return sums{r.Requests.Cpu().MilliValue(), r.Limits.Cpu().MilliValue(), r.Requests.Memory().Value(), r.Limits.Memory().Value()}
}

func (t sums) max(u sums) sums {
	return sums{max(t.cpuRequest, u.cpuRequest), max(t.cpuLimit, u.cpuLimit), max(t.memoryRequest, u.memoryRequest), max(t.memoryLimit, u.memoryLimit)}
}

func (t sums) plus(u sums) sums {
	return sums{t.cpuRequest + u.cpuRequest, t.cpuLimit + u.cpuLimit, t.memoryRequest + u.memoryRequest, t.memoryLimit + u.memoryLimit}
}

// nodePods lists the pods that take room on the node, and what they ask for.
func (p page) nodePods(s projections.State, o *corev1.Node) {
	cpu, memory := o.Status.Allocatable.Cpu().MilliValue(), o.Status.Allocatable.Memory().Value()
	var lines []string
	var total sums
	for pod := range s.PodsOn(o.Name) {
		row, ok := s.Get(pod.Key)
		if !ok || !pod.Holds(row) {
			continue
		}
		t := sumsOf(row.PodSpec())
		total = total.plus(t)
		lines = append(lines, fmt.Sprintf("%s\t%s\t\t%s\t%s\t%s\t%s\t%s", pod.Key.Namespace, pod.Key.Name, cores(t.cpuRequest, cpu), cores(t.cpuLimit, cpu),
			bytesOf(t.memoryRequest, memory), bytesOf(t.memoryLimit, memory), Age(p.now.Sub(row.Created.Time))))
	}
	p.line(0, "Non-terminated Pods:\t(%d in total)", len(lines))
	p.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge")
	p.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---")
	for _, l := range lines {
		p.line(1, "%s", l)
	}
	p.line(0, "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)")
	p.line(1, "Resource\tRequests\tLimits")
	p.line(1, "--------\t--------\t------")
	p.line(1, "%s\t%s\t%s", corev1.ResourceCPU, cores(total.cpuRequest, cpu), cores(total.cpuLimit, cpu))
	p.line(1, "%s\t%s\t%s", corev1.ResourceMemory, bytesOf(total.memoryRequest, memory), bytesOf(total.memoryLimit, memory))
	for _, n := range extendedOf(o.Status.Allocatable) {
		used := s.Used(o.Name).Extended.Of(n)
		p.line(1, "%s\t%d\t%d", n, used, used) // nobody may ask for less than the limit
	}
}

// extendedOf names the extended resources of a node.
func extendedOf(list corev1.ResourceList) []string {
	names := map[string]string{}
	for n := range list {
		if projections.IsExtended(n) {
			names[string(n)] = ""
		}
	}
	return sortedKeys(names)
}

// cores is a quantity of cpu and its share: "250m (12%)".
func cores(milli, of int64) string {
	return fmt.Sprintf("%s (%d%%)", resource.NewMilliQuantity(milli, resource.DecimalSI), share(milli, of))
}

func bytesOf(n, of int64) string {
	return fmt.Sprintf("%s (%d%%)", resource.NewQuantity(n, resource.BinarySI), share(n, of))
}

func share(n, of int64) int64 {
	if of == 0 {
		return 0
	}
	return n * 100 / of
}
