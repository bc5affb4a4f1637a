package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// One spec, from the building of the suite to the cluster's end.
func TestOneSpecOnAClusterOfItsOwn(t *testing.T) {
	if os.Getenv("STAVE_SOAK") == "" || os.Geteuid() != 0 {
		t.Skip("builds all of Kubernetes' suite and runs containers: ./just soak ./cmd/conformance, as root")
	}
	t.Chdir("../..")
	stave := filepath.Join(t.TempDir(), "stave")
	if _, err := output(t.Context(), "go", "build", "-o", stave, "./cmd/stave"); err != nil {
		t.Fatal(err)
	}
	f := flags{
		Labels: "Conformance", Focus: "ConfigMap should be consumable via environment variable", Nodes: 1, Procs: 1,
		Timeout: 15 * time.Minute, Again: true, Stave: stave, Out: t.TempDir(),
	}
	if err := f.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "stave.conformance-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}

	// As after Ctrl-C.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.run(ctx); err == nil {
		t.Error("an interrupted run says that all is well")
	}
}
