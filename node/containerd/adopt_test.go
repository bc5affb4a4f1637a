package containerd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stave-run/stave/node/logfile"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/node/shim"
)

// helperEnv makes the test binary an agent that is there to be killed; its value are the Options.
const helperEnv = "STAVE_RUNTIME_TEST_AGENT"

// The containers that the helper starts, in pod p1. They wait for the file go in the directory mounted at /host.
const (
	awaitGo      = "until [ -e /host/go ]; do sleep 0.02; done; "
	tickerScript = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done"
	enderScript  = awaitGo + "echo last words; exit 11"
	hungryScript = awaitGo + "exec tail /dev/zero"
)

func helperSpecs(o Options) []runtime.ContainerSpec {
	var specs []runtime.ContainerSpec
	for _, c := range [][2]string{{"ticker", tickerScript}, {"ender", enderScript}, {"hungry", hungryScript}, {"created", "exit 12"}} {
		specs = append(specs, runtime.ContainerSpec{
			PodUID: "p1", Namespace: "default", Pod: "web", Name: c[0], Run: 2, Position: 77, Image: busybox, Command: []string{"sh", "-c", c[1]},
			LogPath:   logfile.Path(filepath.Join(o.Root, "logs"), "default", "web", "p1", c[0], 2),
			Resources: runtime.Resources{MemoryLimit: 32 << 20},
			Mounts:    []runtime.Mount{{HostPath: o.Root, ContainerPath: "/host"}},
			Labels:    map[string]string{"app": "web"},
		})
	}
	return specs
}

// helper is the agent in the other process: it starts the containers and a further process, says so, and waits.
func helper(options string) int {
	var o Options
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		panic(err)
	}
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	r, err := Open(ctx, o)
	fail(err)
	_, err = r.Pull(ctx, busybox, nil, nil)
	fail(err)
	_, err = r.EnsureSandbox(ctx, runtime.SandboxSpec{UID: "p1", Namespace: "default", Name: "web", Hostname: "web", Labels: map[string]string{"app": "web"}})
	fail(err)
	for _, c := range helperSpecs(o) {
		id, err := r.Create(ctx, c)
		fail(err)
		if c.Name == "created" {
			continue
		}
		pid, err := r.Start(ctx, id)
		fail(err)
		fmt.Println(c.Name, pid)
	}
	go r.Exec(ctx, runtime.ContainerID("p1", "ticker", 2), runtime.ExecSpec{Command: []string{"sh", "-c", "touch /host/exec; exec sleep 7654"}}, runtime.Streams{Stdout: io.Discard})
	for {
		if _, err := os.Stat(filepath.Join(o.Root, "exec")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("ready", 0)
	select {}
}

// startHelper starts an agent in a process of its own and returns what kills it, and the pids of its containers.
func startHelper(t *testing.T, o Options) (kill func(), pids map[string]int) {
	t.Helper()
	plain := o
	plain.Log = nil
	raw, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+string(raw))
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			cmd.Process.Signal(syscall.SIGKILL)
			cmd.Wait()
		}
	}
	t.Cleanup(kill)
	pids = map[string]int{}
	for s := bufio.NewScanner(out); s.Scan(); {
		name, pid, _ := strings.Cut(s.Text(), " ")
		if name == "ready" {
			return kill, pids
		}
		pids[name], _ = strconv.Atoi(pid)
	}
	t.Fatalf("the helper ended: %s", words.String())
	return nil, nil
}

// alive says whether a process runs; one that nobody has waited for yet does not.
func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(raw), ") Z ")
}

