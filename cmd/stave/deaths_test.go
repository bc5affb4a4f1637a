package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// deaths ends the cluster's process again and again, at random moments, while
// somebody applies, and starts it anew; every other time from another copy of the
// binary, as an upgrade does:
//
//	deaths FEW MANY    FEW rounds, or MANY with STAVE_SOAK
//
// What was acknowledged is in the files acknowledged (config maps) and short (pods
// that exit with code 7).
func deaths(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: deaths FEW MANY")
	}
	rounds, err := strconv.Atoi(args[0])
	ts.Check(err)
	if os.Getenv("STAVE_SOAK") != "" {
		rounds, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	seed := rand.Uint64()
	d := &deadly{ts: ts, random: rand.New(rand.NewPCG(seed, 0)), stop: make(chan struct{})}
	ts.Logf("seed %d", seed)
	d.copyBinary()
	var applying sync.WaitGroup
	applying.Go(d.apply)
	for i := range rounds {
		time.Sleep(time.Duration(d.random.IntN(1500)) * time.Millisecond)
		how := syscall.SIGKILL
		if i%3 == 2 {
			how = syscall.SIGTERM
		}
		err := die(ts.Getenv("CLUSTER"), how)
		if err == nil {
			err = d.rise(i)
		}
		if err != nil {
			close(d.stop)
			applying.Wait()
			ts.Fatalf("round %d of %d, seed %d: %v", i+1, rounds, seed, err)
		}
	}
	close(d.stop)
	applying.Wait()
	ts.Check(os.WriteFile(ts.MkAbs("acknowledged"), []byte(strings.Join(d.maps, "\n")), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("short"), []byte(strings.Join(d.pods, "\n")), 0o600))
	ts.Logf("%d rounds: %d config maps and %d pods were acknowledged", rounds, len(d.maps), len(d.pods))
	if len(d.maps) == 0 || len(d.pods) == 0 {
		ts.Fatalf("nothing was acknowledged")
	}
}

// deadly is one run of deaths.
type deadly struct {
	ts     *testscript.TestScript
	random *rand.Rand
	stop   chan struct{}
	copied string

	maps, pods []string // acknowledged; read when apply has returned
}

func (d *deadly) copyBinary() {
	self, err := os.Executable()
	d.ts.Check(err)
	in, err := os.Open(self)
	d.ts.Check(err)
	defer in.Close()
	d.copied = d.ts.MkAbs("upgraded")
	out, err := os.OpenFile(d.copied, os.O_CREATE|os.O_WRONLY, 0o755)
	d.ts.Check(err)
	_, err = io.Copy(out, in)
	d.ts.Check(err)
	d.ts.Check(out.Close())
}

// stave runs the CLI, of the usual binary or of a copy.
func (d *deadly) stave(binary, in string, args ...string) (string, error) {
	cmd := exec.Command(binary, args...)
	cmd.Args[0] = "stave"
	cmd.Stdin = strings.NewReader(in)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.ts.Getenv("KUBECONFIG"), "HOME="+d.ts.Getenv("HOME"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// applyPause leaves the node time for the pods: one that is full has no more to start.
const applyPause = 100 * time.Millisecond

// apply applies one thing after another; while the server is away it fails.
func (d *deadly) apply() {
	self, _ := os.Executable() // copyBinary has asked before
	for i := 0; ; i++ {
		select {
		case <-d.stop:
			return
		default:
		}
		time.Sleep(applyPause)
		name := fmt.Sprintf("d%d", i)
		if i%4 != 0 {
			if _, err := d.stave(self, "{apiVersion: v1, kind: ConfigMap, metadata: {name: "+name+"}}", "apply", "-f", "-", "--request-timeout=3s"); err == nil {
				d.maps = append(d.maps, name)
			}
			continue
		}
		pod := fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: {app: short}}, spec: {restartPolicy: Never, containers: [{name: c, image: busybox, command: [sh, -c, "sleep 0.%d; exit 7"]}]}}`, name, i%10)
		if _, err := d.stave(self, pod, "apply", "-f", "-", "--request-timeout=3s"); err == nil {
			d.pods = append(d.pods, name)
		}
	}
}

// die ends the cluster's process and waits until it is gone, or is a zombie: who
// inherited it may not look after its children.
func die(cluster string, how syscall.Signal) error {
	b, err := os.ReadFile(filepath.Join(runDir, cluster+".lock"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(b)))
	if err != nil {
		return err
	}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	was := identity(dir)
	if was == "" { // a zombie can be killed, and nothing of it changes
		return fmt.Errorf("process %d ended before %s: %w", pid, how, syscall.ESRCH)
	}
	if err := syscall.Kill(pid, how); err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if identity(dir) != was {
			return nil
		}
	}
	return fmt.Errorf("process %d outlives %s: %s", pid, how, held(dir))
}

// held tells where in the kernel the threads of a process are that does not end.
func held(dir string) string {
	var out strings.Builder
	tasks, _ := filepath.Glob(filepath.Join(dir, "task", "*")) // a bad pattern is no path
	for _, t := range tasks {
		stat, _ := os.ReadFile(filepath.Join(t, "stat")) // it may have ended by now
		stack, _ := os.ReadFile(filepath.Join(t, "stack"))
		fmt.Fprintf(&out, "\n%s%s", stat, stack)
	}
	return out.String()
}

func (d *deadly) rise(round int) error {
	binary := d.copied
	if round%2 == 1 {
		var err error
		if binary, err = os.Executable(); err != nil {
			return err
		}
	}
	out, err := d.stave(binary, "", "up", "--detach", "--name="+d.ts.Getenv("CLUSTER"), "--data-dir="+d.ts.Getenv("DATA"), "--registry-hosts="+d.ts.Getenv("HOSTS"))
	if err != nil {
		return fmt.Errorf("up: %w\n%s", err, out)
	}
	return nil
}

// weigh counts what a cluster has on the machine by kind, and fails when it is not
// what it was:
//
//	weigh FILE    the first time writes the file, later compares
func weigh(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: weigh FILE")
	}
	file := ts.MkAbs(args[0])
	before, _ := os.ReadFile(file) // none the first time
	var now string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		found, err := look(ts.Getenv("CLUSTER"), ts.Getenv("DATA"))
		ts.Check(err)
		now = fmt.Sprintf("cgroups %d, pins %d, mounts %d, namespaces %d, links %d, processes %d\n",
			len(found["cgroups"]), len(found["pins"]), len(found["mounts"]), len(found["namespaces"]), len(found["links"]), len(found["processes"]))
		if now == string(before) {
			return
		}
		if before == nil {
			ts.Check(os.WriteFile(file, []byte(now), 0o600))
			return
		}
	}
	ts.Fatalf("before: %s\nnow:    %s", before, now)
}
