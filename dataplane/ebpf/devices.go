package ebpf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/netdump"
)

// settle is how long the links have to be quiet before they are looked at again: a link
// comes with several messages.
const settle = 20 * time.Millisecond

// syncDevices attaches to the uplinks that are there, and forgets uplinks and pods whose
// links are gone.
func (d *Dataplane) syncDevices() error {
	return inNetNS(d.opts.NetNS, func() error {
		up, addrs, present, err := d.look()
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if err := d.objs.NodeAddrs.Put(be32(a), uint8(1)); err != nil {
				return fmt.Errorf("add node address %s: %w", a, err)
			}
		}
		for ifindex, addr := range up {
			if err := d.objs.Uplinks.Put(uint32(ifindex), be32(addr)); err != nil {
				return fmt.Errorf("add uplink: %w", err)
			}
			err := d.attachUplink(ifindex)
			if linkGone(err) { // since it was listed; what is left of it is swept
				delete(up, ifindex)
				delete(present, ifindex)
				continue
			}
			if err != nil {
				return err
			}
		}
		return d.sweep(up, addrs, present)
	})
}

// linkGone tells whether something failed because its link is no longer there.
func linkGone(err error) bool { return errors.Is(err, unix.ENODEV) }

// look lists the uplinks with the address that flows take on them, all IPv4 addresses of
// the node, and all links.
func (d *Dataplane) look() (up map[int]netip.Addr, addrs []netip.Addr, present map[int]bool, err error) {
	links, err := netdump.Whole(netlink.LinkList)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("list links: %w", err)
	}
	list, err := netdump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, nil, nil, fmt.Errorf("list addresses: %w", err)
	}
	byLink := map[int][]netip.Addr{}
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok && !ip.IsLoopback() {
			byLink[a.LinkIndex] = append(byLink[a.LinkIndex], ip)
			addrs = append(addrs, ip)
		}
	}
	up, present = map[int]netip.Addr{}, map[int]bool{}
	for _, l := range links {
		index := l.Attrs().Index
		present[index] = true
		own := byLink[index]
		if len(own) == 0 || !d.isUplink(l) {
			continue
		}
		up[index] = own[0]
		if slices.Contains(own, d.opts.NodeIP) {
			up[index] = d.opts.NodeIP
		}
	}
	return up, addrs, present, nil
}

func (d *Dataplane) isUplink(l netlink.Link) bool {
	if len(d.opts.Uplinks) > 0 {
		return slices.Contains(d.opts.Uplinks, l.Attrs().Name)
	}
	return l.Attrs().RawFlags&unix.IFF_LOOPBACK == 0
}

// sweep removes what no longer belongs to a link of the node.
func (d *Dataplane) sweep(up map[int]netip.Addr, addrs []netip.Addr, present map[int]bool) error {
	podLinks := map[uint32]bool{}
	podGone := func(_, ifindex uint32) bool {
		podLinks[ifindex] = present[int(ifindex)]
		return !present[int(ifindex)]
	}
	isAddr := map[uint32]bool{}
	for _, a := range addrs {
		isAddr[be32(a)] = true
	}
	err := errors.Join(
		prune(d.objs.Pods, podGone),
		d.releasePods(func(link uint32) bool { return !present[int(link)] }),
		d.pruneMembers(func(ifindex uint32) bool { return ifindex != memberNode && !present[int(ifindex)] }),
		prune(d.objs.NodeAddrs, func(addr uint32, _ uint8) bool { return !isAddr[addr] }),
		prune(d.objs.Uplinks, func(ifindex, _ uint32) bool { return !up[int(ifindex)].IsValid() }),
	)
	attached, listErr := d.attachedDevices()
	err = errors.Join(err, listErr)
	for ifindex := range attached {
		if !up[ifindex].IsValid() && !podLinks[uint32(ifindex)] {
			err = errors.Join(err, d.detachDevice(ifindex))
		}
	}
	return err
}

// prune deletes the rows of a table that are gone.
func prune[K, V any](m *ebpf.Map, gone func(K, V) bool) error {
	var key K
	var value V
	var dead []K
	for it := m.Iterate(); it.Next(&key, &value); {
		if gone(key, value) {
			dead = append(dead, key)
		}
	}
	for _, k := range dead {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove row of %s: %w", m, err)
		}
	}
	return nil
}

