package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// upCmd is `stave up`.
type upCmd struct {
	clusterFlags
	kubeFlags
	boundFlags
	Detach            bool          `short:"d" help:"Return when the cluster is ready; it runs on in the background."`
	RegistryHosts     string        `help:"Directory of registry mirrors in containerd's certs.d layout." default:"/etc/containerd/certs.d" placeholder:"DIR"`
	ContainerdAddress string        `help:"Socket of a containerd to use; the embedded one when empty." placeholder:"SOCKET"`
	NodeName          string        `help:"Name of this machine's node; its host name when empty." placeholder:"NAME"`
	Nodes             int           `help:"Make this many nodes on this machine, each in a network namespace of its own, with its part of the memory; this machine itself is the one node when 0." placeholder:"N"`
	Hollow            int           `help:"Pretend this many further nodes, which run nothing: for tests of scale. As many as before when 0." placeholder:"N"`
	Pretend           hollowFlags   `embed:"" prefix:"hollow-"`
	NodeGrace         time.Duration `name:"node-monitor-grace-period" help:"How long a node may be silent before it counts as lost." default:"40s"`
	KeepHistory       span          `help:"How far back the past can be told; what is older is cut off when it fills a segment of the log. For ever when 0." default:"0" placeholder:"TIME"`
	UndoWindow        time.Duration `help:"How long a deleted Secret can be brought back; after that its key is destroyed." default:"720h"`
	Listen            string        `help:"Loopback address that the server listens on; port 0 picks a free one and keeps it." default:"127.0.0.1:0" placeholder:"ADDRESS"`
	PodCIDR           string        `help:"Network of the pods; a free one when empty. Only at the first start." placeholder:"CIDR"`
	ServiceCIDR       string        `help:"Network of the services; a free one when empty. Only at the first start." placeholder:"CIDR"`
}

// Help implements kong's detailed help.
func (upCmd) Help() string {
	return `Examples:
  sudo stave up
  sudo stave up --detach
  sudo stave up --detach --nodes=3
  sudo stave up --name test --data-dir /tmp/test --detach`
}

// startTime bounds how long a cluster may take to become ready.
const startTime = 2 * time.Minute

// Run starts the cluster here, or in a process of its own.
func (c *upCmd) Run(ctx context.Context, s *session) error {
	if err := needRoot("up"); err != nil {
		return err
	}
	s.out = s.plainOut() // a cluster does not end because nobody can read what it says
	if err := needRunc(); err != nil {
		return err
	}
	l, err := c.layout()
	if err != nil {
		return err
	}
	if err := l.make(); err != nil {
		return err
	}
	if c.Nodes < 0 || c.Hollow < 0 || c.NodeGrace <= 0 || c.UndoWindow < 0 {
		return errors.New("--nodes, --hollow, --node-monitor-grace-period and --undo-window cannot be negative")
	}
	if err := errors.Join(c.Pretend.check(), c.boundFlags.check()); err != nil {
		return err
	}
	if c.Detach {
		return c.detach(ctx, s, l)
	}
	return c.foreground(ctx, s, l)
}

// needRunc says what is missing before a cluster starts that could run nothing.
func needRunc() error {
	if _, err := exec.LookPath("runc"); err != nil {
		return errors.New("runc is not on PATH: it is the one program that is not inside stave\nhelp: apt-get install runc")
	}
	return nil
}

// foreground runs the cluster until Ctrl-C; containers run on after it.
func (c *upCmd) foreground(ctx context.Context, s *session, l layout) error {
	say, done := progressOf(s)
	cl, err := start(ctx, l, c, s.Kubeconfig, say)
	if err != nil {
		return brokenOff(err, startBroken(l.name))
	}
	say("ready: context %s, %s", contextName(l.name), cl.server.Address())
	done()
	fmt.Fprintf(s.out, "Containers run on when this ends; 'stave down%s' stops them.\n", nameFlag(l.name))
	select {
	case <-ctx.Done():
		say("stopping")
	case err = <-cl.failed:
	}
	return errors.Join(err, cl.stop())
}

// startBroken is what somebody should know who broke a start off.
func startBroken(name string) string {
	return fmt.Sprintf("the cluster did not start; 'stave up%[1]s' goes on, 'stave down%[1]s' removes what is left of it", nameFlag(name))
}

func nameFlag(name string) string {
	if name == defaultCluster {
		return ""
	}
	return " --name " + name
}

// progressFD is the pipe on which a detached cluster tells its parent how far
// it is; its last line is readyLine.
const (
	progressFD  = 3
	progressEnv = "STAVE_PROGRESS_FD"
	readyLine   = "ready"
)

