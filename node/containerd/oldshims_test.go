package containerd

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stave-run/stave/node/runtime"
)

// TestOldShims: an upgrade leaves the older shim's program there as long as a pod of it lives, and no longer.
func TestOldShims(t *testing.T) {
	o := options(t, "old")
	program, err := os.ReadFile(o.Shim)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(o.Root, "bin")
	older, unused := filepath.Join(dir, "containerd-shim-stave-older"), filepath.Join(dir, "containerd-shim-stave-unused")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{older, unused} {
		if err := os.WriteFile(path, program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }

	before := o
	before.Shim = older
	n := reopen(t, before)
	if there(unused) {
		t.Error("a shim that nobody needs stays")
	}
	if _, err := n.Pull(t.Context(), busybox, nil, nil); err != nil {
		t.Fatal(err)
	}
	n.pod("p1")
	id := n.start(n.spec("p1", "main", "sleep 1000"))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n = reopen(t, o)
	if err := n.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !there(older) {
		t.Fatal("the shim of a running pod is gone")
	}
	var out bytes.Buffer
	if code, err := n.Exec(t.Context(), id, runtime.ExecSpec{Command: []string{"echo", "here"}}, runtime.Streams{Stdout: &out}); code != 0 || err != nil || out.String() != "here\n" {
		t.Error(code, err, out.String())
	}
	next := n.start(n.spec("p1", "next", "sleep 1000"))
	for _, id := range []string{id, next} {
		if err := n.Remove(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if err := n.RemoveSandbox(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "containerd has cleaned up after the shim", func() bool {
		return len(match(filepath.Join(o.State, "io.containerd.*", "*", "*", "shim-binary-path"))) == 0
	})
	eventually(t, "the shim has ended", func() bool { // it answers before it does, and runs a moment longer
		for _, link := range match("/proc/[0-9]*/exe") {
			if path, err := os.Readlink(link); err == nil && path == older {
				return false
			}
		}
		return true
	})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	reopen(t, o)
	if there(older) {
		t.Error("a shim without pods stays")
	}
}
