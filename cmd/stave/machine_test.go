package main

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/moby/sys/mountinfo"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/netdump"
)

// traces are what a cluster has on a machine, by kind.
type traces map[string][]string

// machine compares this machine with what one cluster puts on it:
//
//	machine networks     sets PODS and SERVICES to networks that no other story is given
//	machine full         every kind of trace is there; they are remembered
//	machine clean        none is there, and of those remembered none lives on without its name
func machine(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: machine networks|full|clean")
	}
	cluster, data := ts.Getenv("CLUSTER"), ts.Getenv("DATA")
	memory := filepath.Join(filepath.Dir(data), "machine")
	switch args[0] {
	case "networks":
		h := fnv.New32a()
		h.Write([]byte(cluster))
		ts.Setenv("PODS", fmt.Sprintf("198.18.%d.0/24", byte(h.Sum32())))
		ts.Setenv("SERVICES", fmt.Sprintf("198.19.%d.0/24", byte(h.Sum32())))
	case "full":
		found, err := look(cluster, data, ts.Getenv("PODS"), ts.Getenv("SERVICES"))
		ts.Check(err)
		for kind, names := range found {
			if len(names) == 0 {
				ts.Fatalf("a running cluster shows no %s: %v", kind, found)
			}
		}
		ts.Check(os.WriteFile(memory, []byte(strings.Join(slices.Concat(found["processes"], found["programs"]), "\n")), 0o600))
	case "clean":
		ts.Check(clean(cluster, data, ts.Getenv("PODS"), ts.Getenv("SERVICES")))
		raw, err := os.ReadFile(memory)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			ts.Fatalf("%v", err)
		}
		if alive := survivors(strings.Fields(string(raw))); len(alive) > 0 {
			ts.Fatalf("alive without a name: %q", alive)
		}
	default:
		ts.Fatalf("machine %s: not known", args[0])
	}
}

// look finds the traces of a cluster by the names that they carry; its networks
// carry none and are named, if anybody knows them.
func look(cluster, data string, networks ...string) (traces, error) {
	run := filepath.Join(runDir, cluster)
	found := traces{
		"files":     existing(run, run+".lock", run+nodeMark+"*"),
		"cgroups":   existing("/sys/fs/cgroup/stave-"+cluster, "/sys/fs/cgroup/*/stave-"+cluster, "/sys/fs/cgroup/*/stave-"+cluster+nodeMark+"*"),
		"pins":      existing(filepath.Join("/sys/fs/bpf/stave", cluster), filepath.Join("/sys/fs/bpf/stave", cluster+nodeMark+"*")),
		"processes": processes(cluster),
	}
	for _, dir := range found["pins"] {
		found["programs"] = append(found["programs"], programs(dir)...)
	}
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, err
	}
	found["mounts"], found["namespaces"] = nil, nil
	for _, m := range mounts {
		if !strings.HasPrefix(m.Mountpoint, run+"/") && !strings.HasPrefix(m.Mountpoint, run+nodeMark) && !strings.HasPrefix(m.Mountpoint, data+"/") {
			continue
		}
		kind := "mounts"
		if m.FSType == "nsfs" {
			kind = "namespaces"
		}
		found[kind] = append(found[kind], m.Mountpoint)
	}
	links, err := netdump.Whole(netlink.LinkList)
	if err != nil {
		return nil, err
	}
	found["links"] = nil
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Alias, "stave "+cluster+" ") {
			found["links"] = append(found["links"], l.Attrs().Name)
		}
	}
	found["addresses"], found["routes"], err = routed(networks...)
	return found, err
}

// clean says what is left of a cluster, if anything is. A process that was killed may be a moment from being reaped: the
// first one of a container ends after all that share its process ids.
func clean(cluster, data string, networks ...string) (err error) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = left(cluster, data, networks...); err == nil {
			return nil
		}
	}
	return err
}

func left(cluster, data string, networks ...string) error {
	found, err := look(cluster, data, networks...)
	for kind, names := range found {
		if len(names) > 0 {
			err = errors.Join(err, fmt.Errorf("%s are left: %q", kind, names))
		}
	}
	return err
}

func existing(patterns ...string) []string {
	var found []string
	for _, p := range patterns {
		names, _ := filepath.Glob(p) // the patterns above are well formed
		found = append(found, names...)
	}
	return found
}

