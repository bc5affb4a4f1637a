package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/stave-run/stave/dataplane/lan"
	"github.com/stave-run/stave/dataplane/podnet"
)

// fleet are the nodes of a cluster that have network namespaces of their own on
// this machine. Without any, the machine itself is the one node.
type fleet struct {
	Network netip.Prefix `json:"network"` // that joins them
	Nodes   []fleetNode  `json:"nodes"`

	kept []netip.Prefix // networks of other clusters
}

type fleetNode struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
}

func (l layout) fleetFile() string { return filepath.Join(l.data, "nodes.json") }

func (l layout) fleet() (fleet, error) {
	var f fleet
	raw, err := os.ReadFile(l.fleetFile())
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err != nil {
		return f, fmt.Errorf("read nodes of the cluster: %s: %w\nhelp: put it back from a copy, or remove it: 'stave up --nodes=N' makes it anew, and 'stave node add' what it had beyond those", l.fleetFile(), err)
	}
	return f, nil
}

func (l layout) keepFleet(f fleet) error {
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encode nodes of the cluster: %w", err)
	}
	if err := replaceFile(l.fleetFile(), append(raw, '\n')); err != nil {
		return fmt.Errorf("keep nodes of the cluster: %w", err)
	}
	return nil
}

// wire joins the fleet's nodes. Without a network it is good for Remove only.
func (l layout) wire(f fleet) lan.Wire { return lan.Wire{Cluster: l.name, Network: f.Network} }

// nodeBits is the size of the network that joins the nodes.
const nodeBits = 24

// firstNode is the host part of the first node's address; those below are left
// to the machine.
const firstNode = 11

// add enters a node with the lowest free address.
func (f *fleet) add(name string) (fleetNode, error) {
	if !f.Network.IsValid() {
		n, err := podnet.FreeNetwork("", nodeBits, f.kept...)
		if err != nil {
			return fleetNode{}, fmt.Errorf("choose the network of the nodes: %w", err)
		}
		f.Network = n
	}
	base := f.Network.Masked().Addr().As4()
	for i := byte(firstNode); i < 255; i++ {
		base[3] = i
		a := netip.AddrFrom4(base)
		if !slices.ContainsFunc(f.Nodes, func(n fleetNode) bool { return n.Address == a }) {
			n := fleetNode{name, a}
			f.Nodes = append(f.Nodes, n)
			return n, nil
		}
	}
	return fleetNode{}, fmt.Errorf("add node %s: the network %s is full", name, f.Network)
}

func (f fleet) find(name string) (fleetNode, bool) {
	i := slices.IndexFunc(f.Nodes, func(n fleetNode) bool { return n.Name == name })
	if i < 0 {
		return fleetNode{}, false
	}
	return f.Nodes[i], true
}

// grow makes the fleet of a cluster as large as asked, with n1, n2 and so on.
func (f *fleet) grow(size int) error {
	for i := 1; len(f.Nodes) < size; i++ {
		name := "n" + strconv.Itoa(i)
		if _, ok := f.find(name); ok {
			continue
		}
		if _, err := f.add(name); err != nil {
			return err
		}
	}
	return nil
}

// shortNode is a node's name that fits into the paths of sockets as it is.
var shortNode = regexp.MustCompile(`^[a-z0-9-]{1,8}$`)

// of is where one node of the fleet keeps its things.
func (l layout) of(node string) layout {
	id := node
	if !shortNode.MatchString(id) {
		h := fnv.New32a()
		h.Write([]byte(node)) // never fails
		id = fmt.Sprintf("%08x", h.Sum32())
	}
	return layout{name: l.name + nodeMark + id, data: filepath.Join(l.data, "nodes", id), run: l.run + nodeMark + id}
}

// nodeMark stands between a cluster's name and its node's; neither has it.
const nodeMark = "_"

// netns and outside are where a node's namespace and the machine's are pinned.
func (l layout) netns() string   { return filepath.Join(l.run, "netns") }
func (l layout) outside() string { return filepath.Join(l.run, "outside") }

// ownNetNS is the namespace of a node that has one of its own, while it is there.
func (l layout) ownNetNS() string {
	if lan.Pinned(l.netns()) {
		return l.netns()
	}
	return ""
}

func (l layout) token() string { return filepath.Join(l.data, "token.json") }

// members are the layouts of all nodes that are on the machine, by what is in the
// fleet and by what has been left.
func (l layout) members(f fleet) ([]layout, error) {
	var out []layout
	for _, n := range f.Nodes {
		out = append(out, l.of(n.Name))
	}
	found, err := filepath.Glob(l.run + nodeMark + "*")
	if err != nil {
		return nil, fmt.Errorf("find nodes: %w", err)
	}
	for _, dir := range found {
		n := layout{name: filepath.Base(dir), run: dir}
		known := slices.ContainsFunc(out, func(o layout) bool { return o.run == n.run })
		if st, err := os.Stat(dir); known || err != nil || !st.IsDir() {
			continue
		}
		was, _, err := n.left()
		if err != nil {
			return nil, err
		}
		if n.data = was.Data; n.data == "" {
			n.data = filepath.Join(dir, "gone") // it was never a node: nothing is there
		}
		out = append(out, n)
	}
	return out, nil
}

func (l layout) seat(n fleetNode) lan.Seat {
	at := l.of(n.Name)
	return lan.Seat{Node: n.Name, Address: n.Address, NetNS: at.netns(), Outside: at.outside()}
}

// gather reads who the cluster's nodes are, and settles who they shall be.
func (l layout) gather(nodes int) (fleet, error) {
	f, err := l.fleet()
	if err != nil {
		return f, err
	}
	alone, err := exists(filepath.Join(l.node(), "place.json"))
	switch {
	case err != nil:
		return f, err
	case nodes == 0 || nodes == len(f.Nodes):
		return f, nil
	case alone && len(f.Nodes) == 0:
		return f, errors.New("--nodes: this cluster's node is the machine itself, with pods on it\nhelp: start another cluster with --name and --nodes, or take this one away with 'stave down --purge'")
	case nodes < len(f.Nodes):
		return f, fmt.Errorf("--nodes=%d: the cluster has %d nodes\nhelp: 'stave node leave %s' takes one away", nodes, len(f.Nodes), f.Nodes[len(f.Nodes)-1].Name)
	}
	others, err := l.otherNetworks()
	if err != nil {
		return f, err
	}
	f.kept = prefixes(others)
	if err := f.grow(nodes); err != nil {
		return f, err
	}
	return f, l.keepFleet(f)
}
