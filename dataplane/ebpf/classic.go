package ebpf

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Kernels before 6.6 (Debian 12 has 6.1) have no links for packet programs. There they
// become filters of the clsact queueing discipline, which stay by themselves; a pin of the
// program beside the links' pins says that there is one.

// classicPin is the name of that pin.
func classicPin(ifindex int, dir string) string { return fmt.Sprintf("tc-%d-%s", ifindex, dir) }

// attachClassic puts a program on a device as a filter, in place of our older one. It has
// to be called in the node's network namespace.
func attachClassic(o Options, ifindex int, dir string, prog *ebpf.Program) error {
	qdisc := clsact(ifindex)
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact to device %d: %w", ifindex, err)
	}
	if err := netlink.FilterReplace(classicFilter(o, ifindex, dir, prog.FD())); err != nil {
		return fmt.Errorf("add filter to device %d: %w", ifindex, err)
	}
	path := filepath.Join(o.dir(), linksDir, classicPin(ifindex, dir))
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unpin older program: %w", err)
	}
	// A clone, because pinning a program again moves its pin.
	mark, err := prog.Clone()
	if err != nil {
		return fmt.Errorf("clone program: %w", err)
	}
	defer mark.Close()
	if err := mark.Pin(path); err != nil {
		return fmt.Errorf("pin program: %w", err)
	}
	return nil
}

// detachClassic removes our filter, and the queueing discipline when nobody else uses it.
// The device may be gone.
func detachClassic(o Options, ifindex int, dir string) error {
	path := filepath.Join(o.dir(), linksDir, classicPin(ifindex, dir))
	if there, err := exists(path); err != nil || !there {
		return err
	}
	err := inNetNS(o.NetNS, func() error {
		link, err := netlink.LinkByIndex(ifindex)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find device %d: %w", ifindex, err)
		}
		err = netlink.FilterDel(classicFilter(o, ifindex, dir, -1))
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("remove filter of device %d: %w", ifindex, err)
		}
		return dropIdleClsact(link)
	})
	if err != nil && !errors.Is(err, unix.ENODEV) { // it went meanwhile, with all that was on it
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("unpin program: %w", err)
	}
	return nil
}

func dropIdleClsact(link netlink.Link) error {
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		left, err := netlink.FilterList(link, parent)
		if err != nil {
			return fmt.Errorf("list filters of %s: %w", link.Attrs().Name, err)
		}
		if len(left) > 0 {
			return nil
		}
	}
	if err := netlink.QdiscDel(clsact(link.Attrs().Index)); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("remove clsact of %s: %w", link.Attrs().Name, err)
	}
	return nil
}

func clsact(ifindex int) *netlink.GenericQdisc {
	return &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
}

// classicFilter is the filter of this cluster; its priority keeps clusters apart.
func classicFilter(o Options, ifindex int, dir string, fd int) *netlink.BpfFilter {
	sum := fnv.New32a()
	sum.Write([]byte(o.Cluster))
	parent := uint32(netlink.HANDLE_MIN_INGRESS)
	if dir == "out" {
		parent = netlink.HANDLE_MIN_EGRESS
	}
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: parent, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: uint16(sum.Sum32()%0xc000) + 1,
		},
		Fd: fd, Name: "stave-" + o.Cluster, DirectAction: true,
	}
}
