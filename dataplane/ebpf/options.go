package ebpf

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"regexp"

	"github.com/stave-run/stave/dataplane/plan"
)

// DefaultBPFRoot is where bpffs is mounted on every machine with systemd.
const DefaultBPFRoot = "/sys/fs/bpf"

// Options say for whom the dataplane works and where it keeps itself.
type Options struct {
	// Cluster names the pins: lower-case letters, digits, dashes and underscores. Two
	// dataplanes on one machine (clusters, or nodes of one cluster) need different names.
	// In one network namespace their service addresses must not overlap; in two they may,
	// for the socket hooks act by the caller's namespace.
	Cluster string
	// BPFRoot is the bpffs to pin in; it is mounted when it isn't. Default [DefaultBPFRoot].
	BPFRoot string
	// CgroupRoot is a cgroup2 directory whose processes are served. By default the root of
	// the mounted cgroup2, or of one that is mounted under StateDir when there is none.
	CgroupRoot string
	// StateDir is a directory of this cluster, for that mount and for where pods'
	// namespaces are; it need not survive a reboot.
	StateDir string
	// NetNS is the path of the node's network namespace; empty for the process's own.
	NetNS string
	// NodeIP is the address under which the node is known; it must be one of its own.
	NodeIP netip.Addr
	// Inside are the networks in which pods keep their own addresses: all pods' and all
	// nodes'. Flows of pods to anywhere else leave under the node's address.
	Inside []netip.Prefix
	// Uplinks are the node's links to the outside. By default every link with an IPv4
	// address but loopback, also those that appear later.
	Uplinks []string
	// Unplaced is told which services the tables don't hold, or not whole: the first time
	// and whenever it changes. It must not call back.
	Unplaced func(plan.Refusals)
	// Log takes what happens in the background. Default: nowhere.
	Log *slog.Logger

	// classic attaches packet programs as kernels before 6.6 need it. It is found out, or
	// set by a test.
	classic bool
	// ports is how many ports translated sources can have; a test makes it small.
	ports uint16
}

var clusterName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// withDefaults checks the options and fills in what was left out.
func (o Options) withDefaults() (Options, error) {
	if !o.NodeIP.Is4() {
		return o, fmt.Errorf("check node address %q: not an IPv4 address", o.NodeIP)
	}
	o.ports = cmp.Or(o.ports, snatCount)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o.withPlace()
}

// withPlace checks and fills in where the pins are, which is enough to remove them.
func (o Options) withPlace() (Options, error) {
	if !clusterName.MatchString(o.Cluster) {
		return o, fmt.Errorf("check cluster name %q: not of lower-case letters, digits, dashes and underscores", o.Cluster)
	}
	o.BPFRoot = cmp.Or(o.BPFRoot, DefaultBPFRoot)
	return o, nil
}

// home is the directory of all clusters' pins, dir that of this one's.
func (o Options) home() string { return filepath.Join(o.BPFRoot, "stave") }
func (o Options) dir() string  { return filepath.Join(o.home(), o.Cluster) }
