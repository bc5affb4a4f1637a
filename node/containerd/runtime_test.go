package containerd

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stave-run/stave/node/runtime"
)

// TestContainers runs the ordinary and the less ordinary lives of containers on one node.
func TestContainers(t *testing.T) {
	n := open(t, "a")
	n.pod("p1")
	for _, c := range []struct {
		name string
		test func(*node)
	}{
		{"output and code", testOutput},
		{"failed start", testFailedStart},
		{"spec", testSpec},
		{"security", testSecurity},
		{"create errors", testCreateErrors},
		{"memory", testMemory},
		{"limits met", testStrain},
		{"stop", testStop},
		{"stats and update", testStats},
		{"exec", testExec},
		{"exec with a slow client", testExecSlowClient},
		{"exec with terminal", testExecTTY},
		{"attach", testAttach},
		{"attach and leave", testAttachLeaves},
		{"attach and say all", testAttachSaysAllItHas},
		{"attach with terminal", testAttachTTY},
		{"shared pod", testShared},
		{"last words", testLastWords},
		{"host network", testHostNetwork},
		{"beside", testBeside},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(n.in(t)) })
	}
	if got := len(shims(t, n.options)); got != 1 {
		t.Errorf("%d shims for one pod", got)
	}
}

func testOutput(n *node) {
	out, exit := n.run(n.spec("p1", "hello", "echo out; echo err >&2; hostname; printf unfinished; exit 7"))
	if exit.Code != 7 || exit.Signal != 0 || exit.Strain.Kills > 0 || exit.Lost || exit.PodUID != "p1" || exit.Name != "hello" || time.Since(exit.At) > time.Minute {
		n.t.Errorf("%+v", exit)
	}
	for _, want := range []string{"out\n", "err\n", "pod-p1\n", "unfinished"} {
		if !strings.Contains(out, want) {
			n.t.Errorf("%q lacks %q", out, want)
		}
	}
	states, err := n.List(n.t.Context())
	if err != nil || len(states) != 1 {
		n.t.Fatal(states, err)
	}
	s := states[0]
	if s.Status != runtime.StatusExited || s.Exit == nil || s.Exit.Code != 7 || s.Name != "hello" || s.Pod != "pod-p1" || s.StartedAt.IsZero() {
		n.t.Errorf("%+v, %+v", s, s.Exit)
	}
	// A second call of each is a call after a crash: it finds its work done.
	if id, err := n.Create(n.t.Context(), n.spec("p1", "hello", "")); err != nil || id != s.ID {
		n.t.Error(id, err)
	}
	for range 2 {
		if err := n.Remove(n.t.Context(), s.ID); err != nil {
			n.t.Error(err)
		}
	}
	if states, err = n.List(n.t.Context()); err != nil || len(states) != 0 {
		n.t.Error(states, err)
	}
}

func testFailedStart(n *node) {
	for _, c := range []struct {
		command string
		reason  runtime.StartReason
		words   string
	}{
		{"no-such-program", runtime.StartNotFound, `exec: "no-such-program": executable file not found in $PATH`},
		{"/no/such/file", runtime.StartNotFound, `exec: "/no/such/file": stat /no/such/file: no such file or directory`},
		{"/etc/passwd", runtime.StartDenied, `exec: "/etc/passwd": permission denied`},
	} {
		spec := n.spec("p1", "unstartable", "")
		spec.Command = []string{c.command}
		id, err := n.Create(n.t.Context(), spec)
		if err != nil {
			n.t.Fatal(err)
		}
		_, err = n.Start(n.t.Context(), id)
		var start *runtime.StartError
		if !errors.As(err, &start) || start.Reason != c.reason || !strings.Contains(start.Message, c.words) || strings.HasSuffix(start.Message, "unknown") {
			n.t.Errorf("%s: %v", c.command, err)
		}
		if states, err := n.List(n.t.Context()); err != nil || len(states) != 1 || states[0].Status != runtime.StatusCreated {
			n.t.Errorf("%+v, %v", states, err)
		}
		if err := n.Remove(n.t.Context(), id); err != nil {
			n.t.Error(err)
		}
	}
}

