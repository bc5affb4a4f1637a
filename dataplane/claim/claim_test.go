package claim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

// listenEnv makes the test binary a program that listens, and says so.
const listenEnv = "STAVE_CLAIM_TEST_LISTEN"

func TestMain(m *testing.M) {
	at := os.Getenv(listenEnv)
	if at == "" {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		panic(err)
	}
	fmt.Println("listening")
	_, _ = l.Accept() // until it is killed
}

// alone gives the test a thread in a network namespace of its own, so that nobody else is on its ports.
func alone(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// node opens the claims of a node beside others.
func node(t *testing.T, dir, name string) *Claims {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := Open(Options{Dir: dir, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func tcp(n uint16) plan.Frontend { return plan.Frontend{Port: n, Proto: plan.TCP} }
func udp(n uint16) plan.Frontend { return plan.Frontend{Port: n, Proto: plan.UDP} }

// change claims ports for a key and gives what was refused, in words.
func change(t *testing.T, c *Claims, key string, ports ...plan.Frontend) string {
	t.Helper()
	refused, err := c.Change(map[string][]plan.Frontend{key: ports}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, e := range refused[key] {
		words = append(words, e.Error())
	}
	return strings.Join(words, "; ")
}

// TestClusters: two clusters on one machine, of which one has been stopped.
func TestClusters(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	one, two := node(t, dir, "one"), node(t, dir, "two")
	if got := change(t, one, "default/web", tcp(30000), udp(30000)); got != "" {
		t.Error(got)
	}
	const held = "node:30000/TCP is held by cluster one (default/web)"
	if got := change(t, two, "shop/front", tcp(30000), tcp(30001)); got != held {
		t.Error(got)
	}
	// It goes on answering when its process has gone.
	one.Close()
	if got := change(t, two, "shop/front", tcp(30000), tcp(30001)); got != held {
		t.Error(got)
	}
	all, err := Held(two.o, 30000, 30010)
	if want := map[plan.Frontend]string{tcp(30000): "cluster one (default/web)", udp(30000): "cluster one (default/web)"}; err != nil || fmt.Sprint(all) != fmt.Sprint(want) {
		t.Errorf("%v, %v", all, err)
	}
	// Its process comes back, and gives one up.
	one = node(t, dir, "one")
	if got := change(t, one, "default/web", udp(30000)); got != "" {
		t.Error(got)
	}
	if got := change(t, two, "shop/front", tcp(30000), tcp(30001)); got != "" {
		t.Error(got)
	}
	// It is taken down.
	one.Close()
	if err := os.RemoveAll(filepath.Join(dir, "one")); err != nil {
		t.Fatal(err)
	}
	if got := change(t, two, "shop/names", udp(30000)); got != "" {
		t.Error(got)
	}
}

// TestAddresses: ports on one address of the node, beside those on all.
func TestAddresses(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	one, two := node(t, dir, "one"), node(t, dir, "two")
	on := func(addr string, n uint16) plan.Frontend {
		return plan.Frontend{Addr: netip.MustParseAddr(addr), Port: n, Proto: plan.TCP}
	}
	if got := change(t, one, "a", on("127.0.0.1", 8080), tcp(8081), on("192.0.2.1", 8080)); got != "" {
		t.Error(got) // nobody has 192.0.2.1
	}
	if l, err := net.Listen("tcp", "127.0.0.1:8080"); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a program listens on a claimed port: %v, %v", l, err)
	}
	for range 2 { // with its process, and without
		const held = "127.0.0.1:8081/TCP is held by cluster one (a); node:8080/TCP is held by cluster one (a); 127.0.0.1:8080/TCP is held by cluster one (a)"
		if got := change(t, two, "b", on("127.0.0.1", 8081), on("127.0.0.2", 8080), tcp(8080), on("127.0.0.1", 8080)); got != held {
			t.Error(got)
		}
		one.Close()
	}
	// What another key of the same node has is for the tables to judge.
	if got := change(t, two, "c", on("127.0.0.2", 8082)) + change(t, two, "d", tcp(8082)); got != "" {
		t.Error(got)
	}
	for _, p := range []plan.Frontend{tcp(1), udp(65535), on("127.0.0.1", 80)} {
		if got, ok := parsed(p.String()); !ok || got != p {
			t.Errorf("%s is read as %v, %t", p, got, ok)
		}
	}
	for _, s := range []string{"", "node", "node:x/TCP", "node:80/SCTP", "host:80/TCP", "node:70000/TCP"} {
		if p, ok := parsed(s); ok {
			t.Errorf("%q is read as %v", s, p)
		}
	}
}

// TestPrograms: a program that listens already, and one that comes later.
func TestPrograms(t *testing.T) {
	alone(t)
	c := node(t, t.TempDir(), "one")
	l, err := net.Listen("tcp", ":30000")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp4", "127.0.0.1:30001")
	if err != nil {
		t.Fatal(err)
	}
	me := fmt.Sprintf("claim.test (pid %d)", os.Getpid())
	if got, want := change(t, c, "default/web", tcp(30000), udp(30001), udp(30000), tcp(30001)), "node:30000/TCP is held by "+me+"; node:30001/UDP is held by "+me; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	l.Close()
	pc.Close()
	if got := change(t, c, "default/web", tcp(30000), udp(30001)); got != "" {
		t.Error(got)
	}
	for _, network := range []string{"tcp", "tcp4"} {
		if l, err := net.Listen(network, ":30000"); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%s: a program listens on a claimed port: %v, %v", network, l, err)
		}
	}
	if pc, err := net.ListenPacket("udp4", ":30001"); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a program has a claimed port: %v, %v", pc, err)
	}
	// Nobody answers on it by its claim.
	if conn, err := net.Dial("tcp", "127.0.0.1:30000"); err == nil {
		t.Errorf("%v answers", conn.RemoteAddr())
	}
	if _, err := c.Change(nil, []string{"default/web"}); err != nil {
		t.Error(err)
	}
	if l, err = net.Listen("tcp", ":30000"); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
}

// TestHeld: what another process holds, and not what this one does.
func TestHeld(t *testing.T) {
	alone(t)
	own, err := net.Listen("tcp", ":30002")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), listenEnv+"=:30003")
	said, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	if _, err := said.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	all, err := Held(Options{Dir: t.TempDir(), Name: "one"}, 30000, 32767)
	if who := all[tcp(30003)]; err != nil || len(all) != 1 || who != fmt.Sprintf("claim.test (pid %d)", other.Process.Pid) {
		t.Errorf("%v, %v", all, err)
	}
}

// TestListen: a port that is claimed can be answered on, and is free once it is given up and nobody listens.
func TestListen(t *testing.T) {
	alone(t)
	c := node(t, t.TempDir(), "one")
	p := plan.Frontend{Port: 30700, Proto: plan.TCP}
	if _, err := c.Listen(p); err == nil {
		t.Error("listening on a port that nobody has claimed")
	}
	if taken, err := c.Change(map[string][]plan.Frontend{"default/web": {p}}, nil); err != nil || len(taken) > 0 {
		t.Fatal(taken, err)
	}
	l, err := c.Listen(p)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp4", "127.0.0.1:30700"); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Change(nil, []string{"default/web"}); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp4", "127.0.0.1:30700"); err == nil {
		conn.Close()
		t.Error("what was given up answers")
	}
}
