package node

import (
	"net"
	"os"
	goruntime "runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
)

// maxPods is how many pods a node takes unless it is said, as in Kubernetes.
const maxPods = 110

// findFacts fills what the caller left empty.
func findFacts(f events.NodeFacts) events.NodeFacts {
	fill := func(s *string, find func() string) {
		if *s == "" {
			*s = find()
		}
	}
	fill(&f.Hostname, func() string { h, _ := os.Hostname(); return h })
	fill(&f.OSImage, osImage)
	fill(&f.Kernel, kernel)
	fill(&f.Architecture, func() string { return goruntime.GOARCH })
	fill(&f.ContainerRuntime, containerdVersion)
	fill(&f.MachineID, func() string { return firstLine("/etc/machine-id") })
	fill(&f.BootID, func() string { return firstLine("/proc/sys/kernel/random/boot_id") })
	if len(f.Addresses) == 0 {
		f.Addresses = addresses()
	}
	if len(f.Capacity) == 0 {
		f.Capacity = Capacity(maxPods)
	}
	if f.MaxProcesses == 0 {
		f.MaxProcesses = maxProcesses
	}
	if len(f.Allocatable) == 0 {
		f.Allocatable = f.Capacity
	}
	return f
}

// describeNode is the part of the facts that pods can ask for.
func describeNode(o Options) plan.Node {
	n := plan.Node{Name: o.Name, Hostname: o.Facts.Hostname, SELinux: labelling(), Unheard: true}
	if len(o.Facts.Addresses) > 0 {
		n.IP = o.Facts.Addresses[0]
	}
	n.CPU, n.Memory = offered(o.Facts.Allocatable)
	_, machine := offered(o.Facts.Capacity)
	n.Machine = machine.Value()
	return n
}

// labelling says whether SELinux is on: the kernel shows its file system then, where systemd mounts it.
func labelling() bool {
	_, err := os.Stat("/sys/fs/selinux/enforce")
	return err == nil
}

func offered(allocatable map[string]string) (cpu, memory resource.Quantity) {
	cpu, _ = resource.ParseQuantity(allocatable[string(corev1.ResourceCPU)]) // none is zero
	memory, _ = resource.ParseQuantity(allocatable[string(corev1.ResourceMemory)])
	return cpu, memory
}

// Offer sets what of the node is there for pods. The log is told.
func (a *Agent) Offer(allocatable map[string]string) {
	a.mu.Lock()
	a.o.Facts.Allocatable = allocatable
	a.node.CPU, a.node.Memory = offered(allocatable)
	a.mu.Unlock()
	a.tellSoon()
}

// facts are what the node says of itself now.
func (a *Agent) facts() events.NodeFacts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.o.Facts
}

// Capacity is what this machine has for pods: processors, memory, and the number of pods that it is told.
func Capacity(maxPods int) map[string]string {
	out := map[string]string{"cpu": strconv.Itoa(goruntime.NumCPU()), "pods": strconv.Itoa(maxPods)}
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) == nil {
		out["memory"] = strconv.FormatUint(si.Totalram*uint64(si.Unit)/1024, 10) + "Ki"
	}
	return out
}

// containerdVersion is that of the one inside this binary, in Kubernetes' form.
func containerdVersion() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "containerd://unknown"
	}
	for _, d := range build.Deps {
		if d.Path == "github.com/containerd/containerd/v2" {
			return "containerd://" + strings.TrimPrefix(d.Version, "v")
		}
	}
	return "containerd://unknown"
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// osImage is PRETTY_NAME of os-release.
func osImage() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return "Linux"
}

func firstLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// addresses are this machine's, the one that leads outside first. Nothing is sent to find it: a connected UDP socket only
// asks the routing table.
func addresses() []string {
	var out []string
	if c, err := net.Dial("udp4", "192.0.2.1:9"); err == nil {
		out = append(out, c.LocalAddr().(*net.UDPAddr).IP.String())
		c.Close()
	}
	if len(out) > 0 {
		return out
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			out = append(out, n.IP.String())
		}
	}
	if len(out) == 0 {
		out = []string{"127.0.0.1"} // a machine without a network still runs pods
	}
	return out
}
