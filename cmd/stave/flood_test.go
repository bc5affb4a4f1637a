package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stave-run/stave/node/logfile"
)

// rounds of work give a median that one slow moment does not move.
const rounds = 5

// neighbour does what people do with a pod, several times, and writes down how long it took in the middle:
//
//	neighbour FILE
func neighbour(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: neighbour FILE")
	}
	var took []time.Duration
	for range rounds {
		begun := time.Now()
		ts.Check(ts.Exec("stave", "run", "neighbour", "--image=busybox", "--command", "--", "sh", "-c", "echo here; exec sleep 100000"))
		ts.Check(ts.Exec("stave", "wait", "--for=condition=Ready", "pod/neighbour", "--timeout=120s"))
		ts.Check(ts.Exec("stave", "exec", "neighbour", "--", "echo", "heard"))
		if out := ts.ReadFile("stdout"); out != "heard\n" {
			ts.Fatalf("exec said %q", out)
		}
		// What a container wrote is in its log a moment later.
		until(ts, false, []string{"-t", "60s", "^here\n$", "stave", "logs", "neighbour"})
		took = append(took, time.Since(begun))
		ts.Check(ts.Exec("stave", "delete", "pod", "neighbour", "--now", "--timeout=120s"))
	}
	slices.Sort(took)
	ts.Logf("%s: %v", args[0], took)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(took[rounds/2].String()), 0o600))
}

// How much slower work may be beside a flood: it has to share processors with it, and must not wait for it. Machines are
// busy with other things too.
const (
	easeFactor = 10
	easeSlack  = 5 * time.Second
)

// atease fails when the second of two figures of neighbour is out of all proportion to the first:
//
//	atease BEFORE DURING
func atease(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: atease BEFORE DURING")
	}
	var took [2]time.Duration
	for i, f := range args {
		d, err := time.ParseDuration(ts.ReadFile(f))
		ts.Check(err)
		took[i] = d
	}
	ts.Logf("%s %v, %s %v: %.1f times", args[0], took[0], args[1], took[1], float64(took[1])/float64(took[0]))
	if took[1] > easeFactor*took[0]+easeSlack {
		ts.Fatalf("%s took %v, %s %v", args[0], took[0], args[1], took[1])
	}
}

// logsbound fails when the logs of a pod take more than they may, looked at again and again while it writes:
//
//	logsbound POD
func logsbound(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: logsbound POD")
	}
	// One entry may be on its way beyond the bound, and one file is being renamed.
	const bound = (logfile.MaxFiles + 1) * (logfile.MaxSize + 2*logfile.MaxLine)
	for range 20 {
		var sum int64
		files := 0
		err := filepath.WalkDir(filepath.Join(ts.Getenv("DATA"), "node", "logs"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.Contains(path, "default_"+args[0]+"_") {
				return nil // what is rotated away meanwhile is not there any more
			}
			if info, err := d.Info(); err == nil {
				sum, files = sum+info.Size(), files+1
			}
			return nil
		})
		ts.Check(err)
		if files == 0 || files > logfile.MaxFiles+1 || sum > bound {
			ts.Fatalf("%d files of %d bytes, at most %d of %d", files, sum, logfile.MaxFiles, bound)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
