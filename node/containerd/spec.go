package containerd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/stave-run/stave/node/runtime"
)

// specVersion is what every runc still in use understands; nothing newer is used.
const specVersion = "1.0.2"

// cpuPeriod is the period that Resources.CPUQuota is counted in, in microseconds.
const cpuPeriod = 100_000

// shared says which of the host's namespaces a pod uses and which are pinned for it.
type shared struct {
	net, ipc, uts, shm string // empty: the host's
	pid                string // empty: the container's own
	hostPID            bool
}

// specOptions builds the OCI spec of a container, in the order in which later ones overrule earlier ones.
func (r *Runtime) specOptions(c runtime.ContainerSpec, img client.Image, pod shared) []oci.SpecOpts {
	opts := []oci.SpecOpts{
		oci.WithDefaultSpec(),
		oci.WithDefaultUnixDevices,
		oci.WithImageConfig(img),
		withCommand(c, img),
		oci.WithEnv(c.Env),
		withHostname,
		withNamespaces(pod),
		withUser(c, img),
		withMounts(c, pod),
		withResources(r.linuxResources(c.Resources), c.Resources.OOMScoreAdj),
	}
	opts = append(opts, r.cgroupOptions(c)...)
	if c.WorkingDir != "" {
		opts = append(opts, oci.WithProcessCwd(c.WorkingDir))
	}
	if c.TTY {
		opts = append(opts, oci.WithTTY)
	}
	opts = append(opts, withSecurity(c.Security)...)
	opts = append(opts, withSysctls(c.Sysctls, pod))
	return append(opts, withVersion)
}

// cgroupOptions say which cgroup a container is in, and what it sees of it.
func (r *Runtime) cgroupOptions(c runtime.ContainerSpec) []oci.SpecOpts {
	opts := []oci.SpecOpts{oci.WithCgroup(r.containerGroup(c.PodUID, c.Name, c.Run))}
	if r.cgroups.hidden(c.Security) {
		opts = append(opts, oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.CgroupNamespace}))
	}
	return opts
}

// containerGroup names a container's cgroup; the run is part of it because the one before may not be removed yet.
func (r *Runtime) containerGroup(podUID, name string, run int) string {
	return fmt.Sprintf("%s/%s.%d", r.podGroup(podUID), name, run)
}

// withVersion also drops the default bound on open files: containers get what their node gives, as under Kubernetes.
func withVersion(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	s.Version = specVersion
	s.Process.Rlimits = nil
	return nil
}

// withHostname leaves the hostname to the pinned namespace; runc refuses one for a namespace that it joins.
func withHostname(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	s.Hostname = ""
	return nil
}

// withCommand applies Kubernetes' rules: command replaces the entrypoint and drops the image's cmd, args replace cmd.
func withCommand(c runtime.ContainerSpec, img client.Image) oci.SpecOpts {
	return func(ctx context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		config, err := img.Spec(ctx)
		if err != nil {
			return fmt.Errorf("read image config: %w", err)
		}
		s.Process.Args = commandLine(config.Config, c.Command, c.Args)
		if len(s.Process.Args) == 0 {
			return fmt.Errorf("neither the image nor the pod names a command")
		}
		return nil
	}
}

// commandLine is Kubernetes' table of entrypoint and cmd.
func commandLine(image ocispec.ImageConfig, command, args []string) []string {
	entrypoint, cmd := image.Entrypoint, image.Cmd
	if len(command) > 0 {
		entrypoint, cmd = command, nil
	}
	if len(args) > 0 {
		cmd = args
	}
	return append(append([]string{}, entrypoint...), cmd...)
}

// withNamespaces joins the pod's namespaces; the pid and mount namespaces are the container's own.
func withNamespaces(pod shared) oci.SpecOpts {
	return func(ctx context.Context, c oci.Client, ctr *containers.Container, s *oci.Spec) error {
		for kind, path := range map[specs.LinuxNamespaceType]string{
			specs.NetworkNamespace: pod.net,
			specs.IPCNamespace:     pod.ipc,
			specs.UTSNamespace:     pod.uts,
		} {
			opt := oci.WithLinuxNamespace(specs.LinuxNamespace{Type: kind, Path: path})
			if path == "" {
				opt = oci.WithHostNamespace(kind)
			}
			if err := opt(ctx, c, ctr, s); err != nil {
				return err
			}
		}
		if pod.pid != "" {
			return oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.PIDNamespace, Path: pod.pid})(ctx, c, ctr, s)
		}
		if pod.hostPID {
			return oci.WithHostNamespace(specs.PIDNamespace)(ctx, c, ctr, s)
		}
		return nil
	}
}

