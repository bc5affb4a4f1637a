package ebpf

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

// TestRestart: while nobody holds the dataplane, open connections go on and new ones are
// made; the next process takes over without a failed request and without a write.
func TestRestart(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.apply(web(nodePort, b))
	inside, err := dial(a.ns, "tcp", webIP+":80")
	must(t, err)
	defer inside.Close()
	outside, err := dial(l.outside, "tcp", onNode(nodePort))
	must(t, err)
	defer outside.Close()
	stop := l.load(a.ns, "tcp")
	for range 3 {
		must(t, l.plane.Close())
		l.expect(a.ns, "tcp", webIP+":80", b)
		l.expect(l.outside, "udp", onNode(nodePort), b)
		l.open()
		if got, _ := l.plane.written.Lookup(plan.Frontend{Port: nodePort, Proto: plan.TCP}); fmt.Sprint(got) != fmt.Sprint([]netip.AddrPort{b.addrPort()}) {
			t.Fatalf("read back %v", got)
		}
		if writes, err := plan.Diff([]plan.Service{web(nodePort, b)}, l.plane.written, time.Now()); err != nil || len(writes) != 0 {
			t.Fatalf("a restart wrote %v, %v", writes, err)
		}
		for where, c := range map[string]interface {
			Write([]byte) (int, error)
			Read([]byte) (int, error)
		}{"inside": inside, "outside": outside} {
			if _, err := c.Write([]byte("?\n")); err != nil {
				t.Fatalf("connection from %s: %v", where, err)
			}
			if _, err := c.Read(make([]byte, 100)); err != nil {
				t.Fatalf("connection from %s: %v", where, err)
			}
		}
	}
	t.Logf("%d requests under way", stop())
}

// TestServicesOfAnEarlierLifeGo: what nobody wants after a restart is removed.
func TestServicesOfAnEarlierLifeGo(t *testing.T) {
	l := newLab(t)
	b := l.pod("b")
	old := web(0, b)
	old.Key, old.ClusterIP = "default/old", netip.MustParseAddr("10.201.0.99")
	l.apply(web(0, b), old)
	must(t, l.plane.Close())
	l.open()
	l.expect(l.node, "tcp", "10.201.0.99:80", b)
	l.apply(web(0, b))
	if _, _, err := askOnce(l.node, "tcp", "10.201.0.99:80"); err == nil {
		t.Fatal("a service that is gone still answers")
	}
	l.expect(l.node, "tcp", webIP+":80", b)
}

func TestPodGoes(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.apply(web(0, b))
	l.expect(a.ns, "tcp", webIP+":80", b)
	must(t, l.plane.AttachPod(l.net.HostLink("a"), a.ip, a.ns))
	must(t, l.plane.DetachPod(a.ip))
	must(t, l.plane.DetachPod(a.ip))
	must(t, l.net.Detach(t.Context(), "a"))
	if rows := count[uint32, uint32](l.plane.objs.Pods) + count[uint64, uint32](l.plane.objs.Members); rows != 1+2 {
		t.Errorf("%d rows; want one pod, its namespace and the node's", rows)
	}
	// A pod whose link went while nobody looked is forgotten at the next start.
	must(t, l.plane.Close())
	must(t, l.net.Detach(t.Context(), "b"))
	l.open()
	if rows := count[uint32, uint32](l.plane.objs.Pods) + count[uint64, uint32](l.plane.objs.Members); rows != 1 {
		t.Errorf("%d rows; want the node's namespace alone", rows)
	}
	if devs, err := l.plane.attachedDevices(); err != nil || len(devs) != 1 {
		t.Errorf("devices %v, %v; want the uplink alone", devs, err)
	}
}

func count[K, V any](m *ebpf.Map) int {
	n := 0
	var k K
	var v V
	for it := m.Iterate(); it.Next(&k, &v); {
		n++
	}
	return n
}

