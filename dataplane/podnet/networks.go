package podnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
)

// networks are kept beside the addresses, so that Remove knows what Open did
// when nobody is left to tell it.
type networks struct {
	PodCIDR     netip.Prefix `json:"podCIDR"`
	ServiceCIDR netip.Prefix `json:"serviceCIDR"`
	ClusterCIDR netip.Prefix `json:"clusterCIDR,omitzero"`
}

func networksFile(o Options) string { return filepath.Join(o.StateDir, "networks.json") }

func recordNetworks(o Options) error {
	b, err := json.Marshal(networks{o.PodCIDR, o.ServiceCIDR, o.ClusterCIDR})
	if err != nil {
		return fmt.Errorf("encode networks: %w", err)
	}
	if err := os.WriteFile(networksFile(o), b, 0o644); err != nil {
		return fmt.Errorf("record networks: %w", err)
	}
	return nil
}

// recall fills in the networks that the caller does not know; without a record
// nothing was prepared.
func recall(o Options) (Options, error) {
	if o.PodCIDR.IsValid() && o.ClusterCIDR.IsValid() {
		return o, nil
	}
	b, err := os.ReadFile(networksFile(o))
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return o, fmt.Errorf("read networks: %w", err)
	}
	var n networks
	if err := json.Unmarshal(b, &n); err != nil {
		return o, fmt.Errorf("decode %s: %w", networksFile(o), err)
	}
	o.ClusterCIDR = n.ClusterCIDR
	if !o.PodCIDR.IsValid() {
		o.PodCIDR, o.ServiceCIDR = n.PodCIDR, n.ServiceCIDR
	}
	return o, nil
}

// forget removes a record that may be gone already.
func forget(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget networks: %w", err)
	}
	return nil
}