// progressOf is how a starting cluster tells where it is: to its parent when it
// has one, else to the terminal.
func progressOf(s *session) (say func(string, ...any), ready func()) {
	began := time.Now()
	if os.Getenv(progressEnv) == "" {
		return func(f string, a ...any) {
			fmt.Fprintf(s.out, "%6.2fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(f, a...))
		}, func() {}
	}
	pipe := os.NewFile(progressFD, "progress")
	return func(f string, a ...any) {
			line := fmt.Sprintf("%6.2fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(f, a...))
			_, _ = pipe.WriteString(line) // a parent that is gone need not know
		}, func() {
			_, _ = pipe.WriteString(readyLine + "\n")
			_ = pipe.Close()
		}
}

// detach starts the cluster in a session of its own and shows its progress
// until it is ready.
func (c *upCmd) detach(ctx context.Context, s *session, l layout) error {
	if err := notRunning(l); err != nil {
		return err
	}
	before, err := os.Stat(l.output())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look at log file: %w", err)
	}
	child, pipe, err := c.spawn(s, l)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = child.Process.Signal(syscall.SIGTERM) })
	defer stop()
	overdue := time.AfterFunc(startTime, func() { _ = child.Process.Signal(syscall.SIGTERM) })
	defer overdue.Stop()
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		if lines.Text() == readyLine {
			return child.Process.Release()
		}
		fmt.Fprintln(s.out, lines.Text())
	}
	err = child.Wait()
	if ctx.Err() != nil {
		return brokenOff(ctx.Err(), startBroken(l.name))
	}
	said := int64(0)
	if before != nil {
		said = before.Size()
	}
	help := "the whole story is in " + l.output()
	if fullDisk(l.data) {
		help = "the disk of " + l.data + " is full, also for what the cluster would say: make room there, and start it again"
	}
	return helped{fmt.Errorf("the cluster did not start: %w\n%s", orEnded(err), lastLines(l.output(), said, 5)), help}
}

// fullDisk tells whether a disk takes no file any more.
func fullDisk(dir string) bool {
	var s unix.Statfs_t
	return unix.Statfs(dir, &s) == nil && int64(s.Bavail)*s.Bsize < fullBelow
}

// fullBelow is less than a start writes, in bytes.
const fullBelow = 1 << 20

// notRunning looks before a process is started whose whole story would have to
// be searched for the reason.
func notRunning(l layout) error {
	lock, err := l.lock()
	if errors.Is(err, errRunning) {
		return helped{err, "'stave cluster-info' shows where it answers, 'stave down" + nameFlag(l.name) + "' stops it"}
	}
	if err != nil {
		return err
	}
	return l.unlock(lock)
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("its process ended")
	}
	return err
}

func (c *upCmd) spawn(s *session, l layout) (*exec.Cmd, *os.File, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("find this program: %w", err)
	}
	out, err := os.OpenFile(l.output(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open log file: %w", err)
	}
	defer out.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	defer w.Close()
	child := exec.Command(self, c.args(s)...)
	child.Args[0] = "stave"
	child.Stdout, child.Stderr, child.ExtraFiles = out, out, []*os.File{w}
	child.Env = append(os.Environ(), progressEnv+"=3")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		_ = r.Close()
		return nil, nil, fmt.Errorf("start the cluster's process: %w", err)
	}
	return child, r, nil
}

// args are the flags again, without --detach.
func (c *upCmd) args(s *session) []string {
	args := append([]string{"up"}, c.kubeFlags.args()...)
	for _, f := range []struct{ flag, value string }{
		{"--name", c.Name}, {"--data-dir", c.DataDir}, {"--registry-hosts", c.RegistryHosts}, {"--containerd-address", c.ContainerdAddress},
		{"--node-name", c.NodeName}, {"--listen", c.Listen}, {"--pod-cidr", c.PodCIDR}, {"--service-cidr", c.ServiceCIDR}, {"--kubeconfig", s.Kubeconfig},
		{"--nodes", strconv.Itoa(c.Nodes)}, {"--node-monitor-grace-period", c.NodeGrace.String()}, {"--keep-history", time.Duration(c.KeepHistory).String()}, {"--undo-window", c.UndoWindow.String()},
		{"--hollow", strconv.Itoa(c.Hollow)},
	} {
		if f.value != "" {
			args = append(args, f.flag+"="+f.value)
		}
	}
	return append(append(args, c.Pretend.args()...), c.boundFlags.args()...)
}

// lastLines are the last lines of a file behind what it had before.
func lastLines(path string, before int64, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	b = b[min(before, int64(len(b))):]
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
