package plan

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
)

// evictionGrace is what containers get of a pod that takes more than it may: as Kubernetes has it, hardly any.
const evictionGrace = time.Second

// evict ends a pod for good: it is told first, so that its replacement need not wait for its end.
func (p *planner) evict(reason, message string, grace time.Duration) {
	p.news()
	if !p.o.Told.Failed {
		p.report(events.Fact{Kind: events.FactFailed, Reason: reason, Message: message})
	}
	running := p.leaving()
	switch {
	case len(running) > 0:
		p.do(Stop{Runs: running, Grace: grace})
	case p.o.Remains && p.waits(p.o.Cleanup):
		p.wake(p.o.Cleanup.Until)
	case p.o.Remains:
		p.do(Clean{})
	}
}

// overdue is what is said of a pod that has run for as long as it may, in the kubelet's words.
const overdue = "Pod was active on the node longer than the specified deadline"

// deadline is when a pod is ended that may be here for some time only; false for others.
func (p *planner) deadline() (time.Time, bool) {
	d := p.row.Pod.Spec.ActiveDeadlineSeconds
	if d == nil || p.o.Told.Since.IsZero() {
		return time.Time{}, false
	}
	return p.o.Told.Since.Add(time.Duration(*d) * time.Second), true
}

// late says whether a pod's time is over before it is.
func (p *planner) late() bool {
	d, ok := p.deadline()
	return ok && !d.After(p.now) && (p.o.Told.Failed || !p.over())
}

// DiskLimit is the bound of a volume on the node's disk, in bytes; false when it has none.
func DiskLimit(v corev1.Volume) (resource.Quantity, bool) {
	e := v.EmptyDir
	if e == nil || e.Medium == corev1.StorageMediumMemory || e.SizeLimit == nil || e.SizeLimit.Sign() <= 0 {
		return resource.Quantity{}, false
	}
	return *e.SizeLimit, true
}

// Outgrown is what is said of a volume that holds more than it may.
func Outgrown(volume string, limit resource.Quantity) string {
	return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q.", volume, limit.String())
}

// Usage is what a pod takes of its node's disk, in bytes: volumes that are not in memory, and of each container what it
// wrote beside its volumes and said on its log.
type Usage struct {
	Volumes    int64
	Containers map[string]int64
}

// LimitsStorage tells whether any container of a pod may take only so much of the node's disk.
func LimitsStorage(s *corev1.PodSpec) bool {
	_, _, ok := storageLimit(s)
	return ok
}

// storageLimit is how much of the disk all of a pod may take, and of it the containers that stay: as the kubelet has it, those
// without a limit add nothing to it.
func storageLimit(s *corev1.PodSpec) (total resource.Quantity, each map[string]resource.Quantity, ok bool) {
	each = map[string]resource.Quantity{}
	for i := range s.Containers {
		if limit, bound := s.Containers[i].Resources.Limits[corev1.ResourceEphemeralStorage]; bound {
			each[s.Containers[i].Name] = limit
			total.Add(limit)
		}
	}
	ok = len(each) > 0
	var most, beside resource.Quantity // of one init container with those that run on beside it
	for i := range s.InitContainers {
		c := &s.InitContainers[i]
		limit, bound := c.Resources.Limits[corev1.ResourceEphemeralStorage]
		ok = ok || bound
		alone := beside.DeepCopy()
		alone.Add(limit)
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			beside = alone
		}
		if alone.Cmp(most) > 0 {
			most = alone
		}
	}
	total.Add(beside)
	if most.Cmp(total) > 0 {
		total = most
	}
	return total, each, ok
}

// Overstored is what is said of a pod that takes more of the disk than its limits let it, in the kubelet's words; empty when
// it does not.
func Overstored(s *corev1.PodSpec, used Usage) string {
	total, each, ok := storageLimit(s)
	if !ok {
		return ""
	}
	sum := used.Volumes
	for _, n := range used.Containers {
		sum += n
	}
	if sum > total.Value() {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s.", total.String())
	}
	for _, c := range s.Containers {
		if limit, bound := each[c.Name]; bound && used.Containers[c.Name] > limit.Value() {
			return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q.", c.Name, limit.String())
		}
	}
	return ""
}
