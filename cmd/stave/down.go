package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/ebpf"
	"github.com/stave-run/stave/dataplane/podnet"
	"github.com/stave-run/stave/node/containerd"
)

// downCmd is `stave down`.
type downCmd struct {
	clusterFlags
	Purge bool `help:"Remove the data too: the log, images and volumes. It cannot be undone."`
}

// Help implements kong's detailed help.
func (downCmd) Help() string {
	return `Examples:
  sudo stave down
  sudo stave down --purge
  sudo stave down --name test`
}

// stopTime bounds how long the cluster's process may take to end by itself.
const stopTime = 20 * time.Second

// Run stops the process if there is one, then takes everything of the cluster
// off the machine, whoever left it there.
func (c *downCmd) Run(ctx context.Context, s *session) error {
	if err := needRoot("down"); err != nil {
		return err
	}
	l, err := c.layout()
	if err != nil {
		return err
	}
	say, _ := progressOf(s)
	broken := fmt.Sprintf("it is not down yet: 'stave down%s' goes on", nameFlag(l.name))
	lock, err := l.takeOver(ctx, say)
	if err != nil {
		return brokenOff(err, broken)
	}
	err = c.remove(ctx, l, say)
	if err := errors.Join(err, l.unlock(lock)); err != nil {
		return brokenOff(err, broken)
	}
	say("cluster %s is down", l.name)
	return dropDoor(s.Kubeconfig, l.name)
}

// remove takes the cluster off the machine. Its data may be gone already, and
// is not made again.
func (c *downCmd) remove(ctx context.Context, l layout, say func(string, ...any)) error {
	traces, _, err := l.left()
	if err != nil {
		return err
	}
	kept, err := exists(l.data)
	if err != nil {
		return err
	}
	if err := errors.Join(removeFleet(ctx, l, say), sweep(ctx, l, traces, say)); err != nil {
		// The footprint is among the first to go, and the next `down` needs it.
		return errors.Join(err, l.leave(traces))
	}
	if kept && !c.Purge {
		return nil
	}
	if kept {
		say("removing %s", l.data)
	}
	if err := os.RemoveAll(l.data); err != nil {
		return fmt.Errorf("remove data: %w", err)
	}
	return l.forgetNetworks()
}

// removeFleet takes the nodes with namespaces of their own off the machine, and
// what joins them.
func removeFleet(ctx context.Context, l layout, say func(string, ...any)) error {
	f, err := l.fleet()
	if err != nil {
		return err
	}
	members, err := l.members(f)
	for _, m := range members {
		if e := takeAway(ctx, m, say); e != nil {
			err = errors.Join(err, fmt.Errorf("remove node %s: %w", m.name, e))
		}
	}
	return errors.Join(err, l.wire(f).Remove())
}

func exists(dir string) (bool, error) {
	_, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// sweep takes everything of a cluster off this machine that a process of it may
// have left: containers, links, programs. One that fails does not keep the
// others.
func sweep(ctx context.Context, l layout, traces footprint, say func(string, ...any)) error {
	say("removing containers")
	err := sweepContainers(ctx, l, traces)
	say("removing links, services and programs")
	if e := podnet.Remove(l.linkOptions(traces)); e != nil {
		err = errors.Join(err, fmt.Errorf("remove links: %w", e))
	}
	if e := ebpf.Remove(ebpf.Options{Cluster: l.name, StateDir: l.run, NetNS: l.ownNetNS()}); e != nil {
		err = errors.Join(err, fmt.Errorf("remove dataplane: %w", e))
	}
	if err = errors.Join(err, unmountBelow(l.run, l.data)); err != nil {
		return err
	}
	if err := os.RemoveAll(l.run); err != nil {
		return fmt.Errorf("remove %s: %w", l.run, err)
	}
	return nil
}

func sweepContainers(ctx context.Context, l layout, traces footprint) error {
	o := l.runtimeOptions(traces)
	o.Log = slog.New(slog.DiscardHandler) // containerd complains of what is half gone, which is why we are here
	if err := containerd.Purge(ctx, o); err != nil {
		return fmt.Errorf("remove containers: %w", err)
	}
	return nil
}

// takeOver ends the process that runs the cluster and takes its lock.
func (l layout) takeOver(ctx context.Context, say func(string, ...any)) (*os.File, error) {
	lock, err := l.lock()
	if !errors.Is(err, errRunning) {
		return lock, err
	}
	pid := l.holder()
	if pid <= 0 {
		return nil, fmt.Errorf("%s names no process: %w", l.lockFile(), err)
	}
	say("stopping process %d", pid)
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(pid, how); err != nil && !errors.Is(err, syscall.ESRCH) {
			return nil, fmt.Errorf("stop process %d: %w", pid, err)
		}
		for end := time.Now().Add(stopTime); time.Now().Before(end) && ctx.Err() == nil; {
			if lock, err = l.lock(); !errors.Is(err, errRunning) {
				return lock, err
			}
			sleep(ctx, 50*time.Millisecond)
		}
	}
	return nil, errors.Join(ctx.Err(), fmt.Errorf("process %d does not end: %w", pid, err))
}

// unmountBelow takes off whatever is still mounted below the directories, the
// deepest and newest first.
func unmountBelow(dirs ...string) error {
	inside, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		for _, d := range dirs {
			if m.Mountpoint == d || strings.HasPrefix(m.Mountpoint, d+"/") {
				return false, false
			}
		}
		return true, false
	})
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for i := len(inside) - 1; i >= 0; i-- {
		if err := unix.Unmount(inside[i].Mountpoint, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", inside[i].Mountpoint, err)
		}
	}
	return nil
}