// TestOtherSchema: tables of another version stay in force until new ones are filled.
func TestOtherSchema(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.apply(web(nodePort, b))
	must(t, l.plane.Close())
	dirs, err := otherSchemas(l.opts, "")
	must(t, err)
	if len(dirs) != 1 {
		t.Fatalf("schemas %v", dirs)
	}
	// The programs in force hold their tables, whatever the pins are called.
	other := filepath.Join(l.opts.dir(), mapsPrefix+"0123456789ab")
	must(t, os.Rename(dirs[0], other))
	stop := l.load(a.ns, "tcp")
	l.open()
	if !l.plane.staged {
		t.Fatal("tables of another schema were adopted")
	}
	l.expect(l.outside, "tcp", onNode(nodePort), b)
	for _, p := range []*pod{a, b} {
		must(t, l.plane.AttachPod(l.net.HostLink(p.name), p.ip, p.ns))
	}
	l.apply(web(nodePort, b))
	l.expect(l.outside, "tcp", onNode(nodePort), b)
	stop()
	if left, err := otherSchemas(l.opts, dirs[0]); err != nil || len(left) != 0 {
		t.Fatalf("old tables stayed: %v, %v", left, err)
	}
	l.apply(web(nodePort, a))
	l.expect(b.ns, "tcp", webIP+":80", a)
}

// TestTwoClusters: two dataplanes on one node, one bpffs and one uplink.
func TestTwoClusters(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.apply(web(nodePort, a))
	second := l.opts
	second.Cluster += "-2"
	d, err := Open(context.Background(), second)
	must(t, err)
	defer d.Remove()
	must(t, d.AttachPod(l.net.HostLink("b"), b.ip, b.ns))
	s := web(nodePort+1, b)
	s.ClusterIP = netip.MustParseAddr("10.201.0.77")
	must(t, d.Apply([]plan.Service{s}))
	l.serve(l.outside, "world", outsideAddr+":9000")
	check := func() {
		t.Helper()
		l.expect(l.node, "tcp", webIP+":80", a)
		l.expect(l.outside, "tcp", onNode(nodePort), a)
		for range 50 {
			for _, p := range []*pod{a, b} {
				if name, _, err := askOnce(p.ns, "tcp", outsideAddr+":9000"); err != nil || name != "world" {
					t.Fatalf("from %s to outside: %q %v", p.name, name, err)
				}
			}
		}
	}
	check()
	l.expect(l.node, "tcp", "10.201.0.77:80", b)
	l.expect(l.outside, "tcp", onNode(nodePort+1), b)
	shares, err := filepath.Glob(filepath.Join(l.opts.home(), "*", snatPrefix+"*"))
	must(t, err)
	if len(shares) != 2 || filepath.Base(shares[0]) == filepath.Base(shares[1]) {
		t.Errorf("port shares %v", shares)
	}
	must(t, d.Remove())
	check()
}

// TestPortShares: clusters with one node address get different ports, as long as there are
// any; a cluster keeps its own; one that moved to another address starts anew.
func TestPortShares(t *testing.T) {
	root := t.TempDir()
	take := func(cluster, node string) int {
		t.Helper()
		o, err := Options{Cluster: cluster, BPFRoot: root, NodeIP: netip.MustParseAddr(node)}.withDefaults()
		must(t, err)
		must(t, os.MkdirAll(o.dir(), 0o700))
		share, err := snatShare(o)
		must(t, err)
		return share
	}
	for i, c := range []struct {
		cluster, node string
		share         int
	}{
		{"a", "192.0.2.1", 0}, {"b", "192.0.2.1", 1}, {"a", "192.0.2.1", 0}, {"other", "192.0.2.9", 0},
		{"c", "192.0.2.1", 2}, {"d", "192.0.2.1", 3}, {"e", "192.0.2.1", 0}, {"f", "192.0.2.1", 1},
		{"b", "192.0.2.9", 1}, {"g", "192.0.2.1", 1},
	} {
		if got := take(c.cluster, c.node); got != c.share {
			t.Errorf("step %d: %s at %s has share %d, want %d", i, c.cluster, c.node, got, c.share)
		}
	}
}

