package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stave-run/stave/dataplane/dns"
	"github.com/stave-run/stave/gateway/wire"
)

// knownNames are what a node's name server knows, kept for the next process of the
// node: it answers from them before anything else of it is there.
type knownNames struct {
	Rows []dns.Row `json:"rows"`
}

func (l layout) names() string { return filepath.Join(l.run, "names.json") }

// keepPause is what gathers between two writings of what a node knows: each holds all.
const keepPause = 5 * time.Second

// recallNames answers names as they were, at the place that this node had; nil when
// it had none, or the machine has been started anew. Everybody waits for names, and
// a server with a long log or many containers takes seconds to be there.
func recallNames(l layout, dial func(context.Context, string, string) (net.Conn, error), log *slog.Logger) *dns.Server {
	var place wire.JoinReply
	var known knownNames
	for path, into := range map[string]any{filepath.Join(l.node(), "place.json"): &place, l.names(): &known} {
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			log.Warn("recall names", "file", path, "err", err) // they come from the cluster in a moment
			return nil
		}
	}
	pods, err := netip.ParsePrefix(place.PodCIDR)
	if err != nil {
		return nil // the agent says what is wrong with its place
	}
	s, err := dns.Serve(context.Background(), dns.Options{Listen: namesAt(pods.Masked().Addr().Next()), Domain: place.Domain, Dial: dial, Log: log})
	if err != nil {
		log.Debug("recall names", "err", err) // the address is not there yet, or somebody answers still
		return nil
	}
	s.Recall(known.Rows)
	return s
}

// recall has names answered as they were, where this machine is the cluster's one node.
func (c *cluster) recall(context.Context, *upCmd, func(string, ...any)) error {
	if len(c.fleet.Nodes) > 0 {
		return nil
	}
	if c.recalled = recallNames(c.layout, nil, c.logger); c.recalled != nil {
		c.onClose(c.recalled.Close)
	}
	return nil
}

// recall is the same for a node whose process is not the cluster's.
func (m *member) recall() {
	if m.recalled != nil {
		return
	}
	if m.recalled = recallNames(m.layout, m.dial(), m.logger); m.recalled != nil {
		m.onClose(m.recalled.Close)
	}
}

// namesAt is where a node's name server listens: at the node's own address among its pods.
func namesAt(gateway netip.Addr) netip.AddrPort { return netip.AddrPortFrom(gateway, dnsPort) }

// serveNames is the node's name server: the one that answers already, if that is the one.
func (m *member) serveNames(ctx context.Context, at netip.AddrPort, domain string) (*dns.Server, error) {
	if s := m.recalled; s != nil && s.Addr() == at {
		return s, nil
	}
	s, err := dns.Serve(ctx, dns.Options{Listen: at, Domain: domain, Dial: m.dial(), Log: m.logger})
	if err != nil {
		return nil, fmt.Errorf("serve names: %w", err)
	}
	return s, nil
}

// noteNames remembers what the name server was told. It is called with n.mu held.
func (n *network) noteNames(put []dns.Row, gone []string) {
	for _, r := range put {
		n.rows[r.Namespace+"/"+r.Name] = r
	}
	for _, key := range gone {
		delete(n.rows, key)
	}
	select {
	case n.noted <- struct{}{}:
	default:
	}
}

// keep writes down what a node knows whenever it was noted that it has changed, until ctx ends.
func (n *network) keep(ctx context.Context, what string, noted <-chan struct{}, write func() error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-noted:
		}
		if err := write(); err != nil {
			n.log.Warn("keep "+what, "err", err)
		}
		sleep(ctx, keepPause)
	}
}

func (n *network) writeNames(path string) error {
	n.mu.Lock()
	known := knownNames{slices.Collect(maps.Values(n.rows))}
	n.mu.Unlock()
	raw, err := json.Marshal(known)
	if err != nil {
		return fmt.Errorf("encode names: %w", err)
	}
	if err := swapFile(path, raw); err != nil {
		return fmt.Errorf("write names: %w", err)
	}
	return nil
}

// swapFile puts a whole file in the place of what is there.
func swapFile(path string, raw []byte) error {
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
