package node

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// containerSpec is one run of a container in the runtime's words.
func (a *Agent) containerSpec(row *projections.DesiredPod, op plan.Start, podIP string) (runtime.ContainerSpec, error) {
	spec := containerOf(row, op.Container)
	if spec == nil {
		return runtime.ContainerSpec{}, fmt.Errorf("container %q is not in the pod", op.Container)
	}
	c := *spec
	n, _, _ := a.describe()
	env, err := plan.Env(row, c, n, podIP)
	if err != nil {
		return runtime.ContainerSpec{}, err
	}
	mounts, err := a.mounts(row, c, env)
	if err != nil {
		return runtime.ContainerSpec{}, err
	}
	if mounts, err = a.withMessage(row, spec, op, mounts); err != nil {
		return runtime.ContainerSpec{}, err
	}
	bounds := resources(c, a.o.Facts.MaxProcesses)
	bounds.OOMScoreAdj = oomScore(plan.OOMScore(&row.Pod.Spec, spec, n.Machine))
	return runtime.ContainerSpec{
		PodUID: string(row.UID), Namespace: row.Pod.Namespace, Pod: row.Pod.Name, Name: c.Name,
		Run: op.Run - 1, Position: uint64(row.Assigned),
		Image: c.Image, Command: env.Expand(c.Command), Args: env.Expand(c.Args), Env: env.List(), WorkingDir: c.WorkingDir,
		Mounts: mounts, Resources: bounds, Security: a.security(row.Pod.Spec.SecurityContext, c.SecurityContext),
		Sysctls: sysctls(&row.Pod.Spec),
		TTY:     c.TTY, Stdin: c.Stdin, StdinOnce: c.StdinOnce,
		LogPath: a.logPath(row, c.Name, op.Run),
		Labels:  map[string]string{labelCrashes: strconv.Itoa(op.Crashes), labelImage: c.Image, labelBounds: boundsLabel(plan.BoundsOf(&c))},
	}, nil
}

// Kubernetes' arithmetic of CPU shares and quotas.
const (
	sharesPerCPU  = 1024
	minShares     = 2
	quotaPerMilli = 100 // µs in each period of 100 ms
	minQuota      = 1000
)

// maxProcesses is how many processes and threads a container may have when nobody says otherwise: more than real programs want, and so few that one
// which only forks leaves the node enough.
const maxProcesses = 4096

func resources(c corev1.Container, processes int) runtime.Resources {
	r := runtime.Resources{PidsLimit: int64(processes)}
	request, ok := c.Resources.Requests[corev1.ResourceCPU]
	if !ok {
		request = c.Resources.Limits[corev1.ResourceCPU]
	}
	r.CPUShares = max(minShares, uint64(request.MilliValue())*sharesPerCPU/1000)
	if q, ok := c.Resources.Limits[corev1.ResourceCPU]; ok && q.MilliValue() > 0 {
		r.CPUQuota = max(minQuota, q.MilliValue()*quotaPerMilli)
	}
	if q, ok := c.Resources.Limits[corev1.ResourceMemory]; ok {
		r.MemoryLimit = q.Value()
	}
	return r
}

// oomScore is a container's score as far as it can be had: none is spared before this process is, without which nobody sees to
// the others, and to be spared more than that takes a right.
func oomScore(wanted int) *int {
	own, err := strconv.Atoi(firstLine("/proc/self/oom_score_adj"))
	if err != nil {
		return nil // a machine that does not tell takes none
	}
	score := min(max(wanted, own+1), plan.OOMFirst)
	return &score
}
