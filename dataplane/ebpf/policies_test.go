package ebpf

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/dataplane/policy"
)

// enforce lays policies on the lab's pods, each of which has its name as a label.
func (l *lab) enforce(all []policy.Policy, of ...*pod) {
	l.t.Helper()
	pods := map[netip.Addr]policy.Pod{}
	for _, p := range of {
		pods[p.ip] = policy.Pod{Namespace: "default", Labels: map[string]string{"name": p.name}}
	}
	must(l.t, l.plane.Enforce(all, pods))
}

// onto is a policy for the pod of a name; nil rules don't isolate it.
func onto(name string, ingress, egress *policy.Rules) policy.Policy {
	return policy.Policy{Namespace: "default", Name: name, Version: time.Now().String(), Selector: labels.SelectorFromSet(labels.Set{"name": name}),
		Ingress: ingress, Egress: egress}
}

func host(p *pod) policy.Host { return policy.Host{Addr: p.ip} }

// at is one port.
func at(proto policy.Proto, port uint16) []policy.Ports {
	return []policy.Ports{{Proto: proto, First: port, Last: port}}
}

// silence is how long nobody has to answer before it is taken that nobody will.
const silence = 700 * time.Millisecond

// denied fails if anybody answers.
func (l *lab) denied(ns, network, addr string) {
	l.t.Helper()
	err := inNetNS(ns, func() error {
		c, err := net.DialTimeout(network, addr, silence)
		if err != nil {
			return err
		}
		defer c.Close()
		must(l.t, c.SetDeadline(time.Now().Add(silence)))
		_, _, err = ask(c)
		return err
	})
	if late, ok := errors.AsType[net.Error](err); !ok || !late.Timeout() {
		l.t.Errorf("%s %s: %v; want no answer", network, addr, err)
	}
}

// TestNobodyMayCome: to a pod that a policy without rules selects comes its node alone. What it asks itself is answered.
func TestNobodyMayCome(t *testing.T) {
	l := newLab(t)
	a, b, hidden := l.pod("a"), l.pod("b"), l.pod("hidden")
	l.bypass(hidden)
	l.apply(web(nodePort, b))
	l.enforce([]policy.Policy{onto("b", &policy.Rules{}, nil)}, a, b, hidden)
	direct := b.addrPort().String()
	for _, network := range []string{"tcp4", "udp4"} {
		l.denied(a.ns, network, direct)
		l.denied(a.ns, network, webIP+":80")
		l.denied(hidden.ns, network, webIP+":80")
		l.denied(l.outside, network, onNode(nodePort))
		l.expect(l.node, network, direct, b)
		l.expect(b.ns, network, a.addrPort().String(), a)
		l.expect(b.ns, network, webIP+":80", b)
		l.expect(a.ns, network, hidden.addrPort().String(), hidden)
	}
	if err := ping(a.ns, b.ip.String(), 56); err == nil {
		t.Error("an echo was answered")
	}
	for from, to := range map[string]string{b.ns: a.ip.String(), l.node: b.ip.String()} {
		if err := ping(from, to, 56); err != nil {
			t.Errorf("echo to %s: %v", to, err)
		}
	}
	if err := ping(b.ns, outsideAddr, 6000); err != nil {
		t.Errorf("echo to the outside: %v", err)
	}
}

// TestSomeMayCome: a rule's peers may use its ports, directly and through services, by every way.
func TestSomeMayCome(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	l.apply(web(nodePort, b))
	l.enforce([]policy.Policy{onto("b", &policy.Rules{{Hosts: []policy.Host{host(a)}, Ports: at(policy.TCP, serverPort)}}, nil)}, a, b, c)
	l.expect(a.ns, "tcp4", b.addrPort().String(), b)
	l.expect(a.ns, "tcp4", webIP+":80", b)
	l.denied(a.ns, "udp4", b.addrPort().String())
	l.denied(c.ns, "tcp4", b.addrPort().String())
	l.bypass(a)
	l.expect(a.ns, "tcp4", webIP+":80", b)
	outside := policy.Block{CIDR: netip.MustParsePrefix("192.168.0.0/16"), Except: []netip.Prefix{netip.MustParsePrefix("192.168.78.0/24")}}
	l.enforce([]policy.Policy{onto("b", &policy.Rules{{Blocks: []policy.Block{outside}, AnyPort: true}}, nil)}, a, b, c)
	l.expect(l.outside, "tcp4", onNode(nodePort), b)
	l.expect(l.outside, "udp4", onNode(nodePort), b)
	l.denied(a.ns, "tcp4", b.addrPort().String())
	outside.Except = []netip.Prefix{netip.MustParsePrefix(outsideAddr + "/32")}
	l.enforce([]policy.Policy{onto("b", &policy.Rules{{Blocks: []policy.Block{outside}, AnyPort: true}}, nil)}, a, b, c)
	l.denied(l.outside, "tcp4", onNode(nodePort))
	l.enforce(nil, a, b, c)
	l.expect(c.ns, "tcp4", b.addrPort().String(), b)
}

