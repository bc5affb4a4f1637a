package main

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// build builds the command of a module that is none of ours, out of gateway/kube/testdata:
//
//	build MODULE PACKAGE FILE
func build(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: build MODULE PACKAGE FILE")
	}
	at, err := filepath.Abs(filepath.Join("../../gateway/kube/testdata", args[0])) // tests run in their package's folder
	ts.Check(err)
	cmd := exec.Command("go", "build", "-o", ts.MkAbs(args[2]), args[1])
	cmd.Dir, cmd.Env = at, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("build %s: %v\n%s", args[0], err, out)
	}
}
