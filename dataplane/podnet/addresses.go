package podnet

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ErrNoAddress means that every address of the pod network is in use.
var ErrNoAddress = errors.New("no free pod address")

// addresses hands out the pod network's addresses. The record is a directory with one
// file per address in use, which holds the pod's uid.
type addresses struct {
	dir  string
	cidr netip.Prefix

	mu    sync.Mutex
	byPod map[string]netip.Addr
	taken map[netip.Addr]bool
	last  netip.Addr
}

// gateway is the node's own address in a pod network: the first after the network's.
func gateway(cidr netip.Prefix) netip.Addr { return cidr.Masked().Addr().Next() }

// openAddresses reads the record. Records outside the network (it was changed) are kept
// for their pods, until those are released.
func openAddresses(dir string, cidr netip.Prefix) (*addresses, error) {
	a := &addresses{dir: dir, cidr: cidr, byPod: map[string]netip.Addr{}, taken: map[netip.Addr]bool{}, last: gateway(cidr)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make address directory: %w", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var newest time.Time
	for _, f := range files {
		ip, err := netip.ParseAddr(f.Name())
		if err != nil {
			return nil, fmt.Errorf("read address record: %w", err)
		}
		uid, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("read address record: %w", err)
		}
		if len(uid) == 0 { // it was cut off before it said whose it is: nobody is wired with it
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return nil, fmt.Errorf("remove address record: %w", err)
			}
			continue
		}
		a.byPod[string(uid)], a.taken[ip] = ip, true
		if info, err := f.Info(); err == nil && info.ModTime().After(newest) && cidr.Contains(ip) {
			newest, a.last = info.ModTime(), ip
		}
	}
	return a, nil
}

// take is the pod's address: the one it has, or the next free one. Addresses are used in
// turn, so that one that was just given back rests as long as possible.
func (a *addresses) take(uid string) (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ip, ok := a.byPod[uid]; ok {
		return ip, nil
	}
	ip, err := a.free()
	if err != nil {
		return ip, err
	}
	if err := os.WriteFile(filepath.Join(a.dir, ip.String()), []byte(uid), 0o644); err != nil {
		return netip.Addr{}, fmt.Errorf("record address: %w", err)
	}
	a.byPod[uid], a.taken[ip], a.last = ip, true, ip
	return ip, nil
}

// of is the pod's address, if it has one.
func (a *addresses) of(uid string) (netip.Addr, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ip, ok := a.byPod[uid]
	return ip, ok
}

// free goes once around the network, leaving out its own address, the gateway and the
// broadcast address.
func (a *addresses) free() (netip.Addr, error) {
	first := gateway(a.cidr).Next()
	size := 1 << (32 - a.cidr.Bits())
	for ip, tries := a.last, 0; tries < size; tries++ {
		if ip = ip.Next(); !a.cidr.Contains(ip.Next()) {
			ip = first
		}
		if !a.taken[ip] {
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w in %s", ErrNoAddress, a.cidr)
}

// give returns a pod's address. It is no error if it has none.
func (a *addresses) give(uid string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	ip, ok := a.byPod[uid]
	if !ok {
		return nil
	}
	if err := os.Remove(filepath.Join(a.dir, ip.String())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove address record: %w", err)
	}
	delete(a.byPod, uid)
	delete(a.taken, ip)
	return nil
}

// pods are the uids that have an address.
func (a *addresses) pods() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for uid := range a.byPod {
		out = append(out, uid)
	}
	return out
}