// watchDevices keeps the uplinks up to date until the context ends.
func (d *Dataplane) watchDevices(ctx context.Context) error {
	h, err := d.listen(ctx)
	if err != nil {
		return err
	}
	d.background.Go(func() {
		for d.followDevices(ctx, h); ctx.Err() == nil; d.followDevices(ctx, h) {
			// Who listens too slowly while many links come and go is told no more: what was missed is looked for.
			if h, err = d.listen(ctx); err != nil {
				d.opts.Log.Warn("watching links of the node", "err", err)
				sleep(ctx, listenPause)
				continue
			}
			d.resync(ctx)
		}
	})
	return nil
}

// listenPause is what lies between two tries to listen.
const listenPause = time.Second

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// hearing is what the kernel says of links and addresses, until end. A channel that is closed before is one that it gave up.
type hearing struct {
	links chan netlink.LinkUpdate
	addrs chan netlink.AddrUpdate
	end   context.CancelFunc
}

func (d *Dataplane) listen(ctx context.Context) (hearing, error) {
	ctx, end := context.WithCancel(ctx)
	h := hearing{make(chan netlink.LinkUpdate), make(chan netlink.AddrUpdate), end}
	ns, err := d.netNSHandle()
	if err != nil {
		close(h.links)
		close(h.addrs)
		return h, err
	}
	fail := func(err error) {
		if ctx.Err() == nil { // what is closed has no more to say
			d.opts.Log.Debug("watching links of the node", "err", err)
		}
	}
	err = netlink.LinkSubscribeWithOptions(h.links, ctx.Done(), netlink.LinkSubscribeOptions{Namespace: ns, ErrorCallback: fail})
	if err != nil {
		close(h.links)
	}
	addrErr := netlink.AddrSubscribeWithOptions(h.addrs, ctx.Done(), netlink.AddrSubscribeOptions{Namespace: ns, ErrorCallback: fail})
	if addrErr != nil {
		close(h.addrs)
	}
	if ns != nil {
		err = errors.Join(err, ns.Close())
	}
	if err = errors.Join(err, addrErr); err != nil {
		h.drain()
		return h, fmt.Errorf("subscribe to links of the node: %w", err)
	}
	return h, nil
}

// drain ends a hearing: the subscriptions block until somebody has heard them out.
func (h hearing) drain() {
	h.end()
	for range h.links { //nolint:revive // nobody wants to know any more
	}
	for range h.addrs { //nolint:revive // as above
	}
}

func (d *Dataplane) netNSHandle() (*netns.NsHandle, error) {
	if d.opts.NetNS == "" {
		return nil, nil
	}
	ns, err := netns.GetFromPath(d.opts.NetNS)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", d.opts.NetNS, err)
	}
	return &ns, nil
}

// followDevices looks at the links when something was heard of them, until one of them ends.
func (d *Dataplane) followDevices(ctx context.Context, h hearing) {
	defer h.drain()
	quiet := time.NewTimer(settle)
	defer quiet.Stop()
	for {
		select {
		case u, ok := <-h.links:
			switch {
			case !ok:
				return
			case d.concerns(u):
				quiet.Reset(settle)
			}
		case u, ok := <-h.addrs:
			switch {
			case !ok:
				return
			case u.LinkAddress.IP.To4() != nil: // each link of a pod gets one of IPv6 by itself
				quiet.Reset(settle)
			}
		case <-quiet.C:
			d.resync(ctx)
		}
	}
}

// concerns says whether a message of a link is a reason to look at all of them. That a link is new or has changed is none: it
// is an uplink by its name, or from its first address on, of which a message of its own tells. A pod that begins sends half a
// dozen, and to look costs as much as there are pods.
func (d *Dataplane) concerns(u netlink.LinkUpdate) bool {
	return u.Header.Type == unix.RTM_DELLINK || len(d.opts.Uplinks) > 0 && d.isUplink(u.Link)
}

func (d *Dataplane) resync(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil || d.staged {
		return
	}
	if err := d.syncDevices(); err != nil {
		d.opts.Log.Warn("attaching to links of the node", "err", err)
	}
}
