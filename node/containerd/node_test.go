package containerd

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stave-run/stave/node/imagetest"
	"github.com/stave-run/stave/node/logfile"
	"github.com/stave-run/stave/node/runtime"
)

// node is a runtime under test with what it takes to run pods on it.
type node struct {
	*Runtime
	t     *testing.T
	exits map[string]runtime.Exit
	heard *sync.Cond
}

const (
	busybox  = "busybox:stable"
	patience = 20 * time.Second
)

// world is what all tests share: a registry, a shim made of this checkout's sources, and one data directory, so that the
// image is pulled once.
var world struct {
	sync.Once
	registry *imagetest.Registry
	shim     string
	root     string
	err      error
}

func TestMain(m *testing.M) {
	if role := os.Getenv(helperEnv); role != "" {
		os.Exit(helper(role))
	}
	if role := os.Getenv(momentEnv); role != "" {
		os.Exit(momentHelper(role))
	}
	code := m.Run()
	if world.registry != nil {
		world.registry.Close()
	}
	if world.root != "" {
		os.RemoveAll(world.root)
	}
	os.Exit(code)
}

func setup() error {
	world.Do(func() {
		if world.root, world.err = os.MkdirTemp("", "stave-runtime-"); world.err != nil {
			return
		}
		world.shim = filepath.Join(world.root, "shim")
		build := exec.Command("go", "build", "-o", world.shim, "../shim/cmd")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			world.err = fmt.Errorf("build shim: %w: %s", err, out)
			return
		}
		world.registry, world.err = imagetest.Serve(context.Background(), "127.0.0.1:0", filepath.Join(world.root, "hosts"), imagetest.DefaultCache())
	})
	return world.err
}

// options are those of a node of this test, with directories and a cgroup of its own.
func options(t testing.TB, name string) Options {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("containers need root")
	}
	if err := setup(); err != nil {
		t.Fatal(err)
	}
	cluster := fmt.Sprintf("t%d%s", os.Getpid(), name)
	o := Options{
		Root:          filepath.Join(world.root, name),
		State:         filepath.Join("/run/stave", cluster),
		Cluster:       cluster,
		RegistryHosts: filepath.Join(world.root, "hosts"),
		Shim:          world.shim,
		Log:           slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	t.Cleanup(func() { os.RemoveAll(o.Root) }) // or the next round of the same test would find it
	t.Cleanup(func() { checkNothingLeft(t, o) })
	return o
}

// testLog hands log lines to a test.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// open starts a node and purges it at the end.
func open(t *testing.T, name string) *node {
	t.Helper()
	n := reopen(t, options(t, name))
	if _, err := n.Pull(t.Context(), busybox, nil, nil); err != nil {
		t.Fatal(err)
	}
	return n
}

// reopen starts a node on what an earlier one left.
func reopen(t *testing.T, o Options) *node {
	t.Helper()
	r, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Runtime: r, t: t, exits: map[string]runtime.Exit{}}
	n.heard = sync.NewCond(&sync.Mutex{})
	go func() {
		for e := range r.Exits() {
			n.heard.L.Lock()
			n.exits[e.ContainerID] = e
			n.heard.Broadcast()
			n.heard.L.Unlock()
		}
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if r.life.Err() != nil {
			return
		}
		if err := r.Purge(ctx); err != nil {
			t.Errorf("purge: %v", err)
		}
	})
	if err := r.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// exit waits for a container's exit.
func (n *node) exit(id string) runtime.Exit {
	n.t.Helper()
	timer := time.AfterFunc(patience, n.heard.Broadcast)
	defer timer.Stop()
	end := time.Now().Add(patience)
	n.heard.L.Lock()
	defer n.heard.L.Unlock()
	for {
		if e, ok := n.exits[id]; ok {
			return e
		}
		if time.Now().After(end) {
			n.t.Fatalf("no exit of %s", id)
		}
		n.heard.Wait()
	}
}

// pod makes a sandbox.
func (n *node) pod(uid string) runtime.Sandbox {
	n.t.Helper()
	box, err := n.EnsureSandbox(n.t.Context(), runtime.SandboxSpec{UID: uid, Namespace: "default", Name: "pod-" + uid, Hostname: "pod-" + uid})
	if err != nil {
		n.t.Fatal(err)
	}
	return box
}

// spec is a container of busybox that runs a shell script.
func (n *node) spec(uid, name, script string) runtime.ContainerSpec {
	return runtime.ContainerSpec{
		PodUID: uid, Namespace: "default", Pod: "pod-" + uid, Name: name, Image: busybox,
		Command: []string{"sh", "-c", script},
		LogPath: logfile.Path(filepath.Join(n.options.Root, "logs"), "default", "pod-"+uid, uid, name, 0),
	}
}

// start creates and starts a container.
func (n *node) start(c runtime.ContainerSpec) string {
	n.t.Helper()
	id, err := n.Create(n.t.Context(), c)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.Start(n.t.Context(), id); err != nil {
		n.t.Fatal(err)
	}
	return id
}

// run starts a container, waits for its end and gives its output as the log has it.
func (n *node) run(c runtime.ContainerSpec) (string, runtime.Exit) {
	n.t.Helper()
	e := n.exit(n.start(c))
	return n.output(c), e
}

// output is what a container's log holds.
func (n *node) output(c runtime.ContainerSpec) string {
	n.t.Helper()
	var out strings.Builder
	err := logfile.Read(n.t.Context(), c.LogPath, logfile.ReadOptions{Tail: -1}, func(l logfile.Line) error {
		out.Write(l.Text)
		if !l.Partial {
			out.WriteByte('\n')
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		n.t.Fatal(err)
	}
	return out.String()
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so within %v: %s", patience, what)
		}
	}
}

// checkNothingLeft looks for what a purged node must not leave: mounts, shims, cgroups, directories.
func checkNothingLeft(t testing.TB, o Options) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, o.State+"/") || strings.Contains(line, o.Root+"/") {
			t.Errorf("mounted: %s", line)
		}
	}
	// containerd's helpers that clean up after a killed shim have the same name, and a moment to live.
	eventually(t, "no shim runs", func() bool { return len(shims(t, o)) == 0 })
	for _, pattern := range []string{"/sys/fs/cgroup/stave-" + o.Cluster, "/sys/fs/cgroup/*/stave-" + o.Cluster, o.State} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// shims are the pids of a node's shims.
func shims(t testing.TB, o Options) []string {
	t.Helper()
	var pids []string
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		raw, err := os.ReadFile(c)
		if err != nil {
			continue
		}
		// A shim that has ended and was not reaped yet has no command line.
		if args := strings.Split(string(raw), "\x00"); len(args) > 2 && strings.Contains(filepath.Base(args[0]), "shim") &&
			bytes.Contains(raw, []byte("stave-"+o.Cluster+"\x00")) {
			pids = append(pids, strings.Split(c, "/")[2])
		}
	}
	return pids
}

// in is the same node in a subtest.
func (n *node) in(t *testing.T) *node {
	return &node{Runtime: n.Runtime, t: t, exits: n.exits, heard: n.heard}
}
