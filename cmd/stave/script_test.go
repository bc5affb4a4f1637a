package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stave-run/stave/node/imagetest"
)

// TestMain lets the test binary be the stave command of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"stave": main})
}

// TestScripts tells the stories of testdata/script, each on a cluster of its
// own with real containers.
func TestScripts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the stories run real containers and need root: sudo ./just test")
	}
	registry := imagetest.Start(t)
	registry.CloseOff("library/closed", "ann", "closed-hunter2")
	if err := registry.Alias("library/busybox:1.28", "library/closed:1"); err != nil {
		t.Fatal(err)
	}
	seeds, err := filepath.Abs("testdata/seeds")
	if err != nil {
		t.Fatal(err)
	}
	images := testImageFiles(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: false,
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "soak":
				return os.Getenv("STAVE_SOAK") != "", nil
			case "powerloss":
				return losesPower(), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Setup: func(e *testscript.Env) error {
			for name, file := range images {
				e.Setenv(strings.ToUpper(name)+"_IMAGE", file)
			}
			return newWorld(e, registry.HostsDir, seeds)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"listen": listen, "power": power, "upgrades": upgrades,
			"until": until, "killall": killall, "steady": steady, "calm": calm, "outside": outside, "tap": tap, "chain": chain, "machine": machine,
			"befall": befall, "contained": contained, "badregistry": badregistry, "deaths": deaths, "requests": requests, "weigh": weigh, "onpty": onpty, "slowly": slowly, "alone": alone,
			"elect": elect, "reboot": reboot, "build": build, "issue": issue, "kubeget": kubeget, "kubesend": kubesend, "smalldisk": smalldisk, "neighbour": neighbour, "atease": atease, "logsbound": logsbound,
			"certificate": serverCertificate, "askcertificate": askCertificate,
		},
	})
}

// testImages is where a machine without Go has the images ready.
const testImages = "/guest/images"

// testImageFiles are the archives of all images that stories import, by name.
func testImageFiles(t *testing.T) map[string]string {
	files := map[string]string{}
	for _, name := range []string{"echo", "probed", "inside", "guard"} {
		files[name] = testImage(t, name)
	}
	return files
}

// testImage makes an archive of an image NAME:test out of the program testdata/NAME: one that answers UDP, one that is
// well or not as it is told. No Debian package small enough does.
func testImage(t *testing.T, name string) string {
	if made := filepath.Join(testImages, name+".tar"); existing(made) != nil {
		return made
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, name+".tar")
	for _, args := range [][]string{
		{"build", "-o", filepath.Join(dir, name), "./testdata/" + name},
		{"run", "../../examples/hello/pack", "-binary", filepath.Join(dir, name), "-tag", name + ":test", "-out", archive},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return archive
}

// newWorld gives a script a cluster's name, its own kubeconfig and the seeds,
// and takes the cluster away at the end, however the script ends.
func newWorld(e *testscript.Env, hosts, seeds string) error {
	var id [3]byte
	if _, err := rand.Read(id[:]); err != nil {
		return fmt.Errorf("name the cluster: %w", err)
	}
	name := "t" + hex.EncodeToString(id[:])
	e.Setenv("CLUSTER", name)
	e.Setenv("DATA", filepath.Join(e.WorkDir, "data"))
	e.Setenv("CLUSTER2", name+"b") // for the story of two
	e.Setenv("DATA2", filepath.Join(e.WorkDir, "data2"))
	// A port that no cluster takes by itself: one that lies between the registered and the ephemeral ones.
	e.Setenv("KUBE_PORT", strconv.Itoa(20000+(int(id[0])<<8|int(id[1]))%8000))
	e.Setenv("KUBECONFIG", filepath.Join(e.WorkDir, "kubeconfig"))
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("HOSTS", hosts)
	e.Setenv("SEEDS", seeds)
	e.Setenv("NO_COLOR", "1")
	e.Setenv("PATH", e.Getenv("PATH")+":/usr/sbin:/sbin")
	e.Defer(func() { dropDisk(e) })
	e.Defer(func() {
		if _, err := os.Stat(filepath.Join(runDir, name+"b")); err == nil {
			takeDown(e, name+"b", e.Getenv("DATA2"))
		}
	})
	e.Defer(func() { takeDown(e, name, dataOf(e)) })
	return nil
}

func takeDown(e *testscript.Env, name, data string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		e.T().Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, "down", "--purge", "--name="+name, "--data-dir="+data)
	cmd.Args[0] = "stave"
	cmd.Env = append(os.Environ(), "KUBECONFIG="+e.Getenv("KUBECONFIG"), "HOME="+e.WorkDir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		e.T().Fatal("down: " + err.Error() + "\n" + string(out))
	}
	if err := clean(name, data); err != nil {
		e.T().Fatal("down: " + err.Error())
	}
}

// until runs a command again and again until its output matches:
//
//	until [-t 30s] REGEXP COMMAND ARG…
//	! until …  until it no longer matches
func until(ts *testscript.TestScript, neg bool, args []string) {
	limit := 30 * time.Second
	if len(args) > 2 && args[0] == "-t" {
		d, err := time.ParseDuration(args[1])
		ts.Check(err)
		limit, args = d, args[2:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: until [-t DURATION] REGEXP COMMAND ARG…")
	}
	want, err := regexp.Compile("(?ms)" + args[0])
	ts.Check(err)
	var out string
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		bad := ts.Exec(args[1], args[2:]...)
		out = ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if want.MatchString(out) != neg && (bad == nil || neg || want.MatchString(out)) {
			ts.Logf("%s", out)
			return
		}
	}
	ts.Fatalf("after %v no match for %s (negated: %v) in:\n%s", limit, args[0], neg, out)
}

// killall kills the process of the script's cluster with KILL; shims and
// containers stay.
func killall(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(die(ts.Getenv("CLUSTER"), syscall.SIGKILL))
}
