package ebpf

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
	"github.com/stave-run/stave/dataplane/podnet"
)

// The lab is a node with its pods and an outside, all in network namespaces of their own,
// with a bpffs of its own. Only the socket hooks are on the machine's cgroup root, where
// they act for the lab's namespaces alone.
type lab struct {
	t       testing.TB
	dir     string
	node    string // paths of network namespaces
	outside string
	opts    Options
	plane   *Dataplane
	net     *podnet.Net
}

// pod is one pod of the lab with a server on TCP and UDP port 8080 that answers with
// its name and whom it saw.
type pod struct {
	name  string
	ns    string
	ip    netip.Addr
	close func()
}

const (
	nodeAddr    = "192.168.77.1"
	outsideAddr = "192.168.77.100"
	serverPort  = 8080
)

func newLab(t testing.TB) *lab { return newLabWith(t, func(*Options) {}) }

func newLabWith(t testing.TB, change func(*Options)) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: real programs, real namespaces")
	}
	l := &lab{t: t, dir: t.TempDir()}
	l.node, l.outside = l.namespace("node"), l.namespace("outside")
	l.connect(l.node, nodeAddr, l.outside, outsideAddr)
	bpf := filepath.Join(l.dir, "bpf")
	must(t, os.Mkdir(bpf, 0o755))
	name := "lab-" + strings.ToLower(rand.Text()[:6])
	l.opts = Options{
		Cluster: name, BPFRoot: bpf, StateDir: l.dir, NetNS: l.node,
		NodeIP: netip.MustParseAddr(nodeAddr), Inside: []netip.Prefix{netip.MustParsePrefix("10.200.1.0/24")},
	}
	change(&l.opts)
	var err error
	l.net, err = podnet.Open(podnet.Options{
		Cluster: name, StateDir: l.dir, NetNS: l.node,
		PodCIDR: l.opts.Inside[0], ServiceCIDR: netip.MustParsePrefix("10.201.0.0/16"),
	})
	must(t, err)
	l.open()
	t.Cleanup(func() {
		if err := l.plane.Remove(); err != nil {
			t.Errorf("remove: %v", err)
		}
		l.net.Close()
	})
	return l
}

func (l *lab) open() {
	l.t.Helper()
	var err error
	l.plane, err = Open(context.Background(), l.opts)
	must(l.t, err)
}

// namespace makes a network namespace and pins it.
func (l *lab) namespace(name string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, "ns-"+name)
	f, err := os.Create(path)
	must(l.t, err)
	must(l.t, f.Close())
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the namespace's only user
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	}()
	must(l.t, <-done)
	l.t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
	h := l.handle(path)
	defer h.Close()
	lo, err := h.LinkByName("lo")
	must(l.t, err)
	must(l.t, h.LinkSetUp(lo))
	return path
}

func (l *lab) handle(ns string) *netlink.Handle {
	l.t.Helper()
	fd, err := netns.GetFromPath(ns)
	must(l.t, err)
	defer fd.Close()
	h, err := netlink.NewHandleAt(fd)
	must(l.t, err)
	return h
}

// connect makes a link with a /24 between two namespaces.
func (l *lab) connect(a, addrA, b, addrB string) {
	l.t.Helper()
	ha, hb := l.handle(a), l.handle(b)
	defer ha.Close()
	defer hb.Close()
	fd, err := netns.GetFromPath(b)
	must(l.t, err)
	defer fd.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "up" + addrB[strings.LastIndexByte(addrB, '.')+1:]
	must(l.t, ha.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: attrs.Name, PeerNamespace: netlink.NsFd(fd)}))
	for h, addr := range map[*netlink.Handle]string{ha: addrA, hb: addrB} {
		link, err := h.LinkByName(attrs.Name)
		must(l.t, err)
		ip, err := netlink.ParseAddr(addr + "/24")
		must(l.t, err)
		must(l.t, h.AddrAdd(link, ip))
		must(l.t, h.LinkSetUp(link))
	}
}

