package ebpf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/stave-run/stave/dataplane/plan"
	"github.com/stave-run/stave/dataplane/policy"
)

// memberNode marks the node's own network namespace; MEMBER_NODE in bpf/sock.h.
const memberNode = 0

// Dataplane is the agent's hold on the programs and tables in the kernel. It is safe for
// concurrent use. At most one may be open per cluster.
type Dataplane struct {
	opts  Options
	objs  *programsObjects
	table *table
	// closer is nil where the kernel can't close sockets.
	closer *closer
	cookie uint64 // of the node's network namespace

	mu       sync.Mutex
	written  *plan.Written
	policies *policy.Book
	// unplaced is what was told last, once something was.
	unplaced plan.Refusals
	told     bool
	applied  bool // before, nobody knows which services there are
	// staged: tables of another schema are in force; ours take over when they are filled.
	staged bool

	stop       context.CancelFunc
	background sync.WaitGroup
}

// Open loads the programs, adopts the tables that are pinned, and attaches. When the
// pinned tables have another schema, the programs in force go on with them until the
// first [Dataplane.Apply] has filled new ones; so attach the pods that run before it.
func Open(ctx context.Context, o Options) (*Dataplane, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ensureBPF(o); err != nil {
		return nil, err
	}
	objs, maps, err := load(o)
	if err != nil {
		return nil, err
	}
	d := &Dataplane{opts: o, objs: objs}
	if err := d.start(ctx, maps); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Dataplane) start(ctx context.Context, maps string) error {
	var err error
	if d.table, err = openTable(d.objs.Frontends, d.objs.Entries, d.objs.Slots); err != nil {
		return err
	}
	if err := errors.Join(d.readBack(), d.readPolicies()); err != nil {
		return err
	}
	if err := d.describeNode(); err != nil {
		return err
	}
	others, err := otherSchemas(d.opts, maps)
	if err != nil {
		return err
	}
	if d.staged = len(others) > 0; !d.staged {
		if err := d.attach(); err != nil {
			return err
		}
	}
	ctx, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	if d.closer, err = openCloser(&d.objs.programsMaps); err != nil {
		d.opts.Log.Warn("sockets of removed UDP backends stay open: the kernel (6.5 or newer is needed) can't close them", "err", err)
	} else {
		d.background.Go(func() { d.closeSockets(ctx) })
		d.closer.everything()
	}
	d.background.Go(func() { d.retry(ctx) })
	return d.watchDevices(ctx)
}

// readBack makes the model what the tables hold.
func (d *Dataplane) readBack() error {
	rows, err := d.table.read()
	if err != nil {
		return err
	}
	d.written = plan.Adopt(rows)
	return nil
}

// describeNode writes the tables that say who the node is.
func (d *Dataplane) describeNode() error {
	var err error
	if d.cookie, err = netNSCookie(d.opts.NetNS); err != nil {
		return err
	}
	if err := d.objs.Members.Put(d.cookie, uint32(memberNode)); err != nil {
		return fmt.Errorf("add the node's network namespace: %w", err)
	}
	// What an earlier process knew of other nodes stays until we are told.
	_, err = d.addInside(d.opts.Inside)
	return err
}

// SetInside makes the given networks the ones in which pods keep their own addresses, as
// [Options.Inside] does at the start.
func (d *Dataplane) SetInside(networks []netip.Prefix) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted, err := d.addInside(networks)
	if err != nil {
		return err
	}
	return prune(d.objs.Inside, func(p programsPrefix, _ uint8) bool { return !wanted[p] })
}

func (d *Dataplane) addInside(networks []netip.Prefix) (map[programsPrefix]bool, error) {
	wanted := map[programsPrefix]bool{}
	for _, p := range networks {
		key := programsPrefix{Bits: uint32(p.Bits()), Addr: be32(p.Masked().Addr())}
		wanted[key] = true
		if err := d.objs.Inside.Put(key, uint8(1)); err != nil {
			return nil, fmt.Errorf("add inside network %s: %w", p, err)
		}
	}
	return wanted, nil
}

