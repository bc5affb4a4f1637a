package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// nodeCmd is `stave node`.
type nodeCmd struct {
	Add    nodeAddCmd    `cmd:"" help:"Make another node on this machine, or start one that is down."`
	Leave  nodeLeaveCmd  `cmd:"" help:"Take a node of this machine out of its cluster, with all that runs on it."`
	Token  nodeTokenCmd  `cmd:"" help:"Make the file with which a node joins."`
	Join   nodeJoinCmd   `cmd:"" help:"Run a node in the network namespace that this command is in."`
	Hollow nodeHollowCmd `cmd:"" help:"Pretend nodes, which run nothing: for tests of scale."`
	Delete nodeDeleteCmd `cmd:"" help:"Take a node out of the cluster; it is let in no more."`
}

// nodeTokenCmd is `stave node token`.
type nodeTokenCmd struct {
	Node   string `arg:"" help:"Name of the node."`
	Output string `short:"o" help:"File to write, readable for you alone; standard output when empty." placeholder:"FILE"`
}

// Help implements kong's detailed help.
func (nodeTokenCmd) Help() string {
	return `Who can read the file can be that node.

Examples:
  stave node token n4 -o n4.json`
}

// Run asks the server to let the node in.
func (c *nodeTokenCmd) Run(ctx context.Context, s *session) error {
	raw, err := s.token(ctx, c.Node)
	if err != nil {
		return err
	}
	if c.Output == "" {
		_, err = s.out.Write(raw)
		return err
	}
	if err := os.WriteFile(c.Output, raw, 0o600); err != nil {
		return fmt.Errorf("write token: %w", err)
	}
	return os.Chmod(c.Output, 0o600) // it may have been there, wider
}

func (s *session) token(ctx context.Context, node string) ([]byte, error) {
	reply, err := ask[wire.TokenReply](ctx, s, wire.VerbToken, wire.TokenRequest{Node: node})
	if err == nil {
		err = refused(reply.Error)
	}
	return reply.Token, err
}

// nodeJoinCmd is `stave node join`.
type nodeJoinCmd struct {
	boundFlags
	Token             string `required:"" help:"File that 'stave node token' made." placeholder:"FILE"`
	DataDir           string `help:"Where images and volumes are kept; a directory of the node's own below /var/lib/stave when empty." placeholder:"DIR"`
	RegistryHosts     string `help:"Directory of registry mirrors in containerd's certs.d layout." default:"/etc/containerd/certs.d" placeholder:"DIR"`
	ContainerdAddress string `help:"Socket of a containerd to use; the embedded one when empty." placeholder:"SOCKET"`
	Outside           string `hidden:"" help:"Network namespace from which registries and name servers are reached."`
}

// Help implements kong's detailed help.
func (nodeJoinCmd) Help() string {
	return `It runs until it is stopped; containers run on after it.

Examples:
  sudo stave node join --token=n4.json
  sudo ip netns exec n4 stave node join --token=n4.json`
}

// Run is the node until it is stopped.
func (c *nodeJoinCmd) Run(ctx context.Context, s *session) error {
	if err := errors.Join(needRoot("node join"), needRunc(), c.boundFlags.check()); err != nil {
		return err
	}
	t, err := readToken(c.Token)
	if err != nil {
		return err
	}
	l := layout{name: t.Cluster, data: filepath.Join(dataDir, t.Cluster), run: filepath.Join(runDir, t.Cluster)}.of(t.Node)
	if c.DataDir != "" {
		if l.data, err = filepath.Abs(c.DataDir); err != nil {
			return fmt.Errorf("--data-dir %q: %w", c.DataDir, err)
		}
	}
	if err := l.makeMember(); err != nil {
		return err
	}
	lock, err := l.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	return c.run(ctx, s, membership{layout: l, cluster: t.Cluster, node: t.Node, server: t.Server, credential: t.Credential,
		registries: c.RegistryHosts, containerd: c.ContainerdAddress, outside: c.Outside, bounds: c.boundFlags})
}

func (c *nodeJoinCmd) run(ctx context.Context, s *session, m membership) error {
	say, done := progressOf(s)
	r := newRooms(slog.New(slog.NewTextHandler(os.Stderr, nil)).With("cluster", m.cluster))
	n, err := startMember(ctx, m, r, say)
	if err != nil {
		return errors.Join(err, r.close())
	}
	for n.network.Load() == nil && ctx.Err() == nil && err == nil {
		select {
		case err = <-r.failed:
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if err == nil {
		say("node %s has joined cluster %s", m.node, m.cluster)
		done()
		select {
		case <-ctx.Done():
		case err = <-r.failed:
		}
	}
	return errors.Join(err, n.stop())
}

// readToken refuses a file that others than its owner may read, as credentials are.
func readToken(path string) (token, error) {
	var t token
	st, err := os.Stat(path)
	if err != nil {
		return t, fmt.Errorf("read token: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return t, fmt.Errorf("token %s has mode %04o: others can read it; chmod 600 it", path, st.Mode().Perm())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return t, fmt.Errorf("read token: %w", err)
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return t, fmt.Errorf("decode token %s: %w\nhelp: 'stave node token NODE -o FILE' makes one", path, err)
	}
	if !clusterName.MatchString(t.Cluster) || t.Node == "" || t.Credential.User != jetstream.NodeUser(t.Node) {
		return t, fmt.Errorf("token %s names no node of a cluster\nhelp: 'stave node token NODE -o FILE' makes one", path)
	}
	return t, nil
}

// nodeDeleteCmd is `stave node delete`.
type nodeDeleteCmd struct {
	Message string `short:"m" help:"Why; kept with the events." placeholder:"TEXT"`
	Node    string `arg:"" help:"Name of the node."`
}

// Help implements kong's detailed help.
func (nodeDeleteCmd) Help() string {
	return `Its pods are gone for the cluster at once, and replaced elsewhere. What of them still runs on its machine is taken away there, by 'stave node leave'.

Examples:
  stave node delete n3`
}

// Run lets the node in no more and deletes it.
func (c *nodeDeleteCmd) Run(ctx context.Context, s *session) error {
	return s.forget(ctx, c.Node, c.Message)
}

// forget takes a node out of the cluster.
func (s *session) forget(ctx context.Context, node, message string) error {
	k := events.Key{Resource: events.Nodes, Name: node}
	if _, err := readOne[*corev1.Node](ctx, s, k); err != nil {
		return err
	}
	// First the door: it must not come back while it is being deleted.
	reply, err := ask[wire.TokenReply](ctx, s, wire.VerbExpel, wire.TokenRequest{Node: node})
	if err == nil {
		err = refused(reply.Error)
	}
	if err != nil {
		return err
	}
	results, err := s.change(ctx, wire.ChangeRequest{Operation: wire.Delete, Message: message, Items: []wire.Item{{Key: k}}})
	if err != nil {
		return err
	}
	if err := refused(results[0].Error); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "node %q deleted\n", node)
	return nil
}
