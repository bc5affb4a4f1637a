package ebpf

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/stave-run/stave/dataplane/policy"
)

// Prefixes of bpf/policy.h begin with a number that has to be met whole.
const (
	policyPortBits = 48 // the set, the protocol and what fills it up
	policyPeerBits = 32 // the class
)

// Enforce makes the policies hold for the pods that are given, by address. Pods that are attached and not given stay under
// what an earlier call, or an earlier process, has laid on them; who is not attached yet is left out. It fails when there are
// more rows than room; what was in force for a pod is so until all that is new for it is written.
func (d *Dataplane) Enforce(all []policy.Policy, pods map[netip.Addr]policy.Pod) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(all) == 0 && d.policies.Empty() {
		return nil
	}
	known, attached, err := d.policyPods(pods)
	if err != nil {
		return err
	}
	w := d.policies.Diff(policy.Compile(all, known), func(link uint32) bool { return attached[link] })
	if err := d.writePolicies(w); err != nil {
		return errors.Join(fmt.Errorf("write policies: %w", err), d.clearUp())
	}
	d.policies.Done(w)
	return nil
}

// clearUp removes what was begun and leads nowhere, so that there is room for another try.
func (d *Dataplane) clearUp() error {
	if err := d.readPolicies(); err != nil {
		return err
	}
	w := d.policies.Diff(policy.Tables{}, func(uint32) bool { return true })
	if err := d.writePolicies(w); err != nil {
		return fmt.Errorf("clear policies up: %w", err)
	}
	d.policies.Done(w)
	return nil
}

// policyPods are the given pods by their links, and the links of all that are attached.
func (d *Dataplane) policyPods(pods map[netip.Addr]policy.Pod) (known []policy.Pod, attached map[uint32]bool, err error) {
	attached = map[uint32]bool{}
	var addr, link uint32
	it := d.objs.Pods.Iterate()
	for it.Next(&addr, &link) {
		attached[link] = true
		if p, ok := pods[addrOf(addr)]; ok {
			p.Link = link
			known = append(known, p)
		}
	}
	if err := it.Err(); err != nil {
		return nil, nil, fmt.Errorf("list pods: %w", err)
	}
	return known, attached, nil
}

// writePolicies makes the writes, in their order.
func (d *Dataplane) writePolicies(w policy.Writes) error {
	for _, k := range w.PutPeers {
		if err := d.objs.PolicyPeers.Put(peerKey(k), oneIf(w.In(k))); err != nil {
			return fmt.Errorf("allow %s: %w", k.Net, err)
		}
	}
	for _, k := range w.PutPorts {
		if err := d.objs.PolicyPorts.Put(portKey(k), w.Class(k)); err != nil {
			return fmt.Errorf("allow port %d: %w", k.Port, err)
		}
	}
	for _, link := range w.PutPods {
		s := w.Sets(link)
		if err := d.objs.Isolated.Put(link, programsIsolation{Ingress: s.Ingress, Egress: s.Egress}); err != nil {
			return fmt.Errorf("isolate pod: %w", err)
		}
	}
	var err error
	for _, link := range w.DropPods {
		err = errors.Join(err, deleteRow(d.objs.Isolated, link))
	}
	for _, k := range w.DropPorts {
		err = errors.Join(err, deleteRow(d.objs.PolicyPorts, portKey(k)))
	}
	for _, k := range w.DropPeers {
		err = errors.Join(err, deleteRow(d.objs.PolicyPeers, peerKey(k)))
	}
	return err
}

// deleteRow is no error if there is no such row.
func deleteRow(m *ebpf.Map, key any) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("remove row of %s: %w", m, err)
	}
	return nil
}

// readPolicies begins the book of policies with what the tables hold.
func (d *Dataplane) readPolicies() error {
	r := policy.NewRows()
	var link, class uint32
	var sets programsIsolation
	pods := d.objs.Isolated.Iterate()
	for pods.Next(&link, &sets) {
		r.Pods[link] = policy.Sets{Ingress: sets.Ingress, Egress: sets.Egress}
	}
	var port programsPolicyPort
	ports := d.objs.PolicyPorts.Iterate()
	for ports.Next(&port, &class) {
		r.Ports[policy.PortKey{Set: port.Set, Proto: policy.Proto(port.Proto), Port: be16(port.Port), Bits: int(port.Bits) - policyPortBits}] = class
	}
	var peer programsPolicyPeer
	var in uint8
	peers := d.objs.PolicyPeers.Iterate()
	for peers.Next(&peer, &in) {
		r.Peers[policy.PeerKey{Class: peer.Class, Net: netip.PrefixFrom(addrOf(peer.Addr), int(peer.Bits)-policyPeerBits)}] = in != 0
	}
	if err := errors.Join(pods.Err(), ports.Err(), peers.Err()); err != nil {
		return fmt.Errorf("read policies: %w", err)
	}
	d.policies = policy.Adopt(r)
	return nil
}

// releasePods lifts what lies on links that are gone.
func (d *Dataplane) releasePods(gone func(link uint32) bool) error {
	err := prune(d.objs.Isolated, func(link uint32, _ programsIsolation) bool { return gone(link) })
	d.policies.Forget(gone)
	return err
}

func portKey(k policy.PortKey) programsPolicyPort {
	return programsPolicyPort{Bits: uint32(policyPortBits + k.Bits), Set: k.Set, Proto: uint8(k.Proto), Port: be16(k.Port)}
}

func peerKey(k policy.PeerKey) programsPolicyPeer {
	return programsPolicyPeer{Bits: uint32(policyPeerBits + k.Net.Bits()), Class: k.Class, Addr: be32(k.Net.Masked().Addr())}
}

func oneIf(on bool) uint8 {
	if on {
		return 1
	}
	return 0
}
