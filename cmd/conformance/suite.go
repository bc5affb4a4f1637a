package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// suite runs specs.
type suite struct {
	tools   *tools
	cluster *cluster
	procs   int
	out     string
	timeout time.Duration
}

// list asks the suite which specs fit, without running any.
func (s *suite) list(ctx context.Context, labels, focus, skip string) ([]spec, error) {
	dir, err := os.MkdirTemp(s.out, "list-")
	if err != nil {
		return nil, fmt.Errorf("make folder of the list: %w", err)
	}
	defer os.RemoveAll(dir)
	report := filepath.Join(dir, "report.json")
	args := []string{"--ginkgo.dry-run", "--ginkgo.silence-skips", "--ginkgo.json-report", report, "--ginkgo.label-filter", labels}
	for flag, value := range map[string]string{"--ginkgo.focus": focus, "--ginkgo.skip": skip} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	// A file that need not be there: nothing is asked of the cluster.
	if _, err := output(ctx, s.tools.path("e2e.test"), append(args, "--kubeconfig", filepath.Join(dir, "none"))...); err != nil {
		return nil, err
	}
	found, err := readReport(report)
	if err != nil {
		return nil, err
	}
	var out []spec
	for _, one := range found {
		out = append(out, one.spec)
	}
	return out, nil
}

// run runs specs: first those that can run side by side, then the serial ones, then by themselves those that failed.
func (s *suite) run(ctx context.Context, specs []spec, again bool) ([]result, error) {
	area := specs[0].area
	var results []result
	for _, serial := range []bool{false, true} {
		some := slices.DeleteFunc(slices.Clone(specs), func(one spec) bool { return one.serial != serial })
		procs, name := s.procs, area
		if serial {
			procs, name = 1, area+"-serial"
		}
		done, err := s.ginkgo(ctx, name, some, procs)
		if err != nil {
			return nil, err
		}
		results = append(results, done...)
	}
	if !again {
		return results, nil
	}
	return s.runAgain(ctx, area, results)
}

// runAgain gives what failed another try, one by one: the machine may have been at fault. What is known to fail is not
// waited for twice.
func (s *suite) runAgain(ctx context.Context, area string, results []result) ([]result, error) {
	var failed []spec
	for _, r := range results {
		if r.failed() && known(r.name) == "" {
			failed = append(failed, r.spec)
		}
	}
	second, err := s.ginkgo(ctx, area+"-again", failed, 1)
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		at := slices.IndexFunc(second, func(o result) bool { return o.name == r.name })
		if r.failed() && at >= 0 && second[at].ran() {
			results[i] = second[at]
			results[i].again = true
		}
	}
	return results, nil
}

// ginkgo runs some specs, named one by one, and tells how each went. That specs fail is no error.
func (s *suite) ginkgo(ctx context.Context, name string, specs []spec, procs int) ([]result, error) {
	if len(specs) == 0 {
		return nil, nil
	}
	log, err := os.Create(filepath.Join(s.out, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	defer log.Close()
	say("%s: %d specs, %d at a time", name, len(specs), procs)
	watch := newMeter(name, len(specs), log)
	defer watch.close()
	cmd := s.command(ctx, name, specs, procs)
	cmd.Stdout, cmd.Stderr = watch, watch
	failed := cmd.Run()
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	report := filepath.Join(s.out, name+".json")
	results, err := readReport(report)
	if err != nil {
		return nil, errors.Join(failed, err, fmt.Errorf("the whole story is in %s", log.Name()))
	}
	return asked(specs, results), nil
}

// asked puts results in the order of the specs; those of which nothing is told did not run.
func asked(specs []spec, results []result) []result {
	out := make([]result, len(specs))
	for i, one := range specs {
		out[i] = result{spec: one}
		if at := slices.IndexFunc(results, func(r result) bool { return r.name == one.name }); at >= 0 {
			out[i] = results[at]
		}
	}
	return out
}

// command is ginkgo with a process group of its own: Ctrl-C ends it and all that it started, and what they made goes with
// the cluster.
func (s *suite) command(ctx context.Context, name string, specs []spec, procs int) *exec.Cmd {
	args := []string{
		"--procs", strconv.Itoa(procs), "--no-color", "--silence-skips", "--timeout", s.timeout.String(),
		"--output-dir", s.out, "--json-report", name + ".json",
	}
	for some := range slices.Chunk(specs, maxNames) {
		args = append(args, "--focus", focus(some))
	}
	args = append(args, s.tools.path("e2e.test"), "--",
		"--kubeconfig", s.cluster.kubeconfig, "--kubectl-path", s.tools.path("kubectl"), "--provider", "skeleton",
		"--num-nodes", strconv.Itoa(s.cluster.schedulable()))
	if s.cluster.hollow > 0 {
		args = append(args, "--allowed-not-ready-nodes", "1")
	}
	cmd := exec.CommandContext(ctx, s.tools.path("ginkgo"), args...)
	cmd.Dir = s.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// maxNames is how many names fit into one argument of a command.
const maxNames = 200

// focus is a regular expression that fits these specs and no others. Before the name ginkgo puts the suite's.
func focus(specs []spec) string {
	names := make([]string, len(specs))
	for i, one := range specs {
		names[i] = regexp.QuoteMeta(one.name)
	}
	return "(?:" + strings.Join(names, "|") + ")$"
}