// withMounts adds the pod's mounts, parents before what lies below them, and takes the runtime's own away from where the
// pod has one.
func withMounts(c runtime.ContainerSpec, pod shared) oci.SpecOpts {
	return func(ctx context.Context, cl oci.Client, ctr *containers.Container, s *oci.Spec) error {
		shm := pod.shm
		if shm == "" {
			shm = "/dev/shm"
		}
		mounts := []specs.Mount{
			{Destination: "/dev/shm", Type: "bind", Source: shm, Options: []string{"rbind", "rprivate", "nosuid", "nodev", "noexec"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
		}
		own := append([]runtime.Mount{}, c.Mounts...)
		sort.SliceStable(own, func(i, j int) bool { return depth(own[i].ContainerPath) < depth(own[j].ContainerPath) })
		taken := []string{"/dev/shm"}
		for _, m := range own {
			taken = append(taken, filepath.Clean(m.ContainerPath))
			mounts = append(mounts, ociMount(m))
			s.Linux.RootfsPropagation = propagation(s.Linux.RootfsPropagation, m.Propagation)
		}
		if err := oci.WithoutMounts(taken...)(ctx, cl, ctr, s); err != nil {
			return err
		}
		return oci.WithMounts(mounts)(ctx, cl, ctr, s)
	}
}

func depth(path string) int {
	return strings.Count(filepath.Clean(path), string(os.PathSeparator))
}

func ociMount(m runtime.Mount) specs.Mount {
	access := "rw"
	if m.ReadOnly {
		access = "ro"
	}
	if m.HostPath == "" {
		options := []string{"nosuid", "nodev", "mode=1777", access}
		if m.Size > 0 {
			options = append(options, fmt.Sprintf("size=%d", m.Size))
		}
		return specs.Mount{Destination: m.ContainerPath, Type: "tmpfs", Source: "tmpfs", Options: options}
	}
	spread := map[string]string{"HostToContainer": "rslave", "Bidirectional": "rshared"}[m.Propagation]
	if spread == "" {
		spread = "rprivate"
	}
	return specs.Mount{Destination: m.ContainerPath, Type: "bind", Source: m.HostPath, Options: []string{"rbind", spread, access}}
}

// propagation is what the container's root needs for a mount below it to spread: the widest of all mounts'.
func propagation(now, mount string) string {
	switch {
	case mount == "Bidirectional":
		return "rshared"
	case mount == "HostToContainer" && now != "rshared":
		return "rslave"
	}
	return now
}

func withResources(limits *specs.LinuxResources, oomScoreAdj *int) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		if s.Linux.Resources == nil {
			s.Linux.Resources = &specs.LinuxResources{}
		}
		// The device rules of the default spec stay.
		s.Linux.Resources.CPU, s.Linux.Resources.Memory, s.Linux.Resources.Pids = limits.CPU, limits.Memory, limits.Pids
		s.Process.OOMScoreAdj = oomScoreAdj
		return nil
	}
}

// linuxResources translates bounds; it leaves out what is zero.
func (r *Runtime) linuxResources(res runtime.Resources) *specs.LinuxResources {
	out := &specs.LinuxResources{CPU: &specs.LinuxCPU{}}
	if res.CPUShares > 0 {
		out.CPU.Shares = &res.CPUShares
	}
	if res.CPUQuota > 0 {
		period := uint64(cpuPeriod)
		out.CPU.Quota, out.CPU.Period = &res.CPUQuota, &period
	}
	if res.MemoryLimit > 0 {
		out.Memory = &specs.LinuxMemory{Limit: &res.MemoryLimit}
		if r.cgroups.countsSwap() {
			// Swap counts together with memory: the same bound means none.
			out.Memory.Swap = &res.MemoryLimit
		}
	}
	if res.PidsLimit > 0 {
		out.Pids = &specs.LinuxPids{Limit: &res.PidsLimit}
	}
	return out
}
