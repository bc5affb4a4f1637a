package containerd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Dial connects to a TCP port on the loopback of a pod's network: also what
// listens there alone answers. A pod of the host's network has the host's.
func (r *Runtime) Dial(ctx context.Context, uid string, port uint16) (net.Conn, error) {
	path := r.namespacePath(uid, "net")
	if !pinned(path) {
		return dialLoopback(ctx, port)
	}
	var conn net.Conn
	err := onThrowawayThread(func() error {
		ns, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("open network of pod %s: %w", uid, err)
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network of pod %s: %w", uid, err)
		}
		conn, err = dialLoopback(ctx, port) // a socket stays in the network that it was made in
		return err
	})
	return conn, err
}

// dialLoopback tries both families one after the other, on the calling thread.
func dialLoopback(ctx context.Context, port uint16) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err == nil {
		return conn, nil
	}
	conn, other := d.DialContext(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(int(port))))
	if other == nil {
		return conn, nil
	}
	var refused *net.OpError
	if errors.As(err, &refused) {
		err = refused.Err
	}
	return nil, fmt.Errorf("dial loopback: %w", err)
}