func (n *node) find(name string) runtime.ContainerState {
	n.t.Helper()
	states, err := n.List(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	for _, s := range states {
		if s.Name == name {
			return s
		}
	}
	n.t.Fatalf("no container %s among %d", name, len(states))
	return runtime.ContainerState{}
}

// TestAdopt kills an agent, lets containers end while there is none, and sees that the next one knows it all.
func TestAdopt(t *testing.T) {
	o := options(t, "adopt")
	kill, pids := startHelper(t, o)
	kill()
	if err := os.WriteFile(filepath.Join(o.Root, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two containers have ended", func() bool { return !alive(pids["ender"]) && !alive(pids["hungry"]) })
	ended := time.Now()
	time.Sleep(200 * time.Millisecond)

	n := reopen(t, o)
	if s := n.find("ticker"); s.Status != runtime.StatusRunning || s.Pid != pids["ticker"] || s.Run != 2 || s.Position != 77 || s.Labels["app"] != "web" || s.Pod != "web" {
		t.Errorf("%+v", s)
	}
	if s := n.find("created"); s.Status != runtime.StatusCreated {
		t.Errorf("%+v", s)
	}
	checkEnds(n, ended)
	boxes, err := n.ListSandboxes(t.Context())
	if err != nil || len(boxes) != 1 || !boxes[0].Ready || boxes[0].Name != "web" || boxes[0].Labels["app"] != "web" || boxes[0].NetNSPath == "" {
		t.Errorf("%+v, %v", boxes, err)
	}
	if box := n.pod("p1"); box.Created {
		t.Error("the sandbox was made anew")
	}
	if _, err := n.Start(t.Context(), runtime.ContainerID("p1", "created", 2)); err != nil {
		t.Error(err)
	}
	if exit := n.exit(runtime.ContainerID("p1", "created", 2)); exit.Code != 12 {
		t.Errorf("%+v", exit)
	}
	var out bytes.Buffer
	if _, err := n.Exec(t.Context(), runtime.ContainerID("p1", "ticker", 2), runtime.ExecSpec{Command: []string{"ps"}}, runtime.Streams{Stdout: &out}); err != nil || strings.Contains(out.String(), "7654") {
		t.Errorf("the lost client's process lives: %v, %s", err, out.String())
	}

	// The agent ends properly and comes back, twice: everything again, from the same process.
	for range 2 {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		n = reopen(t, o)
		if s := n.find("ticker"); s.Status != runtime.StatusRunning || s.Pid != pids["ticker"] {
			t.Errorf("%+v", s)
		}
		checkEnds(n, ended)
	}
	checkTicks(n)
	if got := len(shims(t, o)); got != 1 {
		t.Errorf("%d shims", got)
	}
	if err := n.Stop(t.Context(), runtime.ContainerID("p1", "ticker", 2), 0, 0); err != nil {
		t.Fatal(err)
	}
	if exit := n.exit(runtime.ContainerID("p1", "ticker", 2)); exit.Code != 137 || exit.Lost {
		t.Errorf("%+v", exit)
	}
}

// checkEnds looks for the exits that nobody watched.
func checkEnds(n *node, before time.Time) {
	n.t.Helper()
	if exit := n.exit(runtime.ContainerID("p1", "ender", 2)); exit.Code != 11 || exit.Lost || exit.Strain.Kills > 0 || exit.Run != 2 || exit.Name != "ender" || exit.PodUID != "p1" || exit.At.After(before) {
		n.t.Errorf("%+v", exit)
	}
	if out := n.output(helperSpecs(n.options)[1]); !strings.HasSuffix(out, "last words\n") {
		n.t.Errorf("%q", out)
	}
	if exit := n.exit(runtime.ContainerID("p1", "hungry", 2)); exit.Code != 137 || exit.Strain.Kills == 0 || exit.Lost {
		n.t.Errorf("%+v", exit)
	}
}

// checkTicks sees that the ticker's log has every number once, through all the agents that read it.
func checkTicks(n *node) {
	n.t.Helper()
	before := len(strings.Fields(n.output(helperSpecs(n.options)[0])))
	eventually(n.t, "it ticks on", func() bool { return len(strings.Fields(n.output(helperSpecs(n.options)[0]))) > before+5 })
	for i, f := range strings.Fields(n.output(helperSpecs(n.options)[0])) {
		if f != strconv.Itoa(i) {
			n.t.Fatalf("tick %d is %q", i, f)
		}
	}
}

// TestShimKilled: the pod's shim dies, first under an agent's eyes, then while there is none.
func TestShimKilled(t *testing.T) {
	o := options(t, "killed")
	n := reopen(t, o)
	if _, err := n.Pull(t.Context(), busybox, nil, nil); err != nil {
		t.Fatal(err)
	}
	n.pod("p1")
	running := n.start(n.spec("p1", "running", "sleep 1000"))
	killShims(t, o)
	if exit := n.exit(running); !exit.Lost || exit.Code != 137 {
		t.Errorf("%+v", exit)
	}
	if s := n.find("running"); s.Status != runtime.StatusExited || !s.Exit.Lost {
		t.Errorf("%+v", s)
	}
	// The pod gets a new shim and keeps its namespaces.
	if box := n.pod("p1"); box.Created {
		t.Error("the namespaces were made anew")
	}
	ended := n.start(n.spec("p1", "ended", "exit 13"))
	n.exit(ended)
	second := n.start(n.spec("p1", "second", "sleep 1000"))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	killShims(t, o)
	n = reopen(t, o)
	if exit := n.exit(ended); exit.Code != 13 || exit.Lost {
		t.Errorf("%+v", exit)
	}
	if exit := n.exit(second); !exit.Lost {
		t.Errorf("%+v", exit)
	}
	if boxes, err := n.ListSandboxes(t.Context()); err != nil || len(boxes) != 1 || boxes[0].Ready {
		t.Errorf("%+v, %v", boxes, err)
	}
	if err := n.RemoveSandbox(t.Context(), "p1"); err != nil {
		t.Error(err)
	}
	if err := n.RemoveSandbox(t.Context(), "p1"); err != nil {
		t.Errorf("removing it again: %v", err)
	}
	if left, err := n.List(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
}

// TestExitRecordOfDeadShim: a container ended and then its shim was killed, both before any agent heard of it.
func TestExitRecordOfDeadShim(t *testing.T) {
	o := options(t, "dead")
	kill, pids := startHelper(t, o)
	kill()
	if err := os.WriteFile(filepath.Join(o.Root, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ender", "hungry"} {
		record := filepath.Join(o.State, "io.containerd.runtime.v2.task", "stave-"+o.Cluster, runtime.ContainerID("p1", name, 2), "exit.json")
		eventually(t, "the shim has recorded an exit", func() bool { _, err := os.Stat(record); return err == nil })
	}
	killShims(t, o)
	n := reopen(t, o)
	if exit := n.exit(runtime.ContainerID("p1", "ender", 2)); exit.Code != 11 || exit.Lost || exit.Name != "ender" {
		t.Errorf("%+v", exit)
	}
	if exit := n.exit(runtime.ContainerID("p1", "hungry", 2)); exit.Code != 137 || exit.Lost || exit.Strain.Kills == 0 {
		t.Errorf("%+v", exit)
	}
	if exit := n.exit(runtime.ContainerID("p1", "ticker", 2)); !exit.Lost {
		t.Errorf("%+v", exit)
	}
	if alive(pids["ticker"]) {
		t.Error("a container outlived its shim")
	}
	if s := n.find("created"); s.Status != runtime.StatusCreated {
		t.Errorf("%+v", s)
	}
}

// TestReboot: everything below State, every process and every mount is gone; the data directory is not.
func TestReboot(t *testing.T) {
	o := options(t, "reboot")
	kill, pids := startHelper(t, o)
	kill()
	killShims(t, o)
	for name, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(name, err)
		}
	}
	if err := removeMounted(o.State); err != nil {
		t.Fatal(err)
	}
	n := reopen(t, o)
	for _, c := range helperSpecs(o) {
		if exit := n.exit(runtime.ContainerID("p1", c.Name, 2)); !exit.Lost || exit.Name != c.Name {
			t.Errorf("%+v", exit)
		}
	}
	if box := n.pod("p1"); !box.Created || box.NetNSPath == "" {
		t.Errorf("%+v", box)
	}
	if out, exit := n.run(n.spec("p1", "again", "echo up")); out != "up\n" || exit.Code != 0 {
		t.Errorf("%q, %+v", out, exit)
	}
}

// TestLostDatabase: somebody removed the data directory under a running pod. Purge finds what runs nevertheless.
func TestLostDatabase(t *testing.T) {
	o := options(t, "database")
	kill, pids := startHelper(t, o)
	kill()
	if err := os.RemoveAll(filepath.Join(o.Root, "containerd", "io.containerd.metadata.v1.bolt")); err != nil {
		t.Fatal(err)
	}
	n := reopen(t, o)
	if boxes, err := n.ListSandboxes(t.Context()); err != nil || len(boxes) != 1 || boxes[0].UID != "p1" || boxes[0].Ready {
		t.Errorf("%+v, %v", boxes, err)
	}
	if err := n.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, pid := range pids {
		// One that is past leaving its cgroup has still a moment to go.
		eventually(t, name+" has ended", func() bool { return !alive(pid) })
	}
}

func killShims(t *testing.T, o Options) {
	t.Helper()
	pids := shims(t, o)
	if len(pids) != 1 {
		t.Fatalf("shims: %v", pids)
	}
	pid, _ := strconv.Atoi(pids[0])
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shim is dead", func() bool { return !alive(pid) })
}

// TestOutside uses a containerd that another runtime embeds; purging the one leaves the other's containers.
func TestOutside(t *testing.T) {
	host := open(t, "host")
	host.pod("p1")
	kept := host.start(host.spec("p1", "kept", "sleep 1000"))
	o := options(t, "guest")
	o.ContainerdAddress = socketPath(host.options.State)
	guest := reopen(t, o)
	if _, err := guest.Pull(t.Context(), busybox, nil, nil); err != nil {
		t.Fatal(err)
	}
	guest.pod("p1")
	out, exit := guest.run(guest.spec("p1", "hello", "echo hello; exit 3"))
	if out != "hello\n" || exit.Code != 3 {
		t.Errorf("%q, %+v", out, exit)
	}
	if states, err := guest.List(t.Context()); err != nil || len(states) != 1 {
		t.Errorf("%+v, %v", states, err)
	}
	if err := guest.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := host.find("kept"); s.ID != kept || s.Status != runtime.StatusRunning {
		t.Errorf("%+v", s)
	}
}

// TestTwoNodes: two nodes in one process, with pods of the same name, know nothing of each other. One of them uses the shim
// embedded here, if it was built.
func TestTwoNodes(t *testing.T) {
	a, o := open(t, "one"), options(t, "two")
	if _, err := shim.Unpack(t.TempDir()); err == nil {
		o.Shim = ""
	}
	b := reopen(t, o)
	if _, err := b.Pull(t.Context(), busybox, nil, nil); err != nil {
		t.Fatal(err)
	}
	a.pod("p1")
	b.pod("p1")
	kept := b.start(b.spec("p1", "kept", "sleep 1000"))
	if _, exit := a.run(a.spec("p1", "kept", "exit 4")); exit.Code != 4 {
		t.Errorf("%+v", exit)
	}
	if err := a.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := b.find("kept"); s.ID != kept || s.Status != runtime.StatusRunning {
		t.Errorf("%+v", s)
	}
}

// TestManyPods starts pods at the same time: one shim each, none left over.
func TestManyPods(t *testing.T) {
	n := open(t, "many")
	const pods, each = 6, 3
	done := make(chan error, pods*each)
	for p := range pods {
		uid := fmt.Sprintf("p%d", p)
		for c := range each {
			go func() {
				_, err := n.EnsureSandbox(t.Context(), runtime.SandboxSpec{UID: uid, Namespace: "default", Name: uid, Hostname: uid})
				if err == nil {
					var id string
					if id, err = n.Create(t.Context(), n.spec(uid, fmt.Sprintf("c%d", c), "sleep 1000")); err == nil {
						_, err = n.Start(t.Context(), id)
					}
				}
				done <- err
			}()
		}
	}
	for range pods * each {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := len(shims(t, n.options)); got != pods {
		t.Errorf("%d shims for %d pods", got, pods)
	}
	states, err := n.List(t.Context())
	if err != nil || len(states) != pods*each {
		t.Errorf("%d containers, %v", len(states), err)
	}
	for _, s := range states {
		if s.Status != runtime.StatusRunning {
			t.Errorf("%+v", s)
		}
	}
}
