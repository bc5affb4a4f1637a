package ebpf

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// TestMoreLinksThanAreHeardOf: while many links come and go, the kernel drops what it has to say of them. It is listened to again
// after that, and what was missed is looked for.
func TestMoreLinksThanAreHeardOf(t *testing.T) {
	l := newLab(t)
	b := l.pod("b")
	l.apply(web(nodePort, b))
	l.plane.mu.Lock() // as somebody who writes all tables has it
	err := inNetNS(l.node, func() error {
		for i := range 400 {
			d := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprint("brief", i)}, PeerName: fmt.Sprint("peer", i)}
			addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 168, 79, byte(i)), Mask: net.CIDRMask(32, 32)}}
			if err := errors.Join(netlink.LinkAdd(d), netlink.AddrAdd(d, addr), netlink.LinkDel(d)); err != nil {
				return err
			}
		}
		return nil
	})
	l.plane.mu.Unlock()
	must(t, err)
	time.Sleep(10 * settle)
	far := l.namespace("far")
	l.connect(l.node, "192.168.78.1", far, "192.168.78.101")
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(settle) {
		name, _, err := askOnce(far, "tcp", fmt.Sprintf("192.168.78.1:%d", nodePort))
		if err == nil && name == b.name {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a link that came later is not served: %v", err)
		}
	}
}
