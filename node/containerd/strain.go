package containerd

import (
	"bytes"
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/node/runtime"
)

// strain reads what a cgroup met of its limits; nothing where it is gone. Both versions of cgroups count, and neither says
// whom it met: that is in the kernel's messages, which are many and are read only when more than known was counted.
func (c cgroups) strain(group, messages string, known int) runtime.Strain {
	kills, forks := "memory.oom_control", "pids.events"
	if c.unified {
		kills = "memory.events"
	}
	memory, err := readCounts(c.file("memory", group, kills))
	if err != nil {
		return runtime.Strain{}
	}
	s := runtime.Strain{Kills: int(memory["oom_kill"])}
	if s.Kills > known {
		s.Starved, s.Machine = starved(messages, group)
	}
	if refused, err := readCounts(c.file("pids", group, forks)); err == nil {
		s.Refused = int(refused["max"])
	}
	if s.Refused > 0 {
		limit, _ := readCount(c.file("pids", group, "pids.max")) // one that is gone meanwhile has ended, and is asked again
		s.PidsLimit = int64(limit)
	}
	return s
}

// Strain reads what a run of a container met of its limits since it began; who was killed only when more than known were.
// It costs two small files, and is asked often.
func (r *Runtime) Strain(podUID, name string, run, known int) runtime.Strain {
	return r.cgroups.strain(r.containerGroup(podUID, name, run), kernelMessages, known)
}

// Strained gives the uids of pods whose containers the kernel just spoke of: it killed a process, or refused a fork. It
// is a hint that comes soon, not the count, which Strain reads: some may be lost, and where nobody may hear the kernel none
// comes.
func (r *Runtime) Strained() <-chan string { return r.strained }

// hearKernel passes hints on until the runtime is closed.
func (r *Runtime) hearKernel() {
	fd, err := unix.Open(kernelMessages, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		r.log.Debug("hear the kernel", "error", err)
		return
	}
	f := os.NewFile(uintptr(fd), kernelMessages) // does not block, so that Close ends a Read
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		r.log.Debug("hear the kernel", "error", err)
	}
	stop := context.AfterFunc(r.life, func() { _ = f.Close() })
	r.running.Go(func() {
		defer stop()
		record := make([]byte, maxRecord)
		for {
			n, err := f.Read(record)
			switch {
			case errors.Is(err, unix.EPIPE):
				continue // what we would have read next was just overwritten
			case err != nil:
				return
			}
			if uid, ok := strainedPod(record[:n], []byte(r.group()+"/pod")); ok {
				select {
				case r.strained <- uid:
				default: // whoever reads is behind, and will look at all by itself
				}
			}
		}
	})
}

// strainedPod is the pod that a message of the kernel is about, if it says that one of its limits was met.
func strainedPod(record, prefix []byte) (string, bool) {
	for _, words := range []string{"oom-kill:", "fork rejected by pids controller in "} {
		_, after, said := bytes.Cut(record, []byte(words))
		if said && words == "oom-kill:" {
			_, after, said = bytes.Cut(after, []byte("task_memcg="))
		}
		if below, ours := bytes.CutPrefix(after, prefix); said && ours {
			uid, _, whole := bytes.Cut(below, []byte("/"))
			return string(uid), whole
		}
	}
	return "", false
}
