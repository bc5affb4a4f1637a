// Package claim keeps the ports that a node answers on for services and pods apart from
// those of other programs and of other clusters on the machine. A port is claimed by a
// socket that is bound and never listens, so that whoever comes later is told by the kernel
// that the address is in use; and it is written down, because tables and programs in the
// kernel go on answering while no process of the cluster runs.
//
// All is about the network namespace that the process is in.
package claim

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

// TakenError says who has a port that was asked for.
type TakenError struct {
	Port  plan.Frontend
	Owner string // "cluster two (default/web)", "nginx (pid 12)"
}

// Error implements error.
func (e *TakenError) Error() string { return fmt.Sprintf("%s is held by %s", e.Port, e.Owner) }

// Options say whose claims these are and where all clusters write theirs.
type Options struct {
	// Dir holds a directory for each cluster or node that is on the machine.
	Dir string
	// Name is that of this one's directory; it is there.
	Name string
}

// Claims are the ports of one node, on all its addresses or on one.
type Claims struct {
	o  Options
	ns string

	mu   sync.Mutex
	held map[plan.Frontend]holding
	by   map[string][]plan.Frontend // what each key has
}

// holding is a claimed port.
type holding struct {
	key    string
	socket int
}

func (h holding) close() {
	if h.socket != noSocket {
		unix.Close(h.socket)
	}
}

// Open claims nothing yet. What an earlier process of this node has written down stays until the first Change.
func Open(o Options) (*Claims, error) {
	ns, err := namespace()
	if err != nil {
		return nil, err
	}
	return &Claims{o: o, ns: ns, held: map[plan.Frontend]holding{}, by: map[string][]plan.Frontend{}}, nil
}

// Change makes these the ports of each key, and frees those of keys that are dropped. It returns what could not be
// claimed, by key: that is left out, all else is done. A port that another key of this node holds is not refused here,
// for the tables know which is first.
func (c *Claims) Change(put map[string][]plan.Frontend, drop []string) (map[string][]*TakenError, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := false
	for _, key := range drop {
		changed = c.free(key, nil) || changed
	}
	for key, ports := range put {
		changed = c.free(key, ports) || changed
	}
	refused := map[string][]*TakenError{}
	var errs []error
	for key, ports := range put {
		for _, p := range ports {
			if _, ours := c.held[p]; ours {
				continue
			}
			changed = true
			taken, err := c.take(key, p)
			errs = append(errs, err)
			if taken != nil {
				refused[key] = append(refused[key], taken)
			}
		}
	}
	if changed {
		errs = append(errs, c.write())
	}
	return refused, errors.Join(errs...)
}

// Keys are those that have ports.
func (c *Claims) Keys() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.by))
}

// free gives up what a key has and does not want any more; it says whether that was anything.
func (c *Claims) free(key string, wanted []plan.Frontend) bool {
	keeps := map[plan.Frontend]bool{}
	for _, p := range wanted {
		keeps[p] = true
	}
	var left []plan.Frontend
	for _, p := range c.by[key] {
		if keeps[p] {
			left = append(left, p)
			continue
		}
		c.held[p].close()
		delete(c.held, p)
	}
	freed := len(left) < len(c.by[key])
	if c.by[key] = left; len(left) == 0 {
		delete(c.by, key)
	}
	return freed
}

// noSocket is the socket of a port that overlaps another of this node, which has one: the kernel gives out one of the two.
const noSocket = -1

// overlaps says whether this node has a port already that cannot be had beside this one.
func (c *Claims) overlaps(p plan.Frontend) bool {
	for h := range c.held {
		if overlap(h, p) {
			return true
		}
	}
	return false
}

// overlap says whether two ports cannot both be had: they are one, and one of them is on all addresses.
func overlap(a, b plan.Frontend) bool {
	return a.Port == b.Port && a.Proto == b.Proto && (a.Addr == b.Addr || !a.Addr.IsValid() || !b.Addr.IsValid())
}

// take claims a port, or says who has it.
func (c *Claims) take(key string, p plan.Frontend) (*TakenError, error) {
	// First what is written: a cluster that is not running has no sockets.
	others, err := others(c.o, c.ns)
	if err != nil {
		return nil, err
	}
	for _, o := range others {
		if overlap(o.port, p) {
			return &TakenError{p, o.owner}, nil
		}
	}
	socket, err := noSocket, error(nil)
	if !c.overlaps(p) {
		socket, err = bind(p)
	}
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil, nil // an address that the node does not have: no program can be there
	}
	if errors.Is(err, unix.EADDRINUSE) {
		who, _ := owner(p)
		return &TakenError{p, who}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", p, err)
	}
	c.held[p] = holding{key, socket}
	c.by[key] = append(c.by[key], p)
	return nil, nil
}

// bind makes the socket that holds a port.
func bind(p plan.Frontend) (int, error) {
	kind := unix.SOCK_STREAM
	if p.Proto == plan.UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	at := &unix.SockaddrInet4{Port: int(p.Port)}
	if p.Addr.Is4() {
		at.Addr = p.Addr.As4()
	}
	if p.Proto == plan.TCP {
		// What remains of a listener's old connections is in nobody's way. Afterwards it is off again, or who sets it, too,
		// as most servers do, could listen beside this one.
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, at)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
	}
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// Listen makes the socket that holds a TCP port one that listens: for ports on which the node answers by itself. It does
// so until both the listener is closed and the port given up.
func (c *Claims) Listen(p plan.Frontend) (net.Listener, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ours := c.held[p]
	if !ours || h.socket == noSocket {
		return nil, fmt.Errorf("listen on %s: another service of this node has it", p)
	}
	if err := unix.Listen(h.socket, unix.SOMAXCONN); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", p, err)
	}
	fd, err := unix.FcntlInt(uintptr(h.socket), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", p, err)
	}
	f := os.NewFile(uintptr(fd), p.String())
	defer f.Close() // the listener has one of its own
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", p, err)
	}
	return l, nil
}

// Close lets go of the sockets. What is written stays, as the tables do.
func (c *Claims) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.held {
		h.close()
	}
	clear(c.held)
	return nil
}
