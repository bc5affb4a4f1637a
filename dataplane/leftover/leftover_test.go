package leftover

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// childMark tells a copy of the test that it is the child.
const childMark = "STAVE_TEST_OWN_NAMESPACE"

// alone runs a test in a copy of itself with a network namespace of its own.
func alone(t *testing.T, test func(*testing.T)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: real rules in a namespace of their own")
	}
	if os.Getenv(childMark) != "" {
		test(t)
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), childMark+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// found fails unless exactly these findings are there.
func found(t *testing.T, cgroup string, want ...string) {
	t.Helper()
	list, err := Find(cgroup)
	must(t, err)
	var got []string
	for _, f := range list {
		got = append(got, f.String())
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestNothingLeft(t *testing.T) { alone(t, func(t *testing.T) { found(t, "") }) }

func TestNftables(t *testing.T) {
	alone(t, func(t *testing.T) {
		must(t, nft(t, unix.NFPROTO_IPV4, "nat", "PREROUTING", "KUBE-SVC-B", "KUBE-SERVICES", "KUBE-SVC-A", "KUBE-SVC-C", "CILIUM_POST_nat"))
		must(t, nft(t, unix.NFPROTO_IPV4, "kube-proxy", "services"))
		want := []string{
			"kube-proxy left 4 chains (KUBE-SERVICES, KUBE-SVC-A, KUBE-SVC-B, …) of iptables (nft); remove with: iptables-nft-save | grep -v KUBE- | iptables-nft-restore",
			"Cilium left 1 chain (CILIUM_POST_nat) of iptables (nft); remove with: iptables-nft-save | grep -v CILIUM_ | iptables-nft-restore",
			"kube-proxy left 1 chain (services) in the nftables table kube-proxy; remove with: nft delete table ip kube-proxy",
		}
		switch err := nft(t, unix.NFPROTO_IPV6, "filter", "KUBE-FORWARD", "mine"); {
		case err == nil:
			want = append(want, "kube-proxy left 1 chain (KUBE-FORWARD) of ip6tables (nft); remove with: ip6tables-nft-save | grep -v KUBE- | ip6tables-nft-restore")
		case !errors.Is(err, unix.EOPNOTSUPP): // a kernel without them for IPv6 has none left
			t.Fatal(err)
		}
		found(t, "", want...)
	})
}

// nft makes a table with chains, all in one transaction.
func nft(t *testing.T, family uint8, table string, chains ...string) error {
	t.Helper()
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	must(t, err)
	defer unix.Close(s)
	message := func(kind int, flags int, family uint8, resource uint16, attrs ...*nl.RtAttr) []byte {
		req := nl.NewNetlinkRequest(kind, flags)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: unix.NFNETLINK_V0, ResId: nl.Swap16(resource)})
		for _, a := range attrs {
			req.AddData(a)
		}
		return req.Serialize()
	}
	const nftables = unix.NFNL_SUBSYS_NFTABLES << 8
	name := nl.NewRtAttr(unix.NFTA_TABLE_NAME, nl.ZeroTerminated(table))
	batch := message(unix.NFNL_MSG_BATCH_BEGIN, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
	batch = append(batch, message(nftables|unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE|unix.NLM_F_ACK, family, 0, name)...)
	for _, c := range chains {
		batch = append(batch, message(nftables|unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE|unix.NLM_F_ACK, family, 0,
			nl.NewRtAttr(unix.NFTA_CHAIN_TABLE, nl.ZeroTerminated(table)), nl.NewRtAttr(unix.NFTA_CHAIN_NAME, nl.ZeroTerminated(c)))...)
	}
	batch = append(batch, message(unix.NFNL_MSG_BATCH_END, 0, 0, unix.NFNL_SUBSYS_NFTABLES)...)
	must(t, unix.Sendto(s, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	buf := make([]byte, 1<<16)
	for answers := 0; answers <= len(chains); {
		n, _, err := unix.Recvfrom(s, buf, 0)
		must(t, err)
		replies, err := syscall.ParseNetlinkMessage(buf[:n])
		must(t, err)
		for _, r := range replies {
			if code := int32(binary.NativeEndian.Uint32(r.Data)); code != 0 {
				return unix.Errno(-code)
			}
			answers++
		}
	}
	return nil
}

func TestIptablesOfOld(t *testing.T) {
	alone(t, func(t *testing.T) {
		if _, err := os.Stat(tablesListed); err != nil {
			t.Skip("this kernel has no iptables of old")
		}
		legacy(t, "KUBE-SERVICES", "KUBE-SEP-A", "DOCKER")
		found(t, "", "kube-proxy left 2 chains (KUBE-SEP-A, KUBE-SERVICES) of iptables (legacy); remove with: iptables-legacy-save | grep -v KUBE- | iptables-legacy-restore")
	})
}

// legacy makes chains in the table nat: four built-in chains that accept, then the others.
func legacy(t *testing.T, chains ...string) {
	t.Helper()
	const entry, standard, failing = 112, 40, 64
	const hooks, setReplace = 0b11011, 64
	target := func(size int, name string, fill func([]byte)) []byte {
		b := make([]byte, entry+size)
		binary.NativeEndian.PutUint16(b[88:], entry)
		binary.NativeEndian.PutUint16(b[90:], uint16(entry+size))
		binary.NativeEndian.PutUint16(b[entry:], uint16(size))
		copy(b[entry+2:], name)
		fill(b[entry+32:])
		return b
	}
	verdict := func(v int32) []byte {
		return target(standard, "", func(b []byte) { binary.NativeEndian.PutUint32(b, uint32(v)) })
	}
	head := func(name string) []byte { return target(failing, "ERROR", func(b []byte) { copy(b, name) }) }
	const accept, back = -2, -5
	var entries []byte
	n := 4
	for range n {
		entries = append(entries, verdict(accept)...)
	}
	for _, c := range chains {
		entries, n = append(append(entries, head(c)...), verdict(back)...), n+2
	}
	entries, n = append(entries, head("ERROR")...), n+1

	s, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	must(t, err)
	defer unix.Close(s)
	info := make([]byte, infoSize)
	copy(info, "nat")
	must(t, getsockopt(s, getInfo, info)) // makes the table
	old := binary.NativeEndian.Uint32(info[sizeAt-4:])
	counters := make([]byte, 16*old)
	r := make([]byte, 96)
	copy(r, "nat")
	for i, v := range map[int]uint32{32: hooks, 36: uint32(n), 40: uint32(len(entries)), 84: old} {
		binary.NativeEndian.PutUint32(r[i:], v)
	}
	for i, hook := range []int{0, 1, 3, 4} {
		at := uint32(i * (entry + standard))
		binary.NativeEndian.PutUint32(r[44+4*hook:], at)
		binary.NativeEndian.PutUint32(r[64+4*hook:], at)
	}
	*(*unsafe.Pointer)(unsafe.Pointer(&r[88])) = unsafe.Pointer(&counters[0])
	r = append(r, entries...)
	_, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s), unix.IPPROTO_IP, setReplace, uintptr(unsafe.Pointer(&r[0])), uintptr(len(r)), 0)
	if e != 0 {
		t.Fatalf("replace table: %v", e)
	}
}

// TestPrograms: on a cgroup and on a link, each under Cilium's names and under others.
func TestPrograms(t *testing.T) {
	alone(t, func(t *testing.T) {
		cgroup := t.TempDir()
		must(t, unix.Mount("cgroup2", cgroup, "cgroup2", 0, ""))
		defer unix.Unmount(cgroup, unix.MNT_DETACH)
		group := cgroup + "/leftover-test"
		must(t, os.Mkdir(group, 0o755))
		defer os.Remove(group)
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "up0"
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "up1"}))
		up, err := netlink.LinkByName("up0")
		must(t, err)
		for _, name := range []string{"connect4", "cil_sock4_connect"} {
			p := program(t, name, ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect)
			k, err := link.AttachCgroup(link.CgroupOptions{Path: group, Attach: ebpf.AttachCGroupInet4Connect, Program: p})
			must(t, err)
			defer k.Close()
		}
		for _, name := range []string{"from_net", "cil_from_netdev"} {
			k, err := link.AttachTCX(link.TCXOptions{Interface: up.Attrs().Index, Program: program(t, name, ebpf.SchedCLS, 0), Attach: ebpf.AttachTCXIngress})
			must(t, err)
			defer k.Close()
		}
		qdisc := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: up.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
		must(t, netlink.QdiscAdd(qdisc))
		must(t, netlink.FilterAdd(&netlink.BpfFilter{FilterAttrs: netlink.FilterAttrs{LinkIndex: up.Attrs().Index, Parent: netlink.HANDLE_MIN_EGRESS,
			Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1}, Fd: program(t, "x", ebpf.SchedCLS, 0).FD(), Name: "cil_to_netdev-up0", DirectAction: true}))
		found(t, group,
			"Cilium left 1 program (cil_sock4_conne) on the cgroup "+group+"; remove with: bpftool cgroup show "+group+", and bpftool cgroup detach "+group+" HOOK id ID for each",
			"Cilium left 2 programs (cil_from_netdev on up0, cil_to_netdev-up0 on up0); remove with: rm -r /sys/fs/bpf/cilium && tc filter del dev up0 egress")
	})
}

func program(t *testing.T, name string, kind ebpf.ProgramType, at ebpf.AttachType) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: kind, AttachType: at, License: "MIT",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}})
	must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func TestVirtualServersAreCounted(t *testing.T) {
	const list = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600001:01BB rr
  -> C0A84D01:192B      Masq    1      0          0
UDP  0A60000A:0035 rr
`
	if n := countServers(list); n != 2 {
		t.Errorf("%d servers", n)
	}
	alone(t, func(t *testing.T) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = serverLink
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"}))
		found(t, "", "kube-proxy left the link kube-ipvs0 with services' addresses; remove with: ip link delete kube-ipvs0")
	})
}
