package main

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// smallDisk is where smalldisk mounts one.
func smallDisk(work string) string { return filepath.Join(work, "disk") }

// smalldisk mounts a file system of its own for the cluster's data, $DISK, which is taken away with the cluster:
//
//	smalldisk SIZE
func smalldisk(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: smalldisk SIZE")
	}
	work := ts.Getenv("WORK")
	image, dir := filepath.Join(work, "disk.img"), smallDisk(work)
	ts.Check(os.MkdirAll(dir, 0o755))
	for _, c := range [][]string{{"truncate", "-s", args[0], image}, {"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		cmd := exec.Command(c[0], c[1:]...)
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	ts.Setenv("DISK", dir)
}

// dataOf is where a script's cluster has its data.
func dataOf(e *testscript.Env) string {
	if mounted, _ := mountinfo.Mounted(smallDisk(e.WorkDir)); mounted {
		return filepath.Join(smallDisk(e.WorkDir), "data")
	}
	return e.Getenv("DATA")
}

// dropDisk takes away what smalldisk mounted.
func dropDisk(e *testscript.Env) {
	dir := smallDisk(e.WorkDir)
	if mounted, _ := mountinfo.Mounted(dir); !mounted {
		return
	}
	if err := unix.Unmount(dir, 0); err != nil {
		e.T().Fatal("unmount the small disk: " + err.Error())
	}
}
