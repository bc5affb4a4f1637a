package containerd

import (
	"os"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/mountinfo"
)

// TestShortMountsAreEnded: a process that is killed while it looks up an image's users leaves a mount; the next one ends it.
func TestShortMountsAreEnded(t *testing.T) {
	n := open(t, "mounts")
	bind := []mount.Mount{{Type: "bind", Source: t.TempDir(), Options: []string{"bind"}}}
	var left string
	if err := mount.WithTempMount(t.Context(), bind, func(root string) error { left = root + "left"; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := mount.All(bind, left); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mount.UnmountAll(left, 0) }) // it is gone unless this fails
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	reopen(t, n.options)
	if mounted, err := mountinfo.Mounted(left); mounted || !os.IsNotExist(err) {
		t.Error("the mount is still there:", mounted, err)
	}
}
