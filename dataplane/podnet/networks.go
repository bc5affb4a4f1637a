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
	if err := replace(networksFile(o), b); err != nil {
		return fmt.Errorf("record networks: %w", err)
	}
	return nil
}

// replace writes a file so that a power cut leaves it whole, as it was or as it is.
func replace(path string, b []byte) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
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