func testSpec(n *node) {
	dir := n.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("value\n"), 0o644); err != nil {
		n.t.Fatal(err)
	}
	c := n.spec("p1", "spec", `echo $A $B $0 $1; pwd; cat /etc/config/key; touch /etc/config/x 2>&1; df -k /scratch | tail -1; echo kept > /data/f; ulimit -n; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null`)
	c.Args = []string{"zero", "one"}
	c.Env = []string{"A=1", "B=two"}
	c.WorkingDir = "/tmp/made/here"
	c.Resources.MemoryLimit = 64 << 20
	c.Mounts = []runtime.Mount{
		{HostPath: dir, ContainerPath: "/etc/config", ReadOnly: true},
		{HostPath: dir, ContainerPath: "/data"},
		{ContainerPath: "/scratch", Size: 1 << 20},
	}
	out, exit := n.run(c)
	for _, want := range []string{"1 two zero one\n", "/tmp/made/here\n", "value\n", "Read-only file system", "1024", "67108864"} {
		if !strings.Contains(out, want) {
			n.t.Errorf("%q lacks %q (%+v)", out, want, exit)
		}
	}
	if kept, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(kept) != "kept\n" {
		n.t.Errorf("%q, %v", kept, err)
	}
}

func testSecurity(n *node) {
	script := "id; grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status; touch /x 2>&1; head -c1 /proc/kcore | wc -c"
	uid, gid := int64(1000), int64(2000)
	for _, c := range []struct {
		name string
		sec  runtime.Security
		want []string
	}{
		{"default", runtime.Security{}, []string{"uid=0", "CapEff:\t00000000a80425fb", "Seccomp:\t2", "NoNewPrivs:\t0", "\n0\n"}},
		{"restricted", runtime.Security{User: &uid, Group: &gid, ExtraGroups: []int64{33}, NonRoot: true, DropCapabilities: []string{"ALL"}, ReadOnlyRoot: true, NoNewPrivileges: true},
			[]string{"uid=1000", "gid=2000", "33", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Read-only file system"}},
		{"one-capability", runtime.Security{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"}}, []string{"CapEff:\t0000000000000400"}},
		{"unconfined", runtime.Security{SeccompUnconfined: true}, []string{"Seccomp:\t0"}},
		{"privileged", runtime.Security{Privileged: true}, []string{"Seccomp:\t0", "CapEff:\t000001ff"}},
	} {
		spec := n.spec("p1", c.name, script)
		spec.Security = c.sec
		out, _ := n.run(spec)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				n.t.Errorf("%s: %q lacks %q", c.name, out, want)
			}
		}
	}
}

func testCreateErrors(n *node) {
	missing := n.spec("p1", "missing", "")
	missing.Image = "no-such-image"
	root := n.spec("p1", "root", "")
	root.Security.NonRoot = true
	homeless := n.spec("no-such-pod", "homeless", "")
	for _, c := range []struct {
		spec   runtime.ContainerSpec
		reason string
	}{{missing, runtime.CreateImageMissing}, {root, runtime.CreateConfig}, {homeless, runtime.CreateFailed}} {
		id, err := n.Create(n.t.Context(), c.spec)
		var create *runtime.CreateError
		if !errors.As(err, &create) || create.Reason != c.reason {
			n.t.Errorf("%s: %v, %v", c.spec.Name, id, err)
		}
		if _, err := os.Stat(n.runDir(runtime.ContainerID(c.spec.PodUID, c.spec.Name, 0))); err == nil {
			n.t.Errorf("%s left its directory", c.spec.Name)
		}
	}
}

func testMemory(n *node) {
	first := n.spec("p1", "hungry", "exec tail /dev/zero")
	first.Resources.MemoryLimit = 16 << 20
	_, exit := n.run(first)
	if exit.Strain.Kills < 1 || exit.Code != 137 || exit.Signal != 9 {
		n.t.Errorf("%+v", exit)
	}
	// A process below the first one: the container lives on, and its end tells nevertheless.
	child := n.spec("p1", "hungry-child", "tail /dev/zero; echo survived; exit 3")
	child.Resources.MemoryLimit = 16 << 20
	out, exit := n.run(child)
	if exit.Strain.Kills == 0 || exit.Code != 3 || !strings.Contains(out, "survived") {
		n.t.Errorf("%+v %q", exit, out)
	}
}

// testStrain lets a container meet two of its limits and go on: the kernel's hint comes, the counts are read, and they are
// still there at its end.
func testStrain(n *node) {
	c := n.spec("p1", "strained", "tail /dev/zero; (for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done) 2>/dev/null; echo met; exec sleep 1000")
	c.Resources.MemoryLimit, c.Resources.PidsLimit = 16<<20, 8
	for len(n.Strained()) > 0 {
		<-n.Strained() // of those before
	}
	id := n.start(c)
	var got runtime.Strain
	eventually(n.t, "both limits are met", func() bool { got = n.Strain("p1", c.Name, 0, 0); return got.Kills > 0 && got.Refused > 0 })
	if got.PidsLimit != 8 {
		n.t.Errorf("%+v", got)
	}
	if f, err := os.Open(kernelMessages); err == nil { // who may not hear the kernel has the counts alone
		_ = f.Close()
		if !strings.HasPrefix(got.Starved, "tail (pid ") || got.Machine {
			n.t.Errorf("%+v", got)
		}
		select {
		case uid := <-n.Strained():
			if uid != "p1" {
				n.t.Errorf("a hint of %q", uid)
			}
		case <-time.After(patience):
			n.t.Error("no hint came")
		}
	}
	if again := n.Strain("p1", c.Name, 0, got.Kills); again.Kills < got.Kills || again.Kills == got.Kills && again.Starved != "" {
		n.t.Errorf("asked again: %+v", again)
	}
	if err := n.Stop(n.t.Context(), id, 0, syscall.SIGKILL); err != nil {
		n.t.Fatal(err)
	}
	if exit := n.exit(id); exit.Strain.Kills < got.Kills || exit.Strain.Refused < got.Refused {
		n.t.Errorf("its end says %+v, it met %+v", exit.Strain, got)
	}
}

func testStop(n *node) {
	polite := n.spec("p1", "polite", "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
	stubborn := n.spec("p1", "stubborn", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
	for _, c := range []struct {
		spec   runtime.ContainerSpec
		grace  time.Duration
		signal syscall.Signal
		code   int
	}{{polite, patience, 0, 5}, {stubborn, 300 * time.Millisecond, syscall.SIGTERM, 137}} {
		id := n.start(c.spec)
		eventually(n.t, "the trap is set", func() bool { return strings.Contains(n.output(c.spec), "ready") })
		begin := time.Now()
		if err := n.Stop(n.t.Context(), id, c.grace, c.signal); err != nil {
			n.t.Fatal(err)
		}
		if took := time.Since(begin); took > 10*time.Second || c.code == 137 && took < c.grace {
			n.t.Errorf("%s took %v", c.spec.Name, took)
		}
		if exit := n.exit(id); exit.Code != c.code {
			n.t.Errorf("%s: %+v", c.spec.Name, exit)
		}
		if err := n.Stop(n.t.Context(), id, c.grace, c.signal); err != nil {
			n.t.Errorf("stopping it again: %v", err)
		}
	}
	// Removing what runs kills it, and says so.
	id := n.start(n.spec("p1", "removed", "sleep 1000"))
	if err := n.Remove(n.t.Context(), id); err != nil {
		n.t.Fatal(err)
	}
	if exit := n.exit(id); exit.Code != 137 || exit.Lost {
		n.t.Errorf("%+v", exit)
	}
}

func testStats(n *node) {
	c := n.spec("p1", "busy", "while :; do :; done")
	c.Resources = runtime.Resources{CPUQuota: 20_000, CPUShares: 512, MemoryLimit: 32 << 20, PidsLimit: 10}
	id := n.start(c)
	var s runtime.Stats
	eventually(n.t, "it burns CPU", func() bool {
		var err error
		if s, err = n.Stats(n.t.Context(), id); err != nil {
			n.t.Fatal(err)
		}
		// runc's own threads count until the command has taken their place.
		return s.CPU > 20*time.Millisecond && s.Pids == 1
	})
	if s.Memory == 0 || s.Memory > 32<<20 || s.WorkingSet > s.Memory {
		n.t.Errorf("%+v", s)
	}
	if err := n.Update(n.t.Context(), id, runtime.Resources{MemoryLimit: 48 << 20}, map[string]string{"bounds": "new"}); err != nil {
		n.t.Fatal(err)
	}
	file := n.cgroups.file("memory", n.containerGroup("p1", "busy", 0), "memory.limit_in_bytes")
	if n.cgroups.unified {
		file = n.cgroups.file("", n.containerGroup("p1", "busy", 0), "memory.max")
	}
	if limit, err := readCount(file); err != nil || limit != 48<<20 {
		n.t.Error(limit, err)
	}
	if err := n.Remove(n.t.Context(), id); err != nil {
		n.t.Error(err)
	}
}

// testShared sees that a pod's containers share what a pod shares, and nothing else.
func testShared(n *node) {
	box := n.pod("p1")
	if box.Created || box.NetNSPath == "" || box.CgroupParent != "/stave-"+n.options.Cluster+"/podp1" {
		n.t.Errorf("%+v", box)
	}
	server := n.start(n.spec("p1", "server", "echo shared > /dev/shm/f; mkdir /www; echo page > /www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www"))
	defer n.Remove(context.Background(), server)
	c := n.spec("p1", "client", "for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://127.0.0.1:8080/index.html && break; sleep 0.2; done; cat /dev/shm/f; ls /www 2>&1; ps | wc -l")
	out, _ := n.run(c)
	if !strings.Contains(out, "page\nshared\n") || !strings.Contains(out, "No such file") {
		n.t.Errorf("%q", out)
	}
}

// testLastWords holds the promise that an exit comes after the output that preceded it, whole, 64 KiB pipe or not.
func testLastWords(n *node) {
	out, _ := n.run(n.spec("p1", "talker", "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end"))
	if len(out) != 1000000+len("\nend\n") || !strings.HasSuffix(out, "\nend\n") {
		n.t.Errorf("%d bytes", len(out))
	}
}

// testBeside holds that the network can be wired while the shim starts, and that what fails there fails the sandbox.
func testBeside(n *node) {
	defer n.RemoveSandbox(context.Background(), "beside")
	unwired := errors.New("no address")
	for _, want := range []error{unwired, nil} {
		var seen runtime.Sandbox
		s := runtime.SandboxSpec{UID: "beside", Namespace: "default", Name: "beside", Hostname: "beside",
			Beside: func(_ context.Context, box runtime.Sandbox) error { seen = box; return want }}
		box, err := n.EnsureSandbox(n.t.Context(), s)
		if !errors.Is(err, want) || !pinned(seen.NetNSPath) || err == nil && box != seen {
			n.t.Errorf("%v: %+v, beside %+v", err, box, seen)
		}
	}
}

// testHostNetwork runs a pod in the host's namespaces.
func testHostNetwork(n *node) {
	box, err := n.EnsureSandbox(n.t.Context(), runtime.SandboxSpec{UID: "host", Namespace: "default", Name: "host", HostNetwork: true, HostPID: true, HostIPC: true})
	if err != nil || box.NetNSPath != "" {
		n.t.Fatal(box, err)
	}
	defer n.RemoveSandbox(context.Background(), "host")
	want := ""
	for _, kind := range []string{"net", "uts", "ipc", "pid"} {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			n.t.Fatal(err)
		}
		want += own + "\n"
	}
	if out, _ := n.run(n.spec("host", "look", "for k in net uts ipc pid; do readlink /proc/self/ns/$k; done")); out != want {
		n.t.Errorf("%q, want %q", out, want)
	}
}

// TestPull sorts what registries answer, and sees progress.
func TestPull(t *testing.T) {
	n := open(t, "pull")
	var seen []runtime.PullProgress
	world.registry.Slow(3 << 20) // so that it can be seen in the middle of a layer
	img, err := n.Pull(t.Context(), "nginx:alpine", nil, func(p runtime.PullProgress) { seen = append(seen, p) })
	world.registry.Slow(0)
	if err != nil || img.Ref != "docker.io/library/nginx:alpine" || img.Size < 1<<20 || !strings.HasPrefix(img.Digest, "sha256:") {
		t.Errorf("%+v, %v", img, err)
	}
	for _, p := range seen {
		if p.Ref != img.Ref || p.Done > p.Total {
			t.Errorf("%+v", p)
		}
	}
	steps := map[int64]bool{}
	for _, p := range seen {
		steps[p.Done] = true
	}
	if len(steps) < 4 {
		t.Errorf("a pull of %d bytes was seen at %v only", img.Size, steps)
	}
	if found, ok, err := n.Lookup(t.Context(), "docker.io/nginx:alpine"); err != nil || !ok || found != img {
		t.Errorf("%+v, %v, %v", found, ok, err)
	}
	if _, ok, err := n.Lookup(t.Context(), "nginx:1.14"); err != nil || ok {
		t.Errorf("%v, %v", ok, err)
	}
	world.registry.Fail("library/secret", http.StatusUnauthorized)
	for ref, want := range map[string]runtime.PullReason{
		"nginx:no-such-tag":        runtime.PullNotFound,
		"no-such-image":            runtime.PullNotFound,
		"secret":                   runtime.PullUnauthorized,
		"Not A Name":               runtime.PullInvalidName,
		"127.0.0.1:1/image:latest": runtime.PullUnreachable,
	} {
		_, err := n.Pull(t.Context(), ref, nil, nil)
		var pull *runtime.PullError
		if !errors.As(err, &pull) || pull.Reason != want {
			t.Errorf("%s: %v, want %s", ref, err, want)
		}
	}
	testStopSignal(n)
	testCollect(n)
}

// testCollect: an image goes when no container has it and nobody wants it, and not before.
func testCollect(n *node) {
	here := func() bool {
		_, ok, err := n.Lookup(n.t.Context(), "nginx:alpine")
		if err != nil {
			n.t.Fatal(err)
		}
		return ok
	}
	collect := func(keep ...string) (refs []string) {
		gone, err := n.Collect(n.t.Context(), append(keep, "NO NAME"))
		if err != nil {
			n.t.Fatal(err)
		}
		for _, img := range gone {
			refs = append(refs, img.Ref)
		}
		return refs
	}
	if used, err := n.DiskUsage(n.t.Context(), runtime.ContainerID("p1", "web", 0)); err != nil || used < 1 {
		n.t.Errorf("nginx has made its directories, and wrote %d bytes, %v", used, err)
	}
	if gone := collect(); slices.Contains(gone, "docker.io/library/nginx:alpine") || !here() {
		n.t.Errorf("collected %v, and a container has nginx", gone)
	}
	if err := n.Remove(n.t.Context(), runtime.ContainerID("p1", "web", 0)); err != nil {
		n.t.Fatal(err)
	}
	if gone := collect("nginx:alpine"); len(gone) > 0 || !here() {
		n.t.Errorf("collected %v, and nginx was to be kept", gone)
	}
	if gone := collect(); !slices.Equal(gone, []string{"docker.io/library/nginx:alpine"}) || here() {
		n.t.Errorf("collected %v", gone)
	}
	if _, err := n.Pull(n.t.Context(), "nginx:alpine", nil, nil); err != nil {
		n.t.Errorf("pull again: %v", err)
	}
}

// testStopSignal: nginx's image asks for SIGQUIT, on which it exits by itself.
func testStopSignal(n *node) {
	n.pod("p1")
	c := n.spec("p1", "web", "")
	c.Image, c.Command = "nginx:alpine", nil
	id := n.start(c)
	eventually(n.t, "nginx has begun", func() bool { return strings.Contains(n.output(c), "start worker process ") })
	// Its master loses a signal that comes while it still starts workers.
	time.Sleep(500 * time.Millisecond)
	if err := n.Stop(n.t.Context(), id, patience, 0); err != nil {
		n.t.Fatal(err)
	}
	if exit := n.exit(id); exit.Code != 0 {
		n.t.Errorf("%+v, %s", exit, n.output(c))
	}
}
