package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/stave-run/stave/dataplane/podnet"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/containerd"
)

// footprint is what `down` must know to take a cluster off the machine. It lies
// with what a reboot takes, as its matter does, and not with the data: that may
// have been removed by hand.
type footprint struct {
	Data        string       `json:"data"`                 // the data directory
	Containerd  string       `json:"containerd,omitempty"` // socket of the outside one
	PodCIDR     netip.Prefix `json:"podCIDR"`
	ServiceCIDR netip.Prefix `json:"serviceCIDR"`
}

func (l layout) footprintFile() string { return filepath.Join(l.run, "footprint.json") }

// leave writes the footprint down before anything of it is on the machine.
func (l layout) leave(f footprint) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode footprint: %w", err)
	}
	if err := os.MkdirAll(l.run, 0o700); err != nil {
		return fmt.Errorf("write footprint: %w", err)
	}
	tmp := l.footprintFile() + ".new"
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		return fmt.Errorf("write footprint: %w", err)
	}
	if err := os.Rename(tmp, l.footprintFile()); err != nil {
		return fmt.Errorf("write footprint: %w", err)
	}
	return nil
}

// left reads the footprint; ok is false when the cluster is not on the machine.
func (l layout) left() (f footprint, ok bool, err error) {
	raw, err := os.ReadFile(l.footprintFile())
	if errors.Is(err, os.ErrNotExist) {
		return f, false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err != nil {
		return f, false, fmt.Errorf("read footprint %s: %w", l.footprintFile(), err)
	}
	return f, f.Data != "", nil // one without data was left by nobody who can be swept after
}

// leaveNetworks adds to the footprint which networks the node routes.
func (l layout) leaveNetworks(place wire.JoinReply) error {
	f, _, err := l.left()
	if err != nil {
		return err
	}
	if f.PodCIDR, err = netip.ParsePrefix(place.PodCIDR); err != nil {
		return fmt.Errorf("read pod network: %w", err)
	}
	if f.ServiceCIDR, err = netip.ParsePrefix(place.ServiceCIDR); err != nil {
		return fmt.Errorf("read service network: %w", err)
	}
	return l.leave(f)
}

// runtimeOptions are where a cluster's containers live on this machine.
func (l layout) runtimeOptions(f footprint) containerd.Options {
	return containerd.Options{Root: l.containers(), State: l.run, Cluster: l.name, ContainerdAddress: f.Containerd}
}

// linkOptions are where its pods' links are. Without networks the last ones count.
func (l layout) linkOptions(f footprint) podnet.Options {
	return podnet.Options{Cluster: l.name, PodCIDR: f.PodCIDR, ServiceCIDR: f.ServiceCIDR, StateDir: l.links(), NetNS: l.ownNetNS()}
}
