package lan

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// testWire lies in a network that is set aside for tests (RFC 2544).
func testWire(t *testing.T) (Wire, []Seat) { return layWire(t, "198.18.66.0/24") }

func layWire(t *testing.T, network string) (Wire, []Seat) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: real namespaces and links")
	}
	w := Wire{Cluster: "test-" + strings.ToLower(rand.Text()[:8]), Network: netip.MustParsePrefix(network)}
	dir := t.TempDir()
	var seats []Seat
	for i, n := range []string{"n1", "n2"} {
		a := w.Machine().As4()
		a[3] += byte(i + 1)
		seats = append(seats, Seat{Node: n, Address: netip.AddrFrom4(a), NetNS: filepath.Join(dir, n), Outside: filepath.Join(dir, n+"-outside")})
	}
	t.Cleanup(func() {
		err := w.Remove()
		for _, s := range seats {
			err = errors.Join(err, w.Leave(s))
		}
		if err != nil {
			t.Error(err)
		}
	})
	must(t, w.Lay())
	for range 2 { // again changes nothing
		for _, s := range seats {
			must(t, w.Take(s))
		}
	}
	return w, seats
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve answers connections on an address in a namespace until the test ends.
func serve(t *testing.T, listen func() (net.Listener, error)) string {
	t.Helper()
	l, err := listen()
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, from, address string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	c, err := Dial(from)(ctx, "tcp", address)
	if err == nil {
		c.Close()
	}
	return err
}

// TestOneWire: nodes reach each other and the machine, which reaches them; what listens on
// the wire is not to be had otherwise; and nothing is left.
func TestOneWire(t *testing.T) {
	w, seats := testWire(t)
	_, strangers := layWire(t, "198.18.67.0/24") // their way out is the machine, too
	inNode := serve(t, func() (l net.Listener, err error) {
		err = Go(seats[1].NetNS, func() error {
			l, err = net.Listen("tcp4", netip.AddrPortFrom(seats[1].Address, 0).String())
			return err
		})
		return l, err
	})
	onWire := serve(t, func() (net.Listener, error) { return w.Listen(t.Context(), "0") })
	onLoopback := serve(t, func() (net.Listener, error) { return net.Listen("tcp4", "127.0.0.1:0") })
	for _, x := range []struct {
		what, from, to string
		works          bool
	}{
		{"node to node", seats[0].NetNS, inNode, true},
		{"machine to node", seats[0].Outside, inNode, true},
		{"node to machine", seats[0].NetNS, onWire, true},
		{"the machine itself", seats[0].Outside, onWire, true},
		{"from another link to the machine's address on this one", strangers[0].NetNS, onWire, false},
		{"node to the machine's loopback", seats[0].NetNS, onLoopback, false},
		{"a node's way outside", seats[0].Outside, onLoopback, true},
		{"by name", seats[0].Outside, "localhost:" + onLoopback[strings.LastIndexByte(onLoopback, ':')+1:], true},
	} {
		if err := dial(t, x.from, x.to); (err == nil) != x.works {
			t.Errorf("%s: %v", x.what, err)
		}
	}
	must(t, w.Lead(netip.MustParsePrefix("198.19.66.0/28"), seats[0].Address))
	must(t, w.Leave(seats[0]))
	if Pinned(seats[0].NetNS) || Pinned(seats[0].Outside) {
		t.Error("namespaces of a node that left are kept")
	}
	must(t, w.Remove())
	for _, name := range []string{w.Bridge(), w.Link("n1"), w.Link("n2")} {
		if _, err := netlink.LinkByName(name); !errors.As(err, new(netlink.LinkNotFoundError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCutAndMended: a link that was taken down or away is made whole again.
func TestCutAndMended(t *testing.T) {
	w, seats := testWire(t)
	for name, cut := range map[string]func(netlink.Link) error{"down": netlink.LinkSetDown, "away": netlink.LinkDel} {
		l, err := netlink.LinkByName(w.Link("n1"))
		must(t, err)
		must(t, cut(l))
		must(t, w.Take(seats[0]))
		onWire := serve(t, func() (net.Listener, error) { return w.Listen(t.Context(), "0") })
		if err := dial(t, seats[0].NetNS, onWire); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGoReportsWhatFailed(t *testing.T) {
	if err := Go("/nowhere", func() error { return nil }); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
}
