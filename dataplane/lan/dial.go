package lan

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout is what registries' clients grant a connection by default.
const dialTimeout = 30 * time.Second

// Dial connects from the namespace pinned at path, and looks names up there: a node of this
// machine reaches registries and name servers as the machine itself does, those on its
// loopback among them.
func Dial(path string) func(ctx context.Context, network, address string) (net.Conn, error) {
	// What a dialer does on goroutines of its own would be done elsewhere: it is given
	// addresses only, one at a time.
	plain := func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = Go(path, func() error {
			c, err = (&net.Dialer{Timeout: dialTimeout, FallbackDelay: -1}).DialContext(ctx, network, address)
			return err
		})
		return c, err
	}
	names := &net.Resolver{PreferGo: true, Dial: plain}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		found, err := names.LookupHost(ctx, host)
		if err != nil {
			return nil, err
		}
		var c net.Conn
		for _, ip := range found {
			if c, err = plain(ctx, network, net.JoinHostPort(ip, port)); err == nil {
				return c, nil
			}
		}
		return nil, err
	}
}

// Listen takes connections from the wire and from nowhere else: its address belongs to the
// machine, and without more the kernel would take packets for it on every link.
func (w Wire) Listen(ctx context.Context, port string) (net.Listener, error) {
	only := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var bound error
		err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), w.Bridge()) })
		if err != nil {
			return err
		}
		return bound
	}}
	return only.Listen(ctx, "tcp4", net.JoinHostPort(w.Machine().String(), port))
}
