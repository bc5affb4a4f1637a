package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// nodeAddCmd is `stave node add`.
type nodeAddCmd struct {
	hereFlags
	boundFlags
	Nodes             []string `arg:"" name:"node" help:"Names of the nodes."`
	RegistryHosts     string   `help:"Directory of registry mirrors in containerd's certs.d layout." default:"/etc/containerd/certs.d" placeholder:"DIR"`
	ContainerdAddress string   `help:"Socket of a containerd to use; an embedded one when empty." placeholder:"SOCKET"`
}

// Help implements kong's detailed help.
func (nodeAddCmd) Help() string {
	return `For clusters that were started with --nodes: the new node, too, is a process in a network namespace of its own.

Examples:
  sudo stave node add n4
  sudo stave node add n4 n5 --name test`
}

// Run adds one node after another.
func (c *nodeAddCmd) Run(ctx context.Context, s *session) error {
	if err := c.boundFlags.check(); err != nil {
		return err
	}
	l, unlock, err := c.hold(s, "node add")
	if err != nil {
		return err
	}
	defer unlock()
	f, err := l.fleet()
	if err != nil {
		return err
	}
	if len(f.Nodes) == 0 {
		return fmt.Errorf("the one node of cluster %s is this machine itself\nhelp: start a cluster with 'stave up --nodes=N' to have more on one machine", l.name)
	}
	for _, name := range c.Nodes {
		if err := c.add(ctx, s, l, &f, name); err != nil {
			return err
		}
	}
	return nil
}

// hold reads where the cluster is, and keeps others from changing its nodes.
func (f hereFlags) hold(s *session, verb string) (layout, func(), error) {
	if err := errors.Join(needRoot(verb), needRunc()); err != nil {
		return layout{}, nil, err
	}
	l, err := f.layout(s)
	if err != nil {
		return l, nil, err
	}
	dir, err := os.Open(l.data)
	if err != nil {
		return l, nil, fmt.Errorf("open cluster %s: %w", l.name, err)
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return l, nil, errors.Join(fmt.Errorf("lock cluster %s: %w", l.name, err), dir.Close())
	}
	return l, func() { _ = dir.Close() }, nil
}

func (c *nodeAddCmd) add(ctx context.Context, s *session, l layout, f *fleet, name string) error {
	n, ok := f.find(name)
	if !ok {
		var err error
		if n, err = f.add(name); err != nil {
			return err
		}
	}
	raw, err := s.token(ctx, name)
	if err != nil {
		return err
	}
	_, unknown := readOne[*corev1.Node](ctx, s, events.Key{Resource: events.Nodes, Name: name})
	if unknown != nil && !isNotFound(unknown) {
		return unknown
	}
	if err := l.keepFleet(*f); err != nil {
		return err
	}
	at := sitter{layout: l, fleet: *f, node: n, token: raw, registries: c.RegistryHosts, containerd: c.ContainerdAddress, bounds: c.boundFlags, anew: unknown != nil}
	if err := at.start(ctx); err != nil {
		return err
	}
	o, err := s.nodeReady(ctx, name)
	if err != nil {
		return err
	}
	if err := leadTo(l.wire(*f).Lead, o, n); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "node %s ready at %s\n", name, n.Address)
	return nil
}

// nodeReady waits until the cluster has heard of the node.
func (s *session) nodeReady(ctx context.Context, name string) (*corev1.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		o, err := readOne[*corev1.Node](ctx, s, events.Key{Resource: events.Nodes, Name: name})
		if err != nil && !isNotFound(err) { // one that was deleted joins while its process starts
			return nil, fmt.Errorf("wait for node %s: %w", name, err)
		}
		if err == nil && slices.ContainsFunc(o.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}) {
			return o, nil
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

// nodeLeaveCmd is `stave node leave`.
type nodeLeaveCmd struct {
	hereFlags
	Node string `arg:"" help:"Name of the node."`
}

// Help implements kong's detailed help.
func (nodeLeaveCmd) Help() string {
	return `Its pods end with it, and are replaced on other nodes. Its images and volumes are removed.

Examples:
  sudo stave node leave n3`
}

// Run deletes the node, stops its process and removes what it had here.
func (c *nodeLeaveCmd) Run(ctx context.Context, s *session) error {
	l, unlock, err := c.hold(s, "node leave")
	if err != nil {
		return err
	}
	defer unlock()
	f, err := l.fleet()
	if err != nil {
		return err
	}
	n, ok := f.find(c.Node)
	if !ok {
		return fmt.Errorf("node %q of cluster %s is not on this machine, or is the machine itself\nhelp: 'stave node delete' takes a node out of its cluster", c.Node, l.name)
	}
	if err := s.forget(ctx, c.Node, ""); err != nil && !isNotFound(err) {
		return err
	}
	say := func(string, ...any) {}
	if err := takeAway(ctx, l.of(n.Name), say); err != nil {
		return err
	}
	if err := l.wire(f).Leave(l.seat(n)); err != nil {
		return err
	}
	if err := os.RemoveAll(l.of(n.Name).data); err != nil {
		return fmt.Errorf("remove data: %w", err)
	}
	f.Nodes = slices.DeleteFunc(f.Nodes, func(o fleetNode) bool { return o.Name == n.Name })
	return l.keepFleet(f)
}

func isNotFound(err error) bool {
	var s *statusError
	return errors.As(err, &s) && s.Reason == metav1.StatusReasonNotFound
}

// takeAway ends a node's process and removes what it has on the machine.
func takeAway(ctx context.Context, at layout, say func(string, ...any)) error {
	lock, err := at.takeOver(ctx, say)
	if err != nil {
		return err
	}
	traces, _, err := at.left()
	if err == nil {
		err = sweep(ctx, at, traces, say)
	}
	return errors.Join(err, at.unlock(lock))
}
