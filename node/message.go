package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// Kubernetes' bounds of what a container says when it ends.
const (
	maxMessage      = 4096 // bytes of the file
	maxLogMessage   = 2048 // bytes of the log in its stead
	messageLogLines = 80
)

// messagePath is the file of this machine that a run finds at its terminationMessagePath.
func (a *Agent) messagePath(row *projections.DesiredPod, container string, run int) string {
	return filepath.Join(a.podDir(row.UID), "messages", container+"."+strconv.Itoa(run))
}

// withMessage adds the file in which a run can say why it ends. A volume at the same place wins.
func (a *Agent) withMessage(row *projections.DesiredPod, c *corev1.Container, op plan.Start, mounts []runtime.Mount) ([]runtime.Mount, error) {
	inside := c.TerminationMessagePath
	if inside == "" || slices.ContainsFunc(mounts, func(m runtime.Mount) bool { return filepath.Clean(m.ContainerPath) == filepath.Clean(inside) }) {
		return mounts, nil
	}
	path := a.messagePath(row, op.Container, op.Run)
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, fmt.Errorf("make termination message: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, fmt.Errorf("make termination message: %w", err)
	}
	if err := errors.Join(f.Chmod(0o666), f.Close()); err != nil { // whoever the container runs as writes to it
		return nil, fmt.Errorf("make termination message: %w", err)
	}
	return append(mounts, runtime.Mount{HostPath: path, ContainerPath: inside}), nil
}

// message is what a run that ended left to say; empty when it said nothing.
func (a *Agent) message(row *projections.DesiredPod, f events.Fact) string {
	c := containerOf(row, f.Container)
	if c == nil {
		return ""
	}
	said := strings.ToValidUTF8(string(lastBytes(a.messagePath(row, f.Container, f.Run), maxMessage)), "")
	if said == "" && f.Code != 0 && c.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError {
		return lastWords(a.logPath(row, f.Container, f.Run), messageLogLines, maxLogMessage)
	}
	return said
}

// lastBytes is the end of a file; one that cannot be read says nothing.
func lastBytes(path string, most int64) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	b := make([]byte, min(fi.Size(), most))
	n, _ := f.ReadAt(b, fi.Size()-int64(len(b))) // what it could not read was cut off meanwhile
	return b[:n]
}
