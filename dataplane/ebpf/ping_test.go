package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPing: echoes reach everybody, also large ones that travel in pieces; the outside
// knows pods by the node's address, which takes translation of the echo's number.
func TestPing(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	for _, c := range []struct{ name, ns, to string }{
		{"pod to pod", a.ns, b.ip.String()},
		{"pod to itself", a.ns, a.ip.String()},
		{"pod to node", a.ns, nodeAddr},
		{"pod to the node's end", a.ns, l.net.Gateway().String()},
		{"node to pod", l.node, a.ip.String()},
		{"pod to outside", a.ns, outsideAddr},
		{"other pod to outside", b.ns, outsideAddr},
		{"outside to node", l.outside, nodeAddr},
	} {
		for _, size := range []int{0, 56, 1472, 1473, 6000, 40000} {
			if err := ping(c.ns, c.to, size); err != nil {
				t.Errorf("%s, %d bytes: %v", c.name, size, err)
			}
		}
	}
}

// ping sends one echo request and waits for its answer.
func ping(ns, to string, size int) error {
	const id = 0x1234
	echo := make([]byte, 8+size)
	echo[0] = 8
	binary.BigEndian.PutUint16(echo[4:], id)
	for i := range size {
		echo[8+i] = byte(i)
	}
	sum := uint32(0)
	for i := 0; i < len(echo); i += 2 {
		sum += uint32(echo[i]) << 8
		if i+1 < len(echo) {
			sum += uint32(echo[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(echo[2:], ^uint16(sum))
	return inNetNS(ns, func() error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		err = errors.Join(
			unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}),
			unix.SetsockoptInt(s, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT))
		if err != nil {
			return err
		}
		if err := unix.Sendto(s, echo, 0, &unix.SockaddrInet4{Addr: netip.MustParseAddr(to).As4()}); err != nil {
			return err
		}
		const header = 20
		buf := make([]byte, header+len(echo)+1)
		for {
			n, _, err := receive(s, buf)
			if err != nil {
				return err
			}
			if n > header && buf[header] == 8 {
				continue // to itself: one sees the question too
			}
			if n != header+len(echo) || buf[header] != 0 || binary.BigEndian.Uint16(buf[header+4:]) != id || string(buf[header+8:n]) != string(echo[8:]) {
				return fmt.Errorf("answer of %d bytes: %x", n, buf[:min(n, 40)])
			}
			return nil
		}
	})
}
