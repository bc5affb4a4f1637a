package ebpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// ensureLink attaches a program under a name that survives us. A link that is pinned
// already gets the new program in place, without a moment in which none is attached.
func (d *Dataplane) ensureLink(name string, prog *ebpf.Program, attach func() (link.Link, error)) error {
	path := filepath.Join(d.opts.dir(), linksDir, name)
	old, err := link.LoadPinnedLink(path, nil)
	switch {
	case err == nil:
		err = old.Update(prog)
		old.Close()
		if err == nil {
			return nil
		}
		// What it was attached to is gone.
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("unpin dead link %s: %w", name, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open link %s: %w", name, err)
	}
	l, err := attach()
	if err != nil {
		return fmt.Errorf("attach %s: %w", name, err)
	}
	defer l.Close()
	if err := l.Pin(path); err != nil {
		return fmt.Errorf("pin link %s: %w", name, err)
	}
	return nil
}

// attachSockets puts the socket hooks on the cgroup.
func (d *Dataplane) attachSockets(cgroup string) error {
	p := d.objs
	for _, h := range []struct {
		name string
		prog *ebpf.Program
		at   ebpf.AttachType
	}{
		// The way back first: a socket must not get a translated peer that it can't name.
		{"recvmsg4", p.Recvmsg4, ebpf.AttachCGroupUDP4Recvmsg},
		{"recvmsg6", p.Recvmsg6, ebpf.AttachCGroupUDP6Recvmsg},
		{"getpeername4", p.Getpeername4, ebpf.AttachCgroupInet4GetPeername},
		{"getpeername6", p.Getpeername6, ebpf.AttachCgroupInet6GetPeername},
		{"connect4", p.Connect4, ebpf.AttachCGroupInet4Connect},
		{"connect6", p.Connect6, ebpf.AttachCGroupInet6Connect},
		{"sendmsg4", p.Sendmsg4, ebpf.AttachCGroupUDP4Sendmsg},
	} {
		err := d.ensureLink(h.name, h.prog, func() (link.Link, error) {
			return link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: h.at, Program: h.prog})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// attachUplink puts the packet programs on one of the node's links to the outside; it has to be called in the node's network
// namespace.
func (d *Dataplane) attachUplink(ifindex int) error {
	return d.attachDevice(ifindex, d.objs.FromNet, d.objs.FromNode)
}

// attachPodLink likewise puts them on the node's end of a pod's link.
func (d *Dataplane) attachPodLink(ifindex int) error {
	return d.attachDevice(ifindex, d.objs.FromPod, d.objs.ToPod)
}

func (d *Dataplane) attachDevice(ifindex int, in, out *ebpf.Program) error {
	for _, h := range []struct {
		dir  string
		prog *ebpf.Program
		at   ebpf.AttachType
	}{{"out", out, ebpf.AttachTCXEgress}, {"in", in, ebpf.AttachTCXIngress}} {
		if err := d.attachOne(ifindex, h.dir, h.prog, h.at); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dataplane) attachOne(ifindex int, dir string, prog *ebpf.Program, at ebpf.AttachType) error {
	if d.opts.classic {
		return attachClassic(d.opts, ifindex, dir, prog)
	}
	err := d.ensureLink(deviceLink(ifindex, dir), prog, func() (link.Link, error) {
		return link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: prog, Attach: at})
	})
	if errors.Is(err, ebpf.ErrNotSupported) {
		d.opts.classic = true
		return attachClassic(d.opts, ifindex, dir, prog)
	}
	return err
}

func deviceLink(ifindex int, dir string) string { return fmt.Sprintf("dev-%d-%s", ifindex, dir) }

// detachDevice takes the packet programs off a link; it may be gone, or never have had any.
func (d *Dataplane) detachDevice(ifindex int) error {
	var err error
	for _, dir := range []string{"in", "out"} {
		err = errors.Join(err,
			detachPin(filepath.Join(d.opts.dir(), linksDir, deviceLink(ifindex, dir))),
			detachClassic(d.opts, ifindex, dir))
	}
	return err
}

// detachAll takes every program of a cluster off what it is attached to.
func detachAll(o Options) error {
	d := &Dataplane{opts: o}
	devices, err := d.attachedDevices()
	for ifindex := range devices {
		err = errors.Join(err, d.detachDevice(ifindex))
	}
	pins, globErr := filepath.Glob(filepath.Join(o.dir(), linksDir, "*"))
	err = errors.Join(err, globErr)
	for _, path := range pins {
		err = errors.Join(err, detachPin(path))
	}
	return err
}

// detachPin detaches before it unpins: a link whose last reference goes is detached by
// the kernel too, but some time later, and then whoever asked for it still sees it act.
func detachPin(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open link %s: %w", path, err)
	}
	defer l.Close()
	// It fails when what it was attached to is gone, and then there is nothing to do.
	_ = l.Detach()
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("unpin link %s: %w", path, err)
	}
	return nil
}

// attachedDevices are the devices that have programs, by the names of their pins.
func (d *Dataplane) attachedDevices() (map[int]bool, error) {
	pins, err := os.ReadDir(filepath.Join(d.opts.dir(), linksDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	out := map[int]bool{}
	for _, p := range pins {
		parts := strings.Split(p.Name(), "-")
		if len(parts) != 3 { // a socket hook
			continue
		}
		ifindex, err := strconv.Atoi(parts[1])
		if err != nil {
			return nil, fmt.Errorf("read link name %s: %w", p.Name(), err)
		}
		out[ifindex] = true
	}
	return out, nil
}
