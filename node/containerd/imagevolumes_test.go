package containerd

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/node/runtime"
)

// TestImageVolumes mounts images of one layer and of two, and looks at what is left of them when the pod is gone.
func TestImageVolumes(t *testing.T) {
	n := open(t, "imagevolumes")
	for _, ref := range []string{"busybox:stable", "nginx:alpine"} {
		if _, err := n.Pull(t.Context(), ref, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	n.pod("p1")
	n.pod("p2")
	mount := func(uid, volume, ref string) string {
		t.Helper()
		if err := n.MountImage(t.Context(), uid, volume, ref); err != nil {
			t.Fatal(err)
		}
		return n.ImageMount(uid, volume)
	}
	web := mount("p1", "web", "nginx:alpine")
	c := n.spec("p1", "look", "exec 2>&1; head -n1 /web/etc/nginx/nginx.conf; ls -d /web/bin/sh /tools/bin/sh; touch /web/x /tools/x; touch /web/etc/x")
	c.Mounts = []runtime.Mount{{HostPath: web, ContainerPath: "/web", ReadOnly: true}, {HostPath: mount("p1", "tools", "busybox:stable"), ContainerPath: "/tools", ReadOnly: true}}
	out, exit := n.run(c)
	if !strings.HasPrefix(out, "user  nginx;\n/tools/bin/sh\n/web/bin/sh\n") || strings.Count(out, "Read-only file system") != 3 || exit.Code != 1 {
		t.Errorf("%q, %+v", out, exit)
	}
	if err := os.WriteFile(filepath.Join(web, "x"), nil, 0o600); err == nil {
		t.Error("the image can be written to from the host")
	}
	if err := n.MountImage(t.Context(), "p1", "none", "no-such-image:1"); err == nil || !strings.Contains(err.Error(), "no-such-image:1") {
		t.Errorf("an image that is not here: %v", err)
	}
	testImageOutlivesItsName(n, mount("p2", "web", "nginx:alpine"))
	if err := n.RemoveSandbox(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	if mounted, err := mountinfo.Mounted(web); mounted || !os.IsNotExist(err) {
		t.Error("the mount is still there:", mounted, err)
	}
	if leases := n.volumeLeases(); len(leases) != 1 || leases[0] != volumesLease("p2") {
		t.Errorf("leases %v, p2 has the only one", leases)
	}
	if err := n.RemoveSandbox(t.Context(), "p2"); err != nil {
		t.Fatal(err)
	}
	if leases := n.volumeLeases(); len(leases) != 0 {
		t.Errorf("leases are left: %v", leases)
	}
	if views := n.views(); views != 0 {
		t.Errorf("%d views are left", views)
	}
}

// testImageOutlivesItsName: what a pod has mounted stays whole when the image is collected, also for the next containerd.
func testImageOutlivesItsName(n *node, web string) {
	n.t.Helper()
	if err := n.Remove(n.t.Context(), runtime.ContainerID("p1", "look", 0)); err != nil {
		n.t.Fatal(err)
	}
	if gone, err := n.Collect(n.t.Context(), nil); err != nil || len(gone) != 2 {
		n.t.Errorf("collected %v, %v", gone, err)
	}
	if b, err := os.ReadFile(filepath.Join(web, "etc/nginx/nginx.conf")); err != nil || !strings.HasPrefix(string(b), "user  nginx;") {
		n.t.Errorf("after its image was collected: %q, %v", b, err)
	}
	// It is mounted: nobody looks for the image.
	if err := n.MountImage(n.t.Context(), "p2", "web", "nginx:alpine"); err != nil {
		n.t.Error(err)
	}
}

// TestImageVolumesAreForgotten: when a cluster is taken down without its agent, and after a reboot, no volume is left.
func TestImageVolumesAreForgotten(t *testing.T) {
	n := open(t, "forgotten")
	if _, err := n.Pull(t.Context(), "nginx:alpine", nil, nil); err != nil {
		t.Fatal(err)
	}
	n.pod("p1")
	if err := n.MountImage(t.Context(), "p1", "web", "nginx:alpine"); err != nil {
		t.Fatal(err)
	}
	// What a reboot takes: the mount, and not the view that it was made of.
	if err := unix.Unmount(n.ImageMount("p1", "web"), 0); err != nil {
		t.Fatal(err)
	}
	if err := n.MountImage(t.Context(), "p1", "web", "nginx:alpine"); err != nil {
		t.Error("after a reboot:", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Purge(t.Context(), n.options); err != nil {
		t.Fatal(err)
	}
	n = reopen(t, n.options)
	if leases := n.volumeLeases(); len(leases) != 0 {
		t.Errorf("leases are left: %v", leases)
	}
	if views := n.views(); views != 0 {
		t.Errorf("%d views are left", views)
	}
}

// volumeLeases are the leases of image volumes.
func (n *node) volumeLeases() (ids []string) {
	found, err := n.client.LeasesService().List(n.Runtime.in(n.t.Context()))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, l := range found {
		if strings.HasPrefix(l.ID, volumesLease("")) {
			ids = append(ids, l.ID)
		}
	}
	return ids
}

// views counts the snapshots that image volumes are mounted from.
func (n *node) views() (count int) {
	err := n.client.SnapshotService(snapshotter).Walk(n.Runtime.in(n.t.Context()), func(_ context.Context, i snapshots.Info) error {
		if i.Kind == snapshots.KindView {
			count++
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return count
}
