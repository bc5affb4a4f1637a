package main

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// newVersion is what the program calls itself that the story upgrades to.
const newVersion = "v99.0.0-upgraded"

// upgrades replaces the cluster's program by one of another version and path, and
// back, while somebody applies:
//
//	upgrades FEW MANY    FEW rounds, or MANY with STAVE_SOAK
//
// What was acknowledged is in the file acknowledged (config maps).
func upgrades(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: upgrades FEW MANY")
	}
	rounds, err := strconv.Atoi(args[0])
	ts.Check(err)
	if os.Getenv("STAVE_SOAK") != "" {
		rounds, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	d := &deadly{ts: ts, random: rand.New(rand.NewPCG(1, 1)), stop: make(chan struct{}), copied: ts.MkAbs("newer")}
	build := exec.Command("go", "build", "-ldflags", "-X main.version="+newVersion, "-o", d.copied, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		ts.Fatalf("go build: %v\n%s", err, out)
	}
	var applying sync.WaitGroup
	applying.Go(d.apply)
	finish := sync.OnceFunc(func() { close(d.stop); applying.Wait() })
	defer finish()
	for i := range rounds {
		time.Sleep(time.Duration(d.random.IntN(1500)) * time.Millisecond)
		ts.Check(die(ts.Getenv("CLUSTER"), syscall.SIGTERM))
		ts.Check(d.rise(i))
		out, err := d.stave(d.copied, "", "version")
		ts.Check(err)
		if is := strings.Contains(out, "Server Version: "+newVersion); is != (i%2 == 0) {
			ts.Fatalf("after round %d: %s", i+1, out)
		}
	}
	finish()
	ts.Check(os.WriteFile(ts.MkAbs("acknowledged"), []byte(strings.Join(d.maps, "\n")), 0o600))
	ts.Logf("%d upgrades: %d config maps and %d pods were acknowledged", rounds, len(d.maps), len(d.pods))
	if len(d.maps) == 0 {
		ts.Fatalf("nothing was acknowledged")
	}
}
