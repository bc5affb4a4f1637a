package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// hostFiles are the node's own, for pods that share them.
type hostFiles struct{ hosts, resolv string }

// resolvedUpstream is where systemd-resolved keeps the real servers: the stub on loopback that /etc/resolv.conf may name
// is not to be reached from a pod.
const resolvedUpstream = "/run/systemd/resolve/resolv.conf"

func readHostFiles() hostFiles {
	var h hostFiles
	if b, err := os.ReadFile("/etc/hosts"); err == nil {
		h.hosts = string(b)
	}
	for _, path := range []string{resolvedUpstream, "/etc/resolv.conf"} {
		if b, err := os.ReadFile(path); err == nil {
			h.resolv = string(b)
			break
		}
	}
	return h
}

func (a *Agent) etcDir(uid events.UID) string { return filepath.Join(a.podDir(uid), "etc") }

// writeEtc writes the files that all containers of a pod share. They are written in place: a bind mount of a file holds
// on to the file, not to its name.
func (w *worker) writeEtc(row *projections.DesiredPod, ip string) error {
	dir := w.a.etcDir(w.uid)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("write pod files: %w", err)
	}
	n, read, _ := w.a.describe()
	pod, host := &row.Pod, read()
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "hosts"), []byte(plan.HostsFile(pod, n, ip, host.hosts)), 0o644),
		os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte(plan.ResolvConf(pod, n, host.resolv)), 0o644),
		os.WriteFile(filepath.Join(dir, "hostname"), []byte(plan.Hostname(pod, n)+"\n"), 0o644),
	)
}

// etcMounts puts the pod's files into a container; where nothing of its root may be written, neither may they.
func (a *Agent) etcMounts(uid events.UID, readOnly bool) []runtime.Mount {
	var out []runtime.Mount
	for _, name := range []string{"hosts", "resolv.conf", "hostname"} {
		out = append(out, runtime.Mount{HostPath: filepath.Join(a.etcDir(uid), name), ContainerPath: "/etc/" + name, ReadOnly: readOnly})
	}
	return out
}
