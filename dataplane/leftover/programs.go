package leftover

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/netdump"
)

// ciliums is how the names of Cilium's programs begin, since 2022.
const ciliums = "cil_"

// pinsOfCilium is where its links to cgroups are kept; they go when nothing keeps them.
const pinsOfCilium = "/sys/fs/bpf/cilium"

var socketHooks = []ebpf.AttachType{
	ebpf.AttachCGroupInet4Connect, ebpf.AttachCGroupInet6Connect, ebpf.AttachCGroupUDP4Sendmsg,
	ebpf.AttachCGroupUDP4Recvmsg, ebpf.AttachCgroupInet4GetPeername,
}

// socketPrograms finds programs that translate services at the socket, as ours do.
func socketPrograms(cgroup string) ([]Finding, error) {
	if cgroup == "" {
		return nil, nil
	}
	dir, err := os.Open(cgroup)
	if err != nil {
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	defer dir.Close()
	var names []string
	for _, hook := range socketHooks {
		found, err := programsAt(int(dir.Fd()), hook)
		if err != nil {
			return nil, fmt.Errorf("list programs of %s: %w", cgroup, err)
		}
		names = append(names, found...)
	}
	if len(names) == 0 {
		return nil, nil
	}
	f := Finding{"Cilium", counted(names, "program") + " on the cgroup " + cgroup, "rm -r " + pinsOfCilium}
	if _, err := os.Stat(pinsOfCilium); err != nil {
		// Attached without a link, which no pin holds.
		f.Remove = fmt.Sprintf("bpftool cgroup show %s, and bpftool cgroup detach %s HOOK id ID for each", cgroup, cgroup)
	}
	return []Finding{f}, nil
}

// programsAt are the names of Cilium's programs on one hook of a cgroup or a link.
func programsAt(target int, hook ebpf.AttachType) ([]string, error) {
	all, err := link.QueryPrograms(link.QueryOptions{Target: target, Attach: hook})
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
		return nil, nil // a kernel without this hook
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range all.Programs {
		name, err := nameOf(a.ID)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(name, ciliums) {
			out = append(out, name)
		}
	}
	return out, nil
}

func nameOf(id ebpf.ProgramID) (string, error) {
	p, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil // it is just going
	}
	if err != nil {
		return "", err
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return "", err
	}
	return info.Name, nil
}

// linkPrograms finds programs on the node's links, attached in either of two ways.
func linkPrograms() ([]Finding, error) {
	links, err := netdump.Whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var on, remove []string
	for _, l := range links {
		name, index := l.Attrs().Name, l.Attrs().Index
		for _, side := range []struct {
			name   string
			parent uint32
			hook   ebpf.AttachType
		}{
			{"ingress", netlink.HANDLE_MIN_INGRESS, ebpf.AttachTCXIngress}, {"egress", netlink.HANDLE_MIN_EGRESS, ebpf.AttachTCXEgress},
		} {
			filters, err := filtersAt(l, side.parent)
			if err != nil {
				return nil, fmt.Errorf("list filters of %s: %w", name, err)
			}
			programs, err := programsAt(index, side.hook)
			if err != nil {
				return nil, fmt.Errorf("list programs of %s: %w", name, err)
			}
			if len(filters) > 0 {
				remove = append(remove, "tc filter del dev "+name+" "+side.name)
			}
			if len(programs) > 0 {
				remove = append(remove, "rm -r "+pinsOfCilium)
			}
			for _, p := range append(filters, programs...) {
				on = append(on, p+" on "+name)
			}
		}
	}
	if len(on) == 0 {
		return nil, nil
	}
	slices.Sort(remove)
	return []Finding{{"Cilium", counted(on, "program"), strings.Join(slices.Compact(remove), " && ")}}, nil
}

// filtersAt are the names of Cilium's filters on one side of a link.
func filtersAt(l netlink.Link, parent uint32) ([]string, error) {
	list, err := netdump.Whole(func() ([]netlink.Filter, error) { return netlink.FilterList(l, parent) })
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
		return nil, nil // gone, or without a queueing discipline for filters
	}
	var out []string
	for _, f := range list {
		if b, ok := f.(*netlink.BpfFilter); ok && strings.HasPrefix(b.Name, ciliums) {
			out = append(out, b.Name)
		}
	}
	return out, err
}