// attach puts all programs in force, in place of those of an earlier process.
func (d *Dataplane) attach() error {
	cgroup, err := cgroupRoot(d.opts)
	if err != nil {
		return err
	}
	if err := d.attachSockets(cgroup); err != nil {
		return err
	}
	if err := d.syncDevices(); err != nil {
		return err
	}
	var links []int
	for it, addr, ifindex := d.objs.Pods.Iterate(), uint32(0), uint32(0); it.Next(&addr, &ifindex); {
		links = append(links, int(ifindex))
	}
	return inNetNS(d.opts.NetNS, func() error {
		for _, ifindex := range links {
			if err := d.attachPodLink(ifindex); err != nil && !linkGone(err) {
				return err
			}
		}
		return nil
	})
}

// AttachPod lets a pod take part: hostLink is the node's end of its link, ip its address,
// netNSPath its network namespace. Doing it again changes nothing.
func (d *Dataplane) AttachPod(hostLink string, ip netip.Addr, netNSPath string) error {
	cookie, err := netNSCookie(netNSPath)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return inNetNS(d.opts.NetNS, func() error {
		l, err := netlink.LinkByName(hostLink)
		if err != nil {
			return fmt.Errorf("find pod's link %s: %w", hostLink, err)
		}
		ifindex := uint32(l.Attrs().Index)
		if err := d.objs.Pods.Put(be32(ip), ifindex); err != nil {
			return fmt.Errorf("add pod %s: %w", ip, err)
		}
		if err := d.objs.Members.Put(cookie, ifindex); err != nil {
			return fmt.Errorf("add pod's network namespace: %w", err)
		}
		if err := d.keepNamespace(cookie, netNSPath); err != nil {
			return err
		}
		if d.staged {
			return nil
		}
		return d.attachPodLink(int(ifindex))
	})
}

// DetachPod forgets a pod by its address. It is no error if the pod is unknown, or its
// link gone.
func (d *Dataplane) DetachPod(ip netip.Addr) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ifindex uint32
	err := d.objs.Pods.Lookup(be32(ip), &ifindex)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look pod %s up: %w", ip, err)
	}
	return errors.Join(
		d.pruneMembers(func(link uint32) bool { return link == ifindex }),
		d.detachDevice(int(ifindex)),
		prune(d.objs.Pods, func(addr, _ uint32) bool { return addr == be32(ip) }),
		d.releasePods(func(link uint32) bool { return link == ifindex }),
	)
}

// Cgroup is the directory of the cgroup that the socket hooks are on.
func (d *Dataplane) Cgroup() (string, error) { return cgroupRoot(d.opts) }

// Close lets go of the dataplane and leaves it working: everything stays pinned.
func (d *Dataplane) Close() error {
	if d.stop != nil {
		d.stop()
		d.background.Wait()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	if d.table != nil {
		err = d.table.close()
	}
	if d.closer != nil {
		err = errors.Join(err, d.closer.close())
	}
	return errors.Join(err, d.objs.Close())
}

// Remove closes the dataplane and takes everything of its cluster out of the kernel.
func (d *Dataplane) Remove() error {
	return errors.Join(d.Close(), Remove(d.opts))
}

// Remove takes everything of a cluster out of the kernel, for when no process holds it.
// It needs no more of the options than say where: Cluster, BPFRoot, StateDir, NetNS. It is no
// error if there is nothing.
func Remove(o Options) error {
	o, err := o.withPlace()
	if err != nil {
		return err
	}
	if there, err := exists(o.home()); err != nil || !there {
		return errors.Join(err, releaseCgroup(o))
	}
	unlock, err := lockHome(o)
	if err != nil {
		return err
	}
	defer unlock()
	return errors.Join(detachAll(o), removeTree(o.dir()), forgetNamespaces(o), releaseBPF(o), releaseCgroup(o))
}
