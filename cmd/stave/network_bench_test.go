package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/claim"
	"github.com/stave-run/stave/dataplane/dns"
	"github.com/stave-run/stave/dataplane/ebpf"
	"github.com/stave-run/stave/dataplane/lan"
	"github.com/stave-run/stave/dataplane/plan"
	"github.com/stave-run/stave/dataplane/podnet"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// BenchmarkEndpointChange is one endpoint that comes or goes among 10,000 services, the whole
// way in the agent: from the bytes of the feed's message to the kernel's tables, the names
// and the addresses that are behind services. The services have 10 and 100 endpoints.
func BenchmarkEndpointChange(b *testing.B) {
	const services = 10_000
	n := benchNetwork(b)
	for _, c := range []struct {
		name      string
		endpoints int
		headless  bool
	}{{"of_10", 10, false}, {"of_10_headless", 10, true}, {"of_100", 100, false}} {
		b.Run(c.name, func(b *testing.B) {
			all := make([]projections.NetService, services)
			for i := range all {
				all[i] = crowded(i, c.endpoints, c.headless)
			}
			if err := n.Replace(projections.NetSet{Services: all}); err != nil {
				b.Fatal(err)
			}
			// Nobody changes services a hundred thousand times a second; a hundred of them by turns rest like others.
			var messages [][]byte
			for _, less := range []int{1, 0} {
				for i := range 100 {
					s := crowded(i*services/100, c.endpoints-less, c.headless)
					messages = append(messages, events.MustBody(projections.FeedMessage{Services: []projections.NetService{s}}))
				}
			}
			took := make([]time.Duration, 0, 1<<20)
			for i := 0; b.Loop(); i++ {
				if i%10_000 == 0 { // what was written over rests
					b.StopTimer()
					time.Sleep(time.Second)
					b.StartTimer()
				}
				began := time.Now()
				var m projections.FeedMessage
				if err := json.Unmarshal(messages[i%len(messages)], &m); err != nil {
					b.Fatal(err)
				}
				if err := n.Change(m); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "µs/median")
		})
	}
}

// crowded is one of many services, with endpoints on any nodes.
func crowded(i, endpoints int, headless bool) projections.NetService {
	s := projections.NetService{
		Key: events.Key{Resource: events.Services, Namespace: "crowd", Name: fmt.Sprintf("s%d", i)}, UID: events.UID(fmt.Sprintf("%032x", i)), Type: "ClusterIP",
		Ports: []projections.NetPort{{Name: "http", Protocol: "TCP", Port: 80}},
	}
	if !headless {
		s.ClusterIP = fmt.Sprintf("10.96.%d.%d", i>>8, i&255)
	}
	for j := range endpoints {
		at := (i*100 + j) * 7919 % (1 << 20)
		ip := fmt.Sprintf("10.%d.%d.%d", 128+at>>16, at>>8&255, at&255)
		s.Ports[0].Endpoints = append(s.Ports[0].Endpoints, ip+":8080")
		if headless {
			s.Hosts = append(s.Hosts, projections.NetHost{IP: ip})
		}
	}
	slices.Sort(s.Ports[0].Endpoints)
	return s
}

// benchNetwork is a node's network in a namespace of its own.
func benchNetwork(b *testing.B) *network {
	if os.Geteuid() != 0 {
		b.Skip("needs root: real tables")
	}
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	dir, address := b.TempDir(), netip.MustParseAddr("192.168.77.1")
	ns := filepath.Join(dir, "ns")
	check(os.WriteFile(ns, nil, 0o600))
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- err
			return
		}
		made <- unix.Mount("/proc/thread-self/ns/net", ns, "", unix.MS_BIND, "")
	}()
	check(<-made)
	b.Cleanup(func() { _ = unix.Unmount(ns, unix.MNT_DETACH) })
	check(lan.Go(ns, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(lo, &netlink.Addr{IPNet: netlink.NewIPNet(address.AsSlice())})
	}))
	cluster, inside := fmt.Sprintf("bench-%d", os.Getpid()), netip.MustParsePrefix("10.200.1.0/24")
	known, err := recallIsolation(filepath.Join(dir, "policies.json"))
	check(err)
	n := &network{isolation: known, peers: map[events.Key]projections.NetNode{}, own: inside, health: newHealthPorts(quiet()), behind: newBehind(), ports: &publicPorts{}, rows: map[string]dns.Row{},
		waiting: map[string]plan.Service{}, noted: make(chan struct{}, 1), log: quiet(),
		misplaced: &misplaced{taken: map[string]error{}, judge: func(plan.Refusals) {}}}
	n.claims, err = claim.Open(layout{name: cluster, data: dir, run: dir}.claims())
	check(err)
	n.links, err = podnet.Open(podnet.Options{Cluster: cluster, StateDir: dir, NetNS: ns, PodCIDR: inside})
	check(err)
	bpf := filepath.Join(dir, "bpf")
	check(os.Mkdir(bpf, 0o700))
	n.tables, err = ebpf.Open(b.Context(), ebpf.Options{Cluster: cluster, BPFRoot: bpf, StateDir: dir, NetNS: ns, NodeIP: address, Inside: []netip.Prefix{inside}})
	check(err)
	b.Cleanup(func() {
		if err := n.tables.Remove(); err != nil {
			b.Errorf("remove: %v", err)
		}
		n.links.Close()
	})
	n.names, err = dns.Serve(b.Context(), dns.Options{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	check(err)
	b.Cleanup(func() { _ = n.names.Close() })
	return n
}
