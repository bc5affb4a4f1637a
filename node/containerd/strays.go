package containerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killHalfStarted ends shims that an agent was starting when it was killed. containerd removes the bundle of such a one,
// and with it the FIFO for its log, which it waits to open for ever; but it listens already, on the address of the next
// shim of its pod, which would be taken for started and never answer: not to the agent that makes the pod, nor to the
// next containerd, which asks every shim before it starts and gives each seconds to answer. So this runs before.
//
// What containerd writes down last of a start is bootstrap.json: without it nothing runs in the pod yet.
func (r *Runtime) killHalfStarted() error {
	return r.killShims(func(id string) bool {
		if id == "" {
			return false // it holds the process ids of a pod, and is no shim
		}
		for _, path := range match(filepath.Join(r.options.State, "io.containerd.*", r.namespace(), id, "bootstrap.json")) {
			if raw, err := os.ReadFile(path); err == nil && json.Valid(raw) {
				return false
			}
		}
		return true
	})
}

// killShims ends the shims of this cluster and node whose id is meant, and their starters, and waits until they are gone.
// What containerd runs to clean up after a shim ends by itself and is left to it.
func (r *Runtime) killShims(meant func(id string) bool) error {
	return endAll("shims", func(args []string) bool {
		return argument(args, "-namespace") == r.namespace() && argument(args, "-address") == socketPath(r.options.State) &&
			args[len(args)-1] != "delete" && meant(argument(args, "-id"))
	})
}

// killRunc ends what a shim ran that was killed in the middle of making a container: it would go on, and a container begin
// after all were ended.
func (r *Runtime) killRunc() error {
	root := filepath.Join(r.runc().Root, r.namespace())
	return endAll("runc", func(args []string) bool { return argument(args, "--root") == root })
}

// endAll kills the processes whose arguments are meant, and waits until they are gone.
func endAll(what string, meant func(args []string) bool) error {
	for range endTries {
		pids, err := pidsOf(meant)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill %s: process %d: %w", what, pid, err)
			}
		}
		// Looked at again: what starts one may have started it meanwhile.
		time.Sleep(removePause)
	}
	return fmt.Errorf("kill %s: some outlive it", what)
}

// pidsOf finds processes by their arguments, which name the cluster and the node; what has ended and was not reaped has
// none.
func pidsOf(meant func(args []string) bool) ([]int, error) {
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, path := range commands {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && meant(args) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// argument is what comes right after a flag.
func argument(args []string, flag string) string {
	i := slices.Index(args, flag)
	if i < 0 || i+1 == len(args) {
		return ""
	}
	return args[i+1]
}
