package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/dataplane/policy"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// policiesPatience is how long a pod waits for the cluster's policies before its node is said not to know them.
const policiesPatience = 15 * time.Second

// isolation is what a node knows of network policies, and of its pods that they may be about.
type isolation struct {
	path string // where the policies are kept: a node that starts without its control plane goes by them

	mu       sync.Mutex
	rows     map[events.Key]projections.NetPolicy
	policies map[events.Key]policy.Policy
	pods     map[string]policy.Pod // by UID
	failed   bool                  // what is known is not all in force
	read     chan struct{}         // closed when the policies are known
	noted    chan struct{}         // they have changed
}

// recallIsolation begins with the policies that were kept, if any were.
func recallIsolation(path string) (*isolation, error) {
	i := &isolation{path: path, rows: map[events.Key]projections.NetPolicy{}, policies: map[events.Key]policy.Policy{}, pods: map[string]policy.Pod{},
		read: make(chan struct{}), noted: make(chan struct{}, 1)}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return i, nil
	}
	var rows []projections.NetPolicy
	if err == nil {
		err = json.Unmarshal(raw, &rows)
	}
	if err == nil {
		err = i.learn(rows, nil)
	}
	if err != nil {
		return i, fmt.Errorf("recall policies: %w", err)
	}
	close(i.read)
	return i, nil
}

// Know implements node.Network. A pod without an address is none of ours any more, or on the node's network.
func (n *network) Know(podUID string, pod *corev1.Pod) {
	if _, ok := n.links.Address(podUID); !ok {
		return
	}
	i, next := n.isolation, policyPod(pod)
	i.mu.Lock()
	same := reflect.DeepEqual(i.pods[podUID], next)
	i.pods[podUID] = next
	i.mu.Unlock()
	if same {
		return
	}
	if err := n.enforce(); err != nil {
		n.log.Error("lay policies on a pod with other labels", "pod", pod.Namespace+"/"+pod.Name, "err", err)
	}
}

func policyPod(pod *corev1.Pod) policy.Pod {
	p := policy.Pod{Namespace: pod.Namespace, Labels: pod.Labels, Ports: map[policy.Name]uint16{}}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for name, port := range namedPorts(c.Ports) {
			p.Ports[name] = port
		}
	}
	return p
}

func namedPorts(ports []corev1.ContainerPort) map[policy.Name]uint16 {
	out := map[policy.Name]uint16{}
	for _, p := range ports {
		if p.Name != "" {
			out[policy.Name{Proto: protoOf(string(p.Protocol)), Name: p.Name}] = uint16(p.ContainerPort)
		}
	}
	return out
}

func protoOf(name string) policy.Proto {
	switch corev1.Protocol(name) {
	case corev1.ProtocolUDP:
		return policy.UDP
	case corev1.ProtocolSCTP:
		return policy.SCTP
	}
	return policy.TCP
}

// isolate lays the cluster's policies on a pod that was attached, before anything of it runs.
func (n *network) isolate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, policiesPatience)
	defer cancel()
	select {
	case <-n.isolation.read:
	case <-ctx.Done():
		return errors.New("the cluster's network policies are not known yet: the control plane has not told this node")
	}
	return n.enforce()
}

// enforce makes the policies that are known hold for the pods that are known.
func (n *network) enforce() error {
	i := n.isolation
	i.mu.Lock()
	defer i.mu.Unlock()
	pods := map[netip.Addr]policy.Pod{}
	for uid, p := range i.pods {
		if ip, ok := n.links.Address(uid); ok {
			pods[ip] = p
		}
	}
	err := n.tables.Enforce(slices.Collect(maps.Values(i.policies)), pods)
	i.failed = err != nil
	return err
}

// enforceAgain tries what failed, until ctx ends: not every change that could make it hold comes over the feed.
func (n *network) enforceAgain(ctx context.Context) {
	for ctx.Err() == nil {
		sleep(ctx, keepPause)
		n.isolation.mu.Lock()
		failed := n.isolation.failed
		n.isolation.mu.Unlock()
		if !failed {
			continue
		}
		if err := n.enforce(); err != nil {
			n.log.Warn("lay network policies on pods again", "err", err)
		}
	}
}

