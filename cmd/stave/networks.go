package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/stave-run/stave/projections"
)

// networks are those that a cluster was given for good, kept where every cluster
// of the machine looks: one that is down shows no routes, and shall find its
// networks free when it comes back.
type networks struct {
	name     string
	Data     string         `json:"data"` // of the cluster; without it they are free again
	Networks []netip.Prefix `json:"networks"`
}

// networksSuffix ends the name of a cluster's file beside the data directories.
const networksSuffix = ".networks"

func (l layout) networksFile() string { return filepath.Join(dataDir, l.name+networksSuffix) }

// networksOf are the networks of a cluster.
func networksOf(s projections.Cluster, f fleet) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, cidr := range []string{s.PodCIDR, s.ServiceCIDR} {
		p, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, fmt.Errorf("read network: %w", err)
		}
		out = append(out, p)
	}
	if f.Network.IsValid() {
		out = append(out, f.Network)
	}
	return out, nil
}

// keepNetworks writes down which networks the cluster has.
func (l layout) keepNetworks(own []netip.Prefix) error {
	n := networks{Data: l.data, Networks: own}
	raw, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode networks: %w", err)
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return fmt.Errorf("keep networks: %w", err)
	}
	if err := replaceFile(l.networksFile(), raw); err != nil {
		return fmt.Errorf("keep networks: %w", err)
	}
	return nil
}

// forgetNetworks gives them back.
func (l layout) forgetNetworks() error {
	if err := os.Remove(l.networksFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget networks: %w", err)
	}
	return nil
}

// otherNetworks are those of the clusters that run here or left their data here.
func (l layout) otherNetworks() ([]networks, error) {
	files, err := filepath.Glob(filepath.Join(dataDir, "*"+networksSuffix))
	if err != nil {
		return nil, fmt.Errorf("find networks: %w", err)
	}
	var out []networks
	for _, file := range files {
		n := networks{name: strings.TrimSuffix(filepath.Base(file), networksSuffix)}
		raw, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || n.name == l.name {
			continue
		}
		if err == nil {
			err = json.Unmarshal(raw, &n)
		}
		if err != nil {
			return nil, fmt.Errorf("read networks of cluster %s: %w", n.name, err)
		}
		if kept, err := exists(filepath.Join(n.Data, "log")); err == nil && kept {
			out = append(out, n)
		}
	}
	return out, nil
}

// prefixes are all networks of some clusters.
func prefixes(of []networks) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range of {
		out = append(out, n.Networks...)
	}
	return out
}

// apart says which other cluster has a network that one of these overlaps. Two of
// them cannot be on the machine at the same time; one that is down is warned of.
func (l layout) apart(others []networks, own []netip.Prefix, say func(string, ...any)) error {
	for _, o := range others {
		for _, p := range own {
			q, ok := overlapping(p, o.Networks)
			if !ok {
				continue
			}
			there, err := exists(layout{run: filepath.Join(runDir, o.name)}.footprintFile())
			if err != nil {
				return fmt.Errorf("look for cluster %s: %w", o.name, err)
			}
			if there {
				return fmt.Errorf("the network %s of cluster %s overlaps %s of cluster %s, which is on this machine\nhelp: take that one down first: stave down%s", p, l.name, q, o.name, nameFlag(o.name))
			}
			say("warning: the network %s overlaps %s of cluster %s, which is down: the two cannot run at the same time", p, q, o.name)
		}
	}
	return nil
}

func overlapping(p netip.Prefix, with []netip.Prefix) (netip.Prefix, bool) {
	for _, q := range with {
		if p.Overlaps(q) {
			return q, true
		}
	}
	return netip.Prefix{}, false
}
