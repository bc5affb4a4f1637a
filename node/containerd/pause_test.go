package containerd

import (
	"testing"

	"github.com/stave-run/stave/node/runtime"
)

// TestSharedProcessesOutliveTheAgent: what holds a pod's process ids is no shim that was half started.
func TestSharedProcessesOutliveTheAgent(t *testing.T) {
	o := options(t, "share")
	n := reopen(t, o)
	if _, err := n.Pull(t.Context(), busybox, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := n.EnsureSandbox(t.Context(), runtime.SandboxSpec{UID: "p1", Namespace: "default", Name: "p1", Hostname: "p1", SharePID: true}); err != nil {
		t.Fatal(err)
	}
	kept := n.start(n.spec("p1", "kept", "sleep 1000"))
	pause, lives := n.pausePID("p1")
	if !lives {
		t.Fatal("nothing holds the process ids")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = reopen(t, o)
	if now, lives := n.pausePID("p1"); !lives || now != pause {
		t.Errorf("held by %d, %v; before by %d", now, lives, pause)
	}
	if s := n.find("kept"); s.ID != kept || s.Exit != nil {
		t.Errorf("%+v", s)
	}
}