// TestRemoveLeavesNothing: no pin, no mount, no program on any link or on the cgroup.
func TestRemoveLeavesNothing(t *testing.T) {
	l := newLab(t)
	b := l.pod("b")
	l.apply(web(nodePort, b))
	var ids []link.ID
	filters := 0
	pins, err := filepath.Glob(filepath.Join(l.opts.dir(), linksDir, "*"))
	must(t, err)
	for _, p := range pins {
		if strings.HasPrefix(filepath.Base(p), "tc-") { // of a program, where the kernel has no links for packets
			filters++
			continue
		}
		k, err := link.LoadPinnedLink(p, nil)
		must(t, err)
		info, err := k.Info()
		must(t, err)
		ids = append(ids, info.ID)
		must(t, k.Close())
	}
	if len(ids)+filters != 7+2*2 || l.plane.opts.classic != (filters == 2*2) {
		t.Fatalf("%d links: %v; want 7 of sockets and two each of uplink and pod", len(ids), pins)
	}
	must(t, l.plane.Remove())
	must(t, Remove(Options{Cluster: l.opts.Cluster, BPFRoot: l.opts.BPFRoot})) // again
	for _, id := range ids {
		if k, err := link.NewFromID(id); err == nil {
			info, _ := k.Info()
			t.Errorf("link is still there: %+v", info)
			k.Close()
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if strings.Contains(string(mounts), l.opts.BPFRoot) {
		t.Error("bpffs is still mounted")
	}
	if _, _, err := askOnce(l.node, "tcp", webIP+":80"); err == nil {
		t.Error("a service still answers")
	}
	l.open() // for the lab's own end
}

// TestRemoveOfADeadProcess: when nobody holds the dataplane, its place is enough to take it
// out, programs and all.
func TestRemoveOfADeadProcess(t *testing.T) {
	l := newLab(t)
	b := l.pod("b")
	l.apply(web(nodePort, b))
	must(t, l.plane.Close())
	l.expect(l.node, "tcp", webIP+":80", b)
	must(t, Remove(Options{Cluster: l.opts.Cluster, BPFRoot: l.opts.BPFRoot, NetNS: l.opts.NetNS}))
	if _, _, err := askOnce(l.node, "tcp", webIP+":80"); err == nil {
		t.Error("a service still answers")
	}
	l.open()
}

// TestOwnCgroupMount: where no cgroup2 is mounted, one is, and it is the same hierarchy.
func TestOwnCgroupMount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	o := Options{StateDir: t.TempDir()}
	dir, err := mountCgroup(o)
	must(t, err)
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		t.Errorf("mounted %x", st.Type)
	}
	must(t, releaseCgroup(o))
	must(t, releaseCgroup(o))
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the mount point is still there: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Cluster: "c", NodeIP: netip.MustParseAddr("192.0.2.1")}
	for name, o := range map[string]Options{
		"dots can't be pinned": {Cluster: "a.b", NodeIP: good.NodeIP},
		"no name":              {NodeIP: good.NodeIP},
		"no address":           {Cluster: "c"},
		"v6":                   {Cluster: "c", NodeIP: netip.MustParseAddr("::1")},
	} {
		if _, err := o.withDefaults(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if o, err := good.withDefaults(); err != nil || o.BPFRoot != DefaultBPFRoot {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestBoundsMatchThePlanner: the tables are as large as the planner thinks.
func TestBoundsMatchThePlanner(t *testing.T) {
	spec, err := loadPrograms()
	must(t, err)
	if n := spec.Maps["entries"].MaxEntries; n != plan.MaxIDs {
		t.Errorf("%d entries, the planner has %d", n, plan.MaxIDs)
	}
	if n := spec.Maps["slots"].MaxEntries; n != plan.MaxSlots {
		t.Errorf("%d slots, the planner has %d", n, plan.MaxSlots)
	}
}
