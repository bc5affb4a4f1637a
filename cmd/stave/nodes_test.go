package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stave-run/stave/dataplane/lan"
)

// befall lets something happen to one node of the script's cluster:
//
//	befall NODE death    its agent and the shims of its containers are killed
//	befall NODE loss     its agent alone is killed
//	befall NODE pause    its agent is stopped
//	befall NODE resume   and goes on
//	befall NODE cut      its link is down
//	befall NODE mend     and up again
func befall(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: befall NODE death|loss|pause|resume|cut|mend")
	}
	cluster := ts.Getenv("CLUSTER")
	at := layout{name: cluster, run: filepath.Join(runDir, cluster)}.of(args[0])
	agent := at.holder()
	if agent == 0 {
		ts.Fatalf("node %s has no agent", args[0])
	}
	switch args[1] {
	case "death":
		for _, pid := range append(shims(at.name), agent) {
			ts.Check(syscall.Kill(pid, syscall.SIGKILL))
		}
	case "loss":
		ts.Check(syscall.Kill(agent, syscall.SIGKILL))
	case "pause":
		ts.Check(syscall.Kill(agent, syscall.SIGSTOP))
		ts.Defer(func() { _ = syscall.Kill(agent, syscall.SIGCONT) })
	case "resume":
		ts.Check(syscall.Kill(agent, syscall.SIGCONT))
	case "cut", "mend":
		state := map[string]string{"cut": "down", "mend": "up"}[args[1]]
		out, err := exec.Command("ip", "link", "set", lan.Wire{Cluster: cluster}.Link(args[0]), state).CombinedOutput()
		if err != nil {
			ts.Fatalf("%s: %v: %s", args[1], err, out)
		}
	default:
		ts.Fatalf("befall %s: not known", args[1])
	}
}

// shims are the processes that hold a node's containers.
func shims(node string) []int {
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !bytes.Contains(args, []byte("stave-"+node+"\x00")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// contained waits until so many containers of a node have processes that live,
// whoever knows of them:
//
//	contained NODE NUMBER
func contained(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: contained NODE NUMBER")
	}
	name := layout{name: ts.Getenv("CLUSTER")}.of(args[0]).name
	var groups map[string]bool
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if groups = living(name); strconv.Itoa(len(groups)) == args[1] {
			return
		}
	}
	ts.Fatalf("node %s has %d containers, not %s: %v", args[0], len(groups), args[1], groups)
}

// living are the cgroups of a node's containers that have processes.
func living(node string) map[string]bool {
	groups := map[string]bool{}
	files, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil || identity(filepath.Dir(file)) == "" {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			if _, group, ok := strings.Cut(strings.TrimSpace(line), "/stave-"+node+"/"); ok {
				groups[group] = true
			}
		}
	}
	return groups
}
