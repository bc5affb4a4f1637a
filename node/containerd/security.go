package containerd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/stave-run/stave/node/runtime"
)

// withUser overrules the image's user. A uid or gid that the pod names replaces that half of the image's USER; the groups
// of the user are looked up in the image, which a bare number would leave out.
func withUser(spec runtime.ContainerSpec, img client.Image) oci.SpecOpts {
	return func(ctx context.Context, c oci.Client, ctr *containers.Container, s *oci.Spec) error {
		config, err := img.Spec(ctx)
		if err != nil {
			return fmt.Errorf("read image config: %w", err)
		}
		sec := spec.Security
		if err := rootAllowed(spec, config.Config.User); err != nil {
			return err
		}
		user, whole := userOf(sec, config.Config.User)
		if user != whole || sec.User != nil {
			if err := oci.WithUser(whole)(ctx, c, ctr, s); err != nil {
				return err
			}
			if err := oci.WithAdditionalGIDs(user)(ctx, c, ctr, s); err != nil {
				return err
			}
		}
		s.Process.User.AdditionalGids = groupsOf(sec, s.Process.User)
		return nil
	}
}

// userOf is as whom a container runs: the user alone, and with the group where the pod or the image names one.
func userOf(sec runtime.Security, image string) (user, whole string) {
	user, group, _ := strings.Cut(image, ":")
	if user == "" {
		user = "0"
	}
	if sec.User != nil {
		user, group = strconv.FormatInt(*sec.User, 10), ""
	}
	if sec.Group != nil {
		group = strconv.FormatInt(*sec.Group, 10)
	}
	if group == "" {
		return user, user
	}
	return user, user + ":" + group
}

// groupsOf are the supplemental groups: the image's unless they are not wanted, and the pod's.
func groupsOf(sec runtime.Security, u specs.User) []uint32 {
	groups := u.AdditionalGids
	if sec.StrictGroups {
		groups = []uint32{u.GID}
	}
	for _, g := range sec.ExtraGroups {
		if !slices.Contains(groups, uint32(g)) {
			groups = append(groups, uint32(g))
		}
	}
	return groups
}

// rootAllowed refuses root where nobody shall be root, in Kubernetes' words. A name is no proof: the image could map it to 0.
func rootAllowed(c runtime.ContainerSpec, image string) error {
	if !c.Security.NonRoot {
		return nil
	}
	where := fmt.Sprintf("(pod: %q, container: %s)", fmt.Sprintf("%s_%s(%s)", c.Pod, c.Namespace, c.PodUID), c.Name)
	if own := c.Security.User; own != nil {
		if *own == 0 {
			return fmt.Errorf("container's runAsUser breaks non-root policy %s", where)
		}
		return nil
	}
	user, _, _ := strings.Cut(image, ":")
	uid, err := strconv.ParseInt(user, 10, 64)
	switch {
	case user == "" || err == nil && uid == 0:
		return fmt.Errorf("container has runAsNonRoot and image will run as root %s", where)
	case err != nil:
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root %s", user, where)
	}
	return nil
}

// withSecurity applies the rest of Security; privileges come last because they undo defaults.
func withSecurity(sec runtime.Security) []oci.SpecOpts {
	opts := []oci.SpecOpts{oci.WithNewPrivileges}
	if sec.NoNewPrivileges {
		opts = []oci.SpecOpts{oci.WithNoNewPrivileges}
	}
	if sec.ReadOnlyRoot {
		opts = append(opts, oci.WithRootFSReadonly())
	}
	if sec.Privileged {
		return append(opts, oci.WithPrivileged, oci.WithAllDevicesAllowed, oci.WithHostDevices,
			oci.WithWriteableSysfs, oci.WithWriteableCgroupfs)
	}
	opts = append(opts, withCapabilities(sec)...)
	switch {
	case sec.SeccompUnconfined:
	case sec.SeccompProfile != "":
		opts = append(opts, seccomp.WithProfile(sec.SeccompProfile))
	default:
		// After the capabilities: the profile allows more system calls to who may use them.
		opts = append(opts, seccomp.WithDefaultProfile(), withoutX32)
	}
	return opts
}

// withoutX32 takes an architecture out of the profile that kernels leave off by default and no image is built for. runc
// compiles the profile for each architecture whenever a container starts: 5 of the 20 milliseconds of CPU that takes.
func withoutX32(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	s.Linux.Seccomp.Architectures = slices.DeleteFunc(s.Linux.Seccomp.Architectures, func(a specs.Arch) bool { return a == specs.ArchX32 })
	return nil
}

// withCapabilities keeps Kubernetes' order: ALL first, so that dropping ALL and adding one leaves that one; then names, so
// that what is dropped by name is gone.
func withCapabilities(sec runtime.Security) []oci.SpecOpts {
	var opts []oci.SpecOpts
	add, addAll := capabilities(sec.AddCapabilities)
	drop, dropAll := capabilities(sec.DropCapabilities)
	if addAll {
		opts = append(opts, oci.WithAllKnownCapabilities)
	}
	if dropAll {
		opts = append(opts, oci.WithCapabilities(nil))
	}
	return append(opts, oci.WithAddedCapabilities(add), oci.WithDroppedCapabilities(drop))
}

// capabilities gives names their prefix and says whether ALL is among them.
func capabilities(names []string) (full []string, all bool) {
	for _, n := range names {
		n = strings.ToUpper(n)
		if n == "ALL" {
			all = true
			continue
		}
		full = append(full, "CAP_"+strings.TrimPrefix(n, "CAP_"))
	}
	return full, all
}

// unprivileged are the settings that a pod's own network begins with, as under Kubernetes with containerd 2: whoever a
// container runs as may listen on port 80 and ping. The network is the pod's alone, so nobody else's port is at stake.
var unprivileged = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}

// withSysctls sets kernel settings in the namespaces that the pod has of its own; what this kernel lacks of the defaults
// is left out, what the pod names is not.
func withSysctls(asked map[string]string, pod shared) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		all := map[string]string{}
		for name, value := range unprivileged {
			if pod.net != "" && kernelHas(name) {
				all[name] = value
			}
		}
		for name, value := range asked {
			all[name] = value
		}
		if len(all) > 0 {
			s.Linux.Sysctl = all
		}
		return nil
	}
}

func kernelHas(sysctl string) bool {
	_, err := os.Stat(filepath.Join("/proc/sys", strings.ReplaceAll(sysctl, ".", "/")))
	return err == nil
}
