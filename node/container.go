package node

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// containerSpec is one run of a container in the runtime's words.
func (a *Agent) containerSpec(row *projections.DesiredPod, op plan.Start, podIP string) (runtime.ContainerSpec, error) {
	i := slices.IndexFunc(row.Pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == op.Container })
	if i < 0 {
		return runtime.ContainerSpec{}, fmt.Errorf("container %q is not in the pod", op.Container)
	}
	c := row.Pod.Spec.Containers[i]
	n, _, _ := a.describe()
	env, err := plan.Env(row, c, n, podIP)
	if err != nil {
		return runtime.ContainerSpec{}, err
	}
	mounts, err := a.mounts(row, c, env)
	if err != nil {
		return runtime.ContainerSpec{}, err
	}
	return runtime.ContainerSpec{
		PodUID: string(row.UID), Namespace: row.Pod.Namespace, Pod: row.Pod.Name, Name: c.Name,
		Run: op.Run - 1, Position: uint64(row.Assigned),
		Image: c.Image, Command: env.Expand(c.Command), Args: env.Expand(c.Args), Env: env.List(), WorkingDir: c.WorkingDir,
		Mounts: mounts, Resources: resources(c), Security: security(row.Pod.Spec.SecurityContext, c.SecurityContext),
		TTY: c.TTY, Stdin: c.Stdin, StdinOnce: c.StdinOnce,
		LogPath: a.logPath(row, c.Name, op.Run),
		Labels:  map[string]string{labelCrashes: strconv.Itoa(op.Crashes)},
	}, nil
}

func (a *Agent) mounts(row *projections.DesiredPod, c corev1.Container, env plan.Environment) ([]runtime.Mount, error) {
	out := a.etcMounts(row.UID)
	for _, m := range c.VolumeMounts {
		i := slices.IndexFunc(row.Pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 {
			return nil, fmt.Errorf("volume mount %q: no such volume", m.Name)
		}
		v := row.Pod.Spec.Volumes[i]
		path, readOnly := a.volumePath(row, v)
		sub := m.SubPath
		if m.SubPathExpr != "" {
			sub = env.Expand([]string{m.SubPathExpr})[0]
		}
		if sub != "" {
			var err error
			if path, err = subPath(path, sub, v.ConfigMap == nil); err != nil {
				return nil, fmt.Errorf("volume mount %q: %w", m.Name, err)
			}
		}
		mount := runtime.Mount{HostPath: path, ContainerPath: m.MountPath, ReadOnly: m.ReadOnly || readOnly}
		if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
			mount.Propagation = string(*m.MountPropagation)
		}
		// A mount over one of the pod's own files wins over it.
		out = slices.DeleteFunc(out, func(x runtime.Mount) bool { return x.ContainerPath == mount.ContainerPath })
		out = append(out, mount)
	}
	return out, nil
}

func (a *Agent) volumePath(row *projections.DesiredPod, v corev1.Volume) (path string, readOnly bool) {
	switch {
	case v.HostPath != nil:
		return v.HostPath.Path, false
	case v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumMemory:
		return a.memoryDir(row.UID, v.Name), false
	}
	return a.volumeDir(row.UID, v.Name), v.ConfigMap != nil
}

// subPath is a file or directory inside a volume. A link in it may not lead out of it: a container writes there.
func subPath(volume, sub string, make bool) (string, error) {
	if filepath.IsAbs(sub) || slices.Contains(strings.Split(sub, "/"), "..") {
		return "", fmt.Errorf("subPath %q must be relative and may not contain '..'", sub)
	}
	root, err := os.OpenRoot(volume)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if _, err := root.Stat(sub); err != nil {
		if !make {
			return "", fmt.Errorf("subPath: %w", err)
		}
		if err := root.MkdirAll(sub, 0o755); err != nil {
			return "", fmt.Errorf("subPath: %w", err)
		}
	}
	return filepath.EvalSymlinks(filepath.Join(volume, sub))
}

// Kubernetes' arithmetic of CPU shares and quotas.
const (
	sharesPerCPU  = 1024
	minShares     = 2
	quotaPerMilli = 100 // µs in each period of 100 ms
	minQuota      = 1000
)

func resources(c corev1.Container) runtime.Resources {
	var r runtime.Resources
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

// security joins what the pod says with what the container says; the container wins.
func security(pod *corev1.PodSecurityContext, c *corev1.SecurityContext) runtime.Security {
	var s runtime.Security
	if pod != nil {
		s.User, s.Group, s.ExtraGroups = pod.RunAsUser, pod.RunAsGroup, slices.Clone(pod.SupplementalGroups)
		s.NonRoot = isTrue(pod.RunAsNonRoot)
		if pod.FSGroup != nil {
			s.ExtraGroups = append(s.ExtraGroups, *pod.FSGroup)
		}
		s.SeccompUnconfined = unconfined(pod.SeccompProfile)
	}
	if c == nil {
		return s
	}
	if c.RunAsUser != nil {
		s.User = c.RunAsUser
	}
	if c.RunAsGroup != nil {
		s.Group = c.RunAsGroup
	}
	if c.RunAsNonRoot != nil {
		s.NonRoot = *c.RunAsNonRoot
	}
	if c.SeccompProfile != nil {
		s.SeccompUnconfined = unconfined(c.SeccompProfile)
	}
	s.ReadOnlyRoot, s.Privileged = isTrue(c.ReadOnlyRootFilesystem), isTrue(c.Privileged)
	s.NoNewPrivileges = c.AllowPrivilegeEscalation != nil && !*c.AllowPrivilegeEscalation
	if c.Capabilities != nil {
		s.AddCapabilities, s.DropCapabilities = capabilities(c.Capabilities.Add), capabilities(c.Capabilities.Drop)
	}
	return s
}

func isTrue(b *bool) bool { return b != nil && *b }

func unconfined(p *corev1.SeccompProfile) bool {
	return p != nil && p.Type == corev1.SeccompProfileTypeUnconfined
}

func capabilities(names []corev1.Capability) []string {
	var out []string
	for _, n := range names {
		out = append(out, strings.TrimPrefix(strings.ToUpper(string(n)), "CAP_"))
	}
	return out
}
