package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/netdump"
)

// reboot does to the script's cluster what a restart of its machine does: all processes end at once, and all that was in
// memory is gone, mounts, namespaces, links, pins, cgroups and what lies below /run. Its disk stays.
func reboot(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 0 {
		ts.Fatalf("usage: reboot")
	}
	cluster, data := ts.Getenv("CLUSTER"), ts.Getenv("DATA")
	for end := time.Now().Add(time.Minute); len(processes(cluster)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("processes that do not end: %v", processes(cluster))
		}
		for _, id := range processes(cluster) { // what one of them began meanwhile goes next time
			pid, _, _ := strings.Cut(id, "@")
			n, err := strconv.Atoi(pid)
			ts.Check(err)
			if err := syscall.Kill(n, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				ts.Fatalf("kill %d: %v", n, err)
			}
		}
	}
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		// The kernel lets go of what the processes had a moment after them.
		if err = errors.Join(vanish(cluster, data), clean(cluster, data)); err == nil {
			return
		}
	}
	ts.Fatalf("%v", err)
}

// vanish removes what a cluster without processes has on the machine, but for its disk.
func vanish(cluster, data string) error {
	found, err := look(cluster, data)
	for _, at := range slices.Backward(slices.Sorted(slices.Values(slices.Concat(found["mounts"], found["namespaces"])))) { // what lies deeper first
		err = errors.Join(err, unix.Unmount(at, unix.MNT_DETACH))
	}
	for _, at := range slices.Concat(found["pins"], found["files"]) {
		err = errors.Join(err, os.RemoveAll(at))
	}
	for _, at := range found["cgroups"] {
		err = errors.Join(err, removeGroups(at))
	}
	return errors.Join(err, removeLinks(cluster))
}

// removeGroups removes a cgroup with those below it.
func removeGroups(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range slices.Backward(dirs) {
		err = errors.Join(err, os.Remove(dir))
	}
	return err
}

// removeLinks removes the links of a cluster that are still there; most went with their namespaces, at once or soon.
func removeLinks(cluster string) error {
	links, err := netdump.Whole(netlink.LinkList)
	for _, l := range links {
		if !strings.HasPrefix(l.Attrs().Alias, "stave "+cluster+" ") {
			continue
		}
		if gone := netlink.LinkDel(l); gone != nil && !errors.Is(gone, unix.ENODEV) {
			err = errors.Join(err, gone)
		}
	}
	return err
}
