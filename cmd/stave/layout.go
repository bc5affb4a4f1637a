package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/claim"
)

// defaultCluster is the cluster that nobody named.
const defaultCluster = "default"

// clusterFlags say which cluster on this machine is meant, and where it lives.
type clusterFlags struct {
	Name    string `help:"Name of the cluster; its context is stave, or stave-NAME." default:"default" placeholder:"NAME"`
	DataDir string `help:"Where the log, images and volumes are kept; /var/lib/stave/NAME when empty." placeholder:"DIR"`
}

// layout is where a cluster keeps its things. A reboot may take run, nothing
// may take data.
type layout struct{ name, data, run string }

// clusterName is what names of links, cgroups and pins can be made of.
var clusterName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$`)

// dataDir is where clusters without a --data-dir keep theirs.
const dataDir = "/var/lib/stave"

func (f clusterFlags) layout() (layout, error) {
	if !clusterName.MatchString(f.Name) {
		return layout{}, fmt.Errorf("--name %q: a cluster's name has 1 to 20 lower-case letters, digits and dashes", f.Name)
	}
	data := f.DataDir
	if data == "" {
		data = filepath.Join(dataDir, f.Name)
	}
	abs, err := filepath.Abs(data)
	if err != nil {
		return layout{}, fmt.Errorf("--data-dir %q: %w", data, err)
	}
	l := layout{f.Name, abs, filepath.Join(runDir, f.Name)}
	return l, l.settle(f.DataDir == "")
}

// settle takes the data directory of the cluster that is on the machine: another
// one's log would know nothing of its containers.
func (l *layout) settle(unnamed bool) error {
	was, ok, err := l.left()
	if err != nil || !ok || was.Data == l.data {
		return err
	}
	if !unnamed {
		return fmt.Errorf("cluster %s is on this machine already, with its data in %s and not in %s\nhelp: leave --data-dir out, or take the other one down first: stave down%s",
			l.name, was.Data, l.data, nameFlag(l.name))
	}
	l.data = was.Data
	return nil
}

func (l layout) log() string         { return filepath.Join(l.data, "log") }
func (l layout) checkpoints() string { return checkpointsIn(l.log()) }
func (l layout) credentials() string { return filepath.Join(l.data, "credentials") }
func (l layout) keys() string        { return filepath.Join(l.data, "keys") }
func (l layout) containers() string  { return filepath.Join(l.data, "containers") }
func (l layout) node() string        { return filepath.Join(l.data, "node") }
func (l layout) output() string      { return filepath.Join(l.data, "stave.log") }

// runDir is what all clusters of this machine share. Their names have no dots.
const runDir = "/run/stave"

// lockFile lies beside run, which goes away while the lock is still needed.
func (l layout) lockFile() string { return l.run + ".lock" }

func (l layout) make() error {
	for _, d := range []string{l.data, l.log(), l.credentials(), l.containers(), l.node(), l.run} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	return nil
}

// errRunning says that a process holds the cluster.
var errRunning = errors.New("cluster is running")

// dyingTime bounds how long the last threads of a process that was killed may
// hold its lock: as long as the kernel needs for what they are in the middle of.
const dyingTime = 20 * time.Second

// lock makes this process the only one that runs the cluster. The kernel lets
// go of it when the process ends, however it ends.
func (l layout) lock() (*os.File, error) {
	for end := time.Now().Add(dyingTime); ; {
		f, err := l.tryLock()
		if errors.Is(err, os.ErrNotExist) {
			continue // the last cluster of the machine took the directory with it
		}
		if errors.Is(err, errRunning) && hasEnded(l.holder()) && time.Now().Before(end) {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if err != nil {
			return nil, err
		}
		if l.holds(f) {
			return f, nil
		}
		_ = f.Close() // `down` removed the file between our opening and locking it
	}
}

// unlock gives the lock up for good, and the directories of all clusters after
// the last one. Those who wait for it see that it is no longer the one to hold.
func (l layout) unlock(f *os.File) error {
	err := errors.Join(os.Remove(l.lockFile()), f.Close())
	for _, shared := range []string{runDir, dataDir} {
		_ = os.Remove(shared) // it stays while there is anything in it
	}
	return err
}

// holds says whether f is still what others would lock.
func (l layout) holds(f *os.File) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(l.lockFile())
	return err == nil && os.SameFile(ours, now)
}

func (l layout) tryLock() (*os.File, error) {
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	f, err := os.OpenFile(l.lockFile(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: pid %d holds %s", errRunning, l.holder(), l.lockFile())
		}
		return nil, fmt.Errorf("lock %s: %w", l.lockFile(), err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write lock: %w", err), f.Close())
	}
	return f, nil
}

// holder is the pid in the lock file; meaningful only while it is locked.
func (l layout) holder() int {
	b, err := os.ReadFile(l.lockFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// hasEnded says whether a process is no more, or nothing but its exit code is left.
func hasEnded(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return pid > 0
	}
	_, after, _ := strings.Cut(string(raw), ") ") // a name may hold spaces
	return strings.HasPrefix(after, "Z")
}

// needRoot says why a verb cannot be run by anybody.
func needRoot(verb string) error { return rootOnly(verb, os.Geteuid()) }

func rootOnly(verb string, uid int) error {
	if uid == 0 {
		return nil
	}
	return fmt.Errorf("stave %s needs root: it makes namespaces, mounts and eBPF programs\nhelp: sudo stave %s", verb, verb)
}

func (l layout) links() string { return filepath.Join(l.node(), "network") }

// pods is the agent's, beside the runtime's own pods/: what lies in there counts as a sandbox.
func (l layout) pods() string { return filepath.Join(l.run, "node") }

// claims are the node's ports, beside those of all clusters of the machine.
func (l layout) claims() claim.Options {
	return claim.Options{Dir: filepath.Dir(l.run), Name: filepath.Base(l.run)}
}
