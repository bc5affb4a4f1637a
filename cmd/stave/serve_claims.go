package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/dataplane/claim"
	"github.com/stave-run/stave/dataplane/plan"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/admit"
)

// misplaced is what the node does not answer on, and why: because its tables are
// full, or because somebody else has the port.
type misplaced struct {
	judge func(plan.Refusals) // told when it has changed

	mu     sync.Mutex
	tables plan.Refusals
	taken  map[string]error // by service, or by what else has ports
	told   bool
}

// byTables is told what the tables refuse.
func (m *misplaced) byTables(r plan.Refusals) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tables = r
	m.tell()
}

// byOthers is told which ports others have, for some keys.
func (m *misplaced) byOthers(keys []string, taken map[string][]*claim.TakenError) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := !m.told
	for _, k := range keys {
		var errs []error
		for _, e := range taken[k] {
			errs = append(errs, e)
		}
		err, before := errors.Join(errs...), m.taken[k]
		changed = changed || (err == nil) != (before == nil) || err != nil && err.Error() != before.Error()
		if m.taken[k] = err; err == nil {
			delete(m.taken, k)
		}
	}
	if changed {
		m.tell()
	}
}

// tell is called with mu held.
func (m *misplaced) tell() {
	m.told = true
	all := map[string][]error{}
	for _, r := range m.tables {
		all[r.Key] = append(all[r.Key], r.Err)
	}
	for k, err := range m.taken {
		all[k] = append(all[k], err)
	}
	var out plan.Refusals
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, plan.Refusal{Key: k, Err: errors.Join(all[k]...)})
	}
	m.judge(out)
}

// of says which ports of rows others have.
func (m *misplaced) of(rows []plan.Service) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, s := range rows {
		errs = append(errs, m.taken[s.Key])
	}
	return errors.Join(errs...)
}

// claimed takes the ports of the node that rows ask for, gives up those of rows
// that go, and leaves out of the rows what somebody else has. It is called with
// n.mu held.
func (n *network) claimed(rows []plan.Service, gone []string) ([]plan.Service, error) {
	put, keys := map[string][]plan.Frontend{}, slices.Clone(gone)
	for _, s := range rows {
		put[s.Key] = append(nodePorts(s), n.health.ports(s.Key)...)
		keys = append(keys, s.Key)
	}
	n.health.release(keys)
	taken, err := n.claims.Change(put, gone)
	if err != nil {
		return nil, err
	}
	n.misplaced.byOthers(keys, taken)
	n.health.serve(keys, n.claims, taken)
	for _, k := range keys {
		delete(n.waiting, k)
	}
	if len(taken) == 0 {
		return rows, nil
	}
	out := slices.Clone(rows)
	for i, s := range rows {
		if by := taken[s.Key]; len(by) > 0 {
			n.waiting[s.Key], out[i] = s, without(s, by)
		}
	}
	return out, nil
}

// claimedAll is claimed for all rows that there are; others' ports are given up.
func (n *network) claimedAll(rows []plan.Service) ([]plan.Service, error) {
	gone := map[string]bool{}
	for _, k := range n.claims.Keys() {
		gone[k] = true
	}
	for k := range n.waiting {
		gone[k] = true
	}
	for _, s := range rows {
		delete(gone, s.Key)
	}
	return n.claimed(rows, slices.Collect(maps.Keys(gone)))
}

// nodePorts are the ports of the node that a row asks for: on every address, or, where it is a pod's, on one.
func nodePorts(s plan.Service) []plan.Frontend {
	var out []plan.Frontend
	for _, p := range s.Ports {
		switch {
		case p.NodePort != 0:
			out = append(out, plan.Frontend{Port: p.NodePort, Proto: p.Proto})
		case isHostPort(s):
			out = append(out, plan.Frontend{Addr: s.ClusterIP, Port: p.Port, Proto: p.Proto})
		}
	}
	return out
}

// without is a row that does not ask for what others have.
func without(s plan.Service, taken []*claim.TakenError) plan.Service {
	if isHostPort(s) {
		s.Ports = nil // it has one
		return s
	}
	s.Ports = slices.Clone(s.Ports)
	for i, p := range s.Ports {
		if slices.ContainsFunc(taken, func(e *claim.TakenError) bool { return e.Port.Port == p.NodePort && e.Port.Proto == p.Proto }) {
			s.Ports[i].NodePort = 0
		}
	}
	return s
}

// askAgainEvery is how often a port that somebody else has is asked for again.
const askAgainEvery = 5 * time.Second

// askAgain takes the ports that others have given up.
func (n *network) askAgain(ctx context.Context) {
	for sleep(ctx, askAgainEvery); ctx.Err() == nil; sleep(ctx, askAgainEvery) {
		if err := n.placeAgain(); err != nil {
			n.log.Warn("taking node ports that others had", "err", err)
		}
	}
}

func (n *network) placeAgain() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) == 0 {
		return nil
	}
	rows, err := n.claimed(slices.Collect(maps.Values(n.waiting)), nil)
	if err != nil {
		return err
	}
	return placed(n.tables.Change(rows, nil))
}

// held are the node ports that others on this machine have. Where the nodes have
// network namespaces of their own nobody knows here: their conditions tell.
func (c *cluster) held() map[admit.Port]string {
	if len(c.fleet.Nodes) > 0 {
		return nil
	}
	found, err := claim.Held(c.layout.claims(), uint16(manifest.FirstNodePort), uint16(manifest.LastNodePort))
	if err != nil {
		c.logger.Warn("look who has node ports", "err", err) // the node finds out when it wants one
	}
	out := map[admit.Port]string{}
	for p, who := range found {
		out[admit.Port{Number: int32(p.Port), Protocol: corev1.Protocol(p.Proto.String())}] = who
	}
	return out
}