// forget is for a pod that is no longer here.
func (i *isolation) forget(podUID string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.pods, podUID)
}

// replacePolicies makes these the cluster's policies.
func (n *network) replacePolicies(rows []projections.NetPolicy) error {
	i := n.isolation
	i.mu.Lock()
	gone := maps.Clone(i.rows)
	for _, r := range rows {
		delete(gone, r.Key)
	}
	err := i.learn(rows, slices.Collect(maps.Keys(gone)))
	i.mu.Unlock()
	if err != nil {
		return err
	}
	if err := n.enforce(); err != nil {
		return err
	}
	select {
	case <-i.read:
	default:
		close(i.read)
	}
	return nil
}

// changePolicies puts and drops some of them.
func (n *network) changePolicies(rows []projections.NetPolicy, dropped []events.Key) error {
	gone := slices.DeleteFunc(slices.Clone(dropped), func(k events.Key) bool { return k.Resource != events.NetworkPolicies })
	if len(rows)+len(gone) == 0 {
		return nil
	}
	n.isolation.mu.Lock()
	err := n.isolation.learn(rows, gone)
	n.isolation.mu.Unlock()
	if err != nil {
		return err
	}
	return n.enforce()
}

// learn takes all that it is told or nothing: half of it could leave pods open. It is called with i.mu held.
func (i *isolation) learn(rows []projections.NetPolicy, gone []events.Key) error {
	read := make([]policy.Policy, len(rows))
	for at, r := range rows {
		var err error
		if read[at], err = policyOf(r); err != nil {
			return fmt.Errorf("read policy %s: %w", r.Key, err)
		}
	}
	for _, k := range gone {
		delete(i.rows, k)
		delete(i.policies, k)
	}
	for at, r := range rows {
		i.rows[r.Key], i.policies[r.Key] = r, read[at]
	}
	select {
	case i.noted <- struct{}{}:
	default:
	}
	return nil
}

func policyOf(r projections.NetPolicy) (p policy.Policy, err error) {
	p = policy.Policy{Namespace: r.Key.Namespace, Name: r.Key.Name, Version: r.Version}
	if p.Selector, err = metav1.LabelSelectorAsSelector(&r.Selector); err != nil {
		return p, err
	}
	if p.Ingress, err = policyRules(r.Ingress); err != nil {
		return p, err
	}
	p.Egress, err = policyRules(r.Egress)
	return p, err
}

func policyRules(in *projections.NetRules) (*policy.Rules, error) {
	if in == nil {
		return nil, nil
	}
	out := policy.Rules{}
	for _, r := range in.Rules {
		rule := policy.Rule{Anyone: r.Anyone, AnyPort: len(r.Ports) == 0}
		for _, at := range r.Ports {
			if at.Name != "" {
				rule.Named = append(rule.Named, policy.Name{Proto: protoOf(at.Protocol), Name: at.Name})
			} else {
				rule.Ports = append(rule.Ports, policy.Ports{Proto: protoOf(at.Protocol), First: uint16(at.First), Last: uint16(at.Last)})
			}
		}
		if err := policyPeers(r, &rule); err != nil {
			return nil, err
		}
		out = append(out, rule)
	}
	return &out, nil
}

func policyPeers(r projections.NetRule, into *policy.Rule) error {
	for _, h := range r.Hosts {
		ip, err := netip.ParseAddr(h.IP)
		if err != nil {
			return err
		}
		into.Hosts = append(into.Hosts, policy.Host{Addr: ip, Ports: namedPorts(h.Ports)})
	}
	for _, b := range r.Blocks {
		block := policy.Block{}
		for _, s := range append([]string{b.CIDR}, b.Except...) {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				return err
			}
			block.Except = append(block.Except, p)
		}
		block.CIDR, block.Except = block.Except[0], block.Except[1:]
		into.Blocks = append(into.Blocks, block)
	}
	return nil
}

func (n *network) writePolicies() error {
	n.isolation.mu.Lock()
	raw, err := json.Marshal(slices.Collect(maps.Values(n.isolation.rows)))
	n.isolation.mu.Unlock()
	if err != nil {
		return fmt.Errorf("encode policies: %w", err)
	}
	return swapFile(n.isolation.path, raw)
}
