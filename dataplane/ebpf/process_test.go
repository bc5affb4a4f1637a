package ebpf

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/podnet"
)

// childMark tells a copy of the test that it is the child.
const childMark = "STAVE_TEST_OWN_NAMESPACE"

// TestOwnNamespace is the usual case, a node that is the namespace which the process is in.
// A copy of the test runs in one of its own, so that the machine's is left alone.
func TestOwnNamespace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if os.Getenv(childMark) != "" {
		ownNamespace(t)
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOwnNamespace$", "-test.v")
	child.Env = append(os.Environ(), childMark+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func ownNamespace(t *testing.T) {
	const here = "/proc/thread-self/ns/net"
	l := &lab{t: t, dir: t.TempDir()}
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	l.outside = l.namespace("outside")
	l.connect(here, nodeAddr, l.outside, outsideAddr)
	must(t, os.Mkdir(l.dir+"/bpf", 0o755))
	l.opts = Options{
		Cluster: "own", BPFRoot: l.dir + "/bpf", StateDir: l.dir, NodeIP: netip.MustParseAddr(nodeAddr),
		Inside: []netip.Prefix{netip.MustParsePrefix("10.200.1.0/24")},
	}
	l.net, err = podnet.Open(podnet.Options{Cluster: "own", StateDir: l.dir, PodCIDR: l.opts.Inside[0]})
	must(t, err)
	l.open()
	defer func() { must(t, errors.Join(l.plane.Remove(), l.net.Remove())) }()
	b := l.pod("b")
	l.apply(web(nodePort, b))
	l.expect("", "tcp", webIP+":80", b)
	l.expect("", "udp", "127.0.0.1:30000", b)
	l.expect(l.outside, "tcp", onNode(nodePort), b)
	l.serve(l.outside, "world", outsideAddr+":9000")
	if _, seen, err := askOnce(b.ns, "tcp", outsideAddr+":9000"); err != nil || hostOf(seen) != nodeAddr {
		t.Errorf("to outside: the server saw %s, %v", seen, err)
	}
}

// TestVerifierHasRoom: the kernel gives up on a program after a million steps, and newer
// ones count differently; a change that multiplies the paths shows here first.
func TestVerifierHasRoom(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	spec, err := loadPrograms()
	must(t, err)
	c, err := ebpf.NewCollection(spec)
	must(t, err)
	defer c.Close()
	for name, p := range c.Programs {
		info, err := p.Info()
		must(t, err)
		if steps, ok := info.VerifiedInstructions(); ok && steps > 250_000 {
			t.Errorf("%s takes the verifier %d steps", name, steps)
		}
	}
}