// processes are those whose arguments or cgroup name the cluster, as pid@start,
// which no later process has.
func processes(cluster string) []string {
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		if !bytes.Contains(args, []byte("--name="+cluster+"\x00")) && !bytes.Contains(args, []byte("stave-"+cluster+"\x00")) &&
			!bytes.Contains(groups, []byte("/stave-"+cluster+"/")) &&
			!bytes.Contains(args, []byte("/"+cluster+nodeMark)) && !bytes.Contains(args, []byte("stave-"+cluster+nodeMark)) &&
			!bytes.Contains(groups, []byte("/stave-"+cluster+nodeMark)) {
			continue
		}
		if id := identity(dir); id != "" {
			found = append(found, id)
		}
	}
	return found
}

// identity is a process's pid and start time; empty for one that has ended.
func identity(dir string) string {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(stat), ") ") // a name may hold spaces
	fields := strings.Fields(after)
	const state, start = 0, 19
	if len(fields) <= start || fields[state] == "Z" {
		return ""
	}
	return filepath.Base(dir) + "@" + fields[start]
}

// programs are the kernel's ids of what is pinned below a directory.
func programs(dir string) []string {
	var found []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if l, err := link.LoadPinnedLink(path, nil); err == nil {
			if info, err := l.Info(); err == nil {
				found = append(found, fmt.Sprintf("link:%d", info.ID), fmt.Sprintf("program:%d", info.Program))
			}
			l.Close()
			return nil
		}
		if m, err := ebpf.LoadPinnedMap(path, nil); err == nil {
			if info, err := m.Info(); err == nil {
				if id, ok := info.ID(); ok {
					found = append(found, fmt.Sprintf("map:%d", id))
				}
			}
			m.Close()
		}
		return nil
	})
	return found
}

// routed are the addresses on loopback in the networks, and the routes to them.
func routed(networks ...string) (addresses, routes []string, err error) {
	var nets []netip.Prefix
	for _, n := range networks {
		if p, err := netip.ParsePrefix(n); err == nil {
			nets = append(nets, p)
		}
	}
	inside := func(ip []byte) bool {
		a, _ := netip.AddrFromSlice(ip)
		return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, nil, err
	}
	have, err := netdump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(lo, netlink.FAMILY_V4) })
	if err != nil {
		return nil, nil, err
	}
	for _, a := range have {
		if inside(a.IP) {
			addresses = append(addresses, a.String())
		}
	}
	all, err := netdump.Whole(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	for _, r := range all {
		if r.Dst != nil && inside(r.Dst.IP) {
			routes = append(routes, r.String())
		}
	}
	return addresses, routes, err
}

// survivors are those that still live a moment later: the kernel frees what a
// program held after the last one has let go.
func survivors(remembered []string) []string {
	var alive []string
	for range 50 {
		if alive = slices.DeleteFunc(slices.Clone(remembered), gone); len(alive) == 0 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return alive
}

func gone(id string) bool {
	var n uint32
	if _, err := fmt.Sscanf(id, "link:%d", &n); err == nil {
		return ended(link.NewFromID(link.ID(n)))
	}
	if _, err := fmt.Sscanf(id, "program:%d", &n); err == nil {
		return ended(ebpf.NewProgramFromID(ebpf.ProgramID(n)))
	}
	if _, err := fmt.Sscanf(id, "map:%d", &n); err == nil {
		return ended(ebpf.NewMapFromID(ebpf.MapID(n)))
	}
	pid, _, _ := strings.Cut(id, "@")
	return identity(filepath.Join("/proc", pid)) != id
}

// ended says whether there is nothing by that id.
func ended(c interface{ Close() error }, err error) bool {
	if err == nil {
		_ = c.Close() // only asked whether it is there
	}
	return errors.Is(err, fs.ErrNotExist)
}

func TestRootOnly(t *testing.T) {
	if err := rootOnly("up", 0); err != nil {
		t.Error(err)
	}
	if err := rootOnly("down", 1000); err == nil || !strings.Contains(err.Error(), "help: sudo stave down") {
		t.Error(err)
	}
}

// TestLock: there is one holder, also after the file was removed under one who
// had opened it and not locked it yet.
func TestLock(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("locks lie where root's are")
	}
	l := layout{name: "x", run: filepath.Join(t.TempDir(), "x")}
	first, err := l.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.lock(); !errors.Is(err, errRunning) || l.holder() != os.Getpid() {
		t.Fatal(err, l.holder())
	}
	late, err := os.Open(l.lockFile())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if err := l.unlock(first); err != nil {
		t.Fatal(err)
	}
	second, err := l.lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(late.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if l.holds(late) || !l.holds(second) {
		t.Error("the file that was removed counts")
	}
	if err := l.unlock(second); err != nil {
		t.Error(err)
	}
}