// TestSomeMayGo: a pod that is isolated on its way out reaches what a rule names, and its node; others reach it, and it
// answers them.
func TestSomeMayGo(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	l.serve(l.outside, "outside", outsideAddr+":8080")
	l.serve(l.node, "node", nodeAddr+":8053")
	l.apply(web(nodePort, b))
	l.enforce([]policy.Policy{onto("a", nil, &policy.Rules{{Hosts: []policy.Host{host(b)}, Ports: at(policy.UDP, serverPort)}})}, a, b, c)
	for _, network := range []string{"tcp4", "udp4"} {
		l.expect(a.ns, network, nodeAddr+":8053", &pod{name: "node"})
		l.expect(c.ns, network, a.addrPort().String(), a)
		l.expect(l.node, network, a.addrPort().String(), a)
		l.denied(a.ns, network, c.addrPort().String())
		l.denied(a.ns, network, outsideAddr+":8080")
		l.expect(c.ns, network, outsideAddr+":8080", &pod{name: "outside"})
	}
	l.expect(a.ns, "udp4", b.addrPort().String(), b)
	l.expect(a.ns, "udp4", webIP+":80", b)
	l.denied(a.ns, "tcp4", webIP+":80")
	outside := policy.Block{CIDR: netip.PrefixFrom(netip.MustParseAddr(outsideAddr), 32)}
	l.enforce([]policy.Policy{onto("a", nil, &policy.Rules{{Blocks: []policy.Block{outside}, Ports: at(policy.TCP, 8080)}})}, a, b, c)
	l.expect(a.ns, "tcp4", outsideAddr+":8080", &pod{name: "outside"})
	l.denied(a.ns, "udp4", outsideAddr+":8080")
}

// TestPoliciesWithoutAgent: what is in force stays so while no process of ours runs, and for pods of which the next one has
// not been told. A connection that was made before a policy goes on.
func TestPoliciesWithoutAgent(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	before, err := dial(a.ns, "tcp4", b.addrPort().String())
	must(t, err)
	defer before.Close()
	l.enforce([]policy.Policy{onto("b", &policy.Rules{}, nil)}, a, b)
	must(t, l.plane.Close())
	l.denied(a.ns, "tcp4", b.addrPort().String())
	l.open()
	l.denied(a.ns, "tcp4", b.addrPort().String())
	l.enforce(nil, a)
	l.denied(a.ns, "tcp4", b.addrPort().String())
	if name, _, err := ask(before); name != "b" || err != nil {
		t.Errorf("the connection from before: %q, %v", name, err)
	}
	l.enforce(nil, a, b)
	l.expect(a.ns, "tcp4", b.addrPort().String(), b)
	must(t, l.plane.DetachPod(b.ip))
	if n := rowsOf(l.plane.objs.Isolated, l.plane.objs.PolicyPorts, l.plane.objs.PolicyPeers); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestWaysAroundPolicies: what a pod may do with raw sockets does not lead past a policy.
func TestWaysAroundPolicies(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	l.enforce([]policy.Policy{
		onto("b", &policy.Rules{{Hosts: []policy.Host{host(c)}, AnyPort: true}}, nil),
		onto("a", nil, &policy.Rules{{Hosts: []policy.Host{host(c)}, AnyPort: true}}),
	}, a, b, c)
	var heard net.PacketConn
	must(t, inNetNS(b.ns, func() (err error) {
		heard, err = net.ListenPacket("udp4", ":9000")
		return err
	}))
	defer heard.Close()
	arrives := func(ns string, src netip.Addr, options int) bool {
		t.Helper()
		must(t, inNetNS(ns, func() error { return sendRaw(datagram(src, b.ip, 9000, options), b.ip) }))
		must(t, heard.SetReadDeadline(time.Now().Add(silence)))
		_, _, err := heard.ReadFrom(make([]byte, 100))
		return err == nil
	}
	if !arrives(c.ns, c.ip, 0) {
		t.Fatal("what is allowed does not arrive: the test shows nothing")
	}
	if arrives(a.ns, c.ip, 0) {
		t.Error("came under another pod's address")
	}
	if arrives(a.ns, a.ip, 4) {
		t.Error("came with options")
	}
	if arrives(a.ns, a.ip, 0) {
		t.Error("came past both policies")
	}
	for _, to := range []string{"udp4", "tcp4"} {
		l.denied(a.ns, to, b.addrPort().String())
	}
}

// datagram is a UDP packet with so many bytes of IP options that say nothing.
func datagram(src, dst netip.Addr, port uint16, options int) []byte {
	b := make([]byte, 20+options+8+4)
	b[0] = byte(0x40 | (20+options)/4)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[8], b[9] = 64, unix.IPPROTO_UDP
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	for i := range options {
		b[20+i] = 1
	}
	udp := b[20+options:]
	binary.BigEndian.PutUint16(udp, 7777)
	binary.BigEndian.PutUint16(udp[2:], port)
	binary.BigEndian.PutUint16(udp[4:], 12) // no checksum: none is asked for
	copy(udp[8:], "hey!")
	return b
}

// sendRaw sends a packet with a header of its own.
func sendRaw(packet []byte, to netip.Addr) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	return unix.Sendto(s, packet, 0, &unix.SockaddrInet4{Addr: to.As4()})
}