// pod makes a pod and starts its server.
func (l *lab) pod(name string) *pod {
	l.t.Helper()
	p := &pod{name: name, ns: l.namespace(name)}
	var err error
	p.ip, err = l.net.Attach(l.t.Context(), name, p.ns)
	must(l.t, err)
	must(l.t, l.plane.AttachPod(l.net.HostLink(name), p.ip, p.ns))
	p.close = l.serve(p.ns, name, netip.AddrPortFrom(netip.IPv4Unspecified(), serverPort).String())
	return p
}

func (p *pod) addrPort() netip.AddrPort { return netip.AddrPortFrom(p.ip, serverPort) }

// serve answers every line over TCP and every packet over UDP with "name peer".
func (l *lab) serve(ns, name, addr string) func() {
	l.t.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	must(l.t, inNetNS(ns, func() (err error) {
		if tcp, err = net.Listen("tcp4", addr); err != nil {
			return err
		}
		udp, err = net.ListenPacket("udp4", addr)
		return err
	}))
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go answerLines(c, name)
		}
	}()
	go func() {
		buf := make([]byte, 1500)
		for {
			_, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			udp.WriteTo([]byte(name+" "+from.String()), from)
		}
	}()
	stop := func() { tcp.Close(); udp.Close() }
	l.t.Cleanup(stop)
	return stop
}

func answerLines(c net.Conn, name string) {
	defer c.Close()
	for in := bufio.NewScanner(c); in.Scan(); {
		if _, err := fmt.Fprintf(c, "%s %s\n", name, c.RemoteAddr()); err != nil {
			return
		}
	}
}

// dial connects from a namespace.
func dial(ns, network, addr string) (net.Conn, error) {
	var c net.Conn
	err := inNetNS(ns, func() (err error) {
		c, err = net.DialTimeout(network, addr, 30*time.Second)
		return err
	})
	if err == nil {
		err = c.SetDeadline(time.Now().Add(time.Minute))
	}
	return c, err
}

// ask is one request on a connection: the server's name and the client it saw.
func ask(c net.Conn) (name, seen string, err error) {
	if _, err := c.Write([]byte("?\n")); err != nil {
		return "", "", err
	}
	buf := make([]byte, 200)
	n, err := c.Read(buf)
	name, seen, _ = strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
	return name, seen, err
}

// askOnce is one request on a new connection.
func askOnce(ns, network, addr string) (name, seen string, err error) {
	c, err := dial(ns, network, addr)
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	return ask(c)
}

// expect asks once and fails unless one of the pods answers; it returns the client that
// the pod saw.
func (l *lab) expect(ns, network, addr string, pods ...*pod) string {
	l.t.Helper()
	name, seen, err := askOnce(ns, network, addr)
	if err != nil {
		l.t.Fatalf("%s %s: %v", network, addr, err)
	}
	for _, p := range pods {
		if p.name == name {
			host, _, _ := net.SplitHostPort(seen)
			return host
		}
	}
	l.t.Fatalf("%s %s answered by %q", network, addr, name)
	return ""
}

const webIP = "10.201.0.10"

// web is a service with port 80 on TCP and UDP.
func web(nodePort uint16, pods ...*pod) plan.Service {
	var eps []netip.AddrPort
	for _, p := range pods {
		eps = append(eps, p.addrPort())
	}
	return plan.Service{Key: "default/web", ClusterIP: netip.MustParseAddr(webIP), Ports: []plan.Port{
		{Name: "tcp", Proto: plan.TCP, Port: 80, NodePort: nodePort, Endpoints: eps},
		{Name: "udp", Proto: plan.UDP, Port: 80, NodePort: nodePort, Endpoints: eps},
	}}
}

func (l *lab) apply(want ...plan.Service) {
	l.t.Helper()
	must(l.t, l.plane.Apply(want))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
