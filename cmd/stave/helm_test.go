package main

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// buildhelm builds helm's command from its module, which is none of ours:
//
//	buildhelm FILE
func buildhelm(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: buildhelm FILE")
	}
	at, err := filepath.Abs("../../gateway/kube/testdata/helm") // tests run in their package's folder
	ts.Check(err)
	cmd := exec.Command("go", "build", "-o", ts.MkAbs(args[0]), "helm.sh/helm/v4/cmd/helm")
	cmd.Dir, cmd.Env = at, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("build helm: %v\n%s", err, out)
	}
}