// TestPoliciesThatDoNotFit: more peers than there is room for are refused with a reason, and what was in force stays.
func TestPoliciesThatDoNotFit(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.enforce([]policy.Policy{onto("b", &policy.Rules{}, nil)}, a, b)
	var many []policy.Host
	for i := range int(l.plane.objs.PolicyPeers.MaxEntries()) + 1 {
		many = append(many, policy.Host{Addr: netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})})
	}
	err := l.plane.Enforce([]policy.Policy{onto("b", &policy.Rules{{Hosts: many, AnyPort: true}}, nil)},
		map[netip.Addr]policy.Pod{b.ip: {Namespace: "default", Labels: map[string]string{"name": "b"}}})
	if err == nil || !strings.Contains(err.Error(), "write policies") {
		t.Fatalf("%v", err)
	}
	l.denied(a.ns, "tcp4", b.addrPort().String())
	l.enforce([]policy.Policy{onto("b", &policy.Rules{{Hosts: []policy.Host{host(a)}, AnyPort: true}}, nil)}, a, b)
	l.expect(a.ns, "tcp4", b.addrPort().String(), b)
}

// rowsOf counts what tables hold.
func rowsOf(tables ...*ebpf.Map) (n int) {
	for _, m := range tables {
		var key, value []byte
		for it := m.Iterate(); it.Next(&key, &value); {
			n++
		}
	}
	return n
}

// TestFlagsInAnotherPiece: a connection that begins with its flags in a second fragment is judged all the same.
func TestFlagsInAnotherPiece(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	l.enforce([]policy.Policy{onto("b", &policy.Rules{{Hosts: []policy.Host{host(c)}, Ports: at(policy.TCP, serverPort)}}, nil)}, a, b, c)
	if !l.answeredInPieces(c, b) {
		t.Fatal("what is allowed is not answered: the test shows nothing")
	}
	if l.answeredInPieces(a, b) {
		t.Error("a connection was begun past the policy")
	}
}

// answeredInPieces begins a connection by two fragments, and says whether the other side took it up.
func (l *lab) answeredInPieces(from, to *pod) (answered bool) {
	l.t.Helper()
	must(l.t, inNetNS(from.ns, func() error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		wait := unix.NsecToTimeval(silence.Nanoseconds())
		if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
			return err
		}
		for _, piece := range synInPieces(from.ip, to.ip, 7777, serverPort) {
			if err := sendRaw(piece, to.ip); err != nil {
				return err
			}
		}
		in := make([]byte, 100)
		for {
			n, _, err := unix.Recvfrom(s, in, 0)
			if err != nil {
				return nil // nobody answered
			}
			if n >= 40 && binary.BigEndian.Uint16(in[20:]) == serverPort && in[33]&0x12 == 0x12 {
				answered = true
				return nil
			}
		}
	}))
	return answered
}

// synInPieces is the first packet of a connection with its flags in the second fragment.
func synInPieces(src, dst netip.Addr, sport, dport uint16) [][]byte {
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp, sport)
	binary.BigEndian.PutUint16(tcp[2:], dport)
	tcp[7], tcp[12], tcp[13] = 1, 5<<4, 0x02
	binary.BigEndian.PutUint16(tcp[14:], 1000)
	sum := uint32(unix.IPPROTO_TCP + len(tcp))
	for _, b := range [][]byte{src.AsSlice(), dst.AsSlice(), tcp} {
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(tcp[16:], ^uint16(sum))
	piece := func(part []byte, offset uint16) []byte {
		b := make([]byte, 20, 20+len(part))
		b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_TCP
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(part)))
		binary.BigEndian.PutUint16(b[4:], sport)
		binary.BigEndian.PutUint16(b[6:], offset)
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		return append(b, part...)
	}
	return [][]byte{piece(tcp[:8], 0x2000), piece(tcp[8:], 1)}
}
