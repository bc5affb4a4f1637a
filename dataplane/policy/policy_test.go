package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/dataplane/policy"
)

// packet is one that is to be judged: which way it goes as its pod sees it, with whom, and at which port.
type packet struct {
	egress bool
	peer   netip.Addr
	proto  policy.Proto
	port   uint16
}

// judged is how the programs judge a packet of a pod by the rows: a port's longest prefix leads to a class, and the peer's
// longest one says whether it is in it.
func judged(r policy.Rows, link uint32, p packet) bool {
	sets, ok := r.Pods[link]
	set := sets.Ingress
	if p.egress {
		set = sets.Egress
	}
	if !ok || set == 0 {
		return true
	}
	class, bits := uint32(0), -1
	for k, c := range r.Ports {
		if k.Set == set && k.Proto == p.proto && k.Bits > bits && k.Port>>(16-k.Bits) == p.port>>(16-k.Bits) {
			class, bits = c, k.Bits
		}
	}
	in, length := false, -1
	for k, is := range r.Peers {
		if bits >= 0 && k.Class == class && k.Net.Bits() > length && k.Net.Contains(p.peer) {
			in, length = is, k.Net.Bits()
		}
	}
	return in
}

// allowed is what the policies say of it, read one rule after the other.
func allowed(all []policy.Policy, pod policy.Pod, p packet) bool {
	isolated := false
	for _, pol := range all {
		rules := pol.Ingress
		if p.egress {
			rules = pol.Egress
		}
		if rules == nil || pol.Namespace != pod.Namespace || !pol.Selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		isolated = true
		for _, r := range *rules {
			if allows(r, pod, p) {
				return true
			}
		}
	}
	return !isolated
}

func allows(r policy.Rule, pod policy.Pod, p packet) bool {
	at := func(named map[policy.Name]uint16) bool {
		for _, n := range r.Named {
			if port, ok := named[n]; ok && n.Proto == p.proto && port == p.port {
				return true
			}
		}
		return false
	}
	port := r.AnyPort || !p.egress && at(pod.Ports)
	for _, x := range r.Ports {
		port = port || x.Proto == p.proto && x.First <= p.port && p.port <= x.Last
	}
	if r.Anyone && port {
		return true
	}
	for _, h := range r.Hosts {
		if h.Addr == p.peer && (port || p.egress && at(h.Ports)) {
			return true
		}
	}
	for _, b := range r.Blocks {
		in := b.CIDR.Contains(p.peer)
		for _, e := range b.Except {
			in = in && !e.Contains(p.peer)
		}
		if in && port {
			return true
		}
	}
	return false
}

// Few addresses, ports and names, so that rules meet.
var (
	addrs  = rapid.Map(rapid.IntRange(0, 31), func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i / 16), byte(i % 16)}) })
	ports  = rapid.SampledFrom([]uint16{0, 1, 79, 80, 81, 443, 1023, 1024, 32768, 65534, 65535})
	protos = rapid.SampledFrom([]policy.Proto{policy.TCP, policy.UDP, policy.SCTP})
	names  = rapid.Map(protos, func(p policy.Proto) policy.Name { return policy.Name{Proto: p, Name: "web"} })
	nets   = rapid.Custom(func(t *rapid.T) netip.Prefix {
		return netip.PrefixFrom(addrs.Draw(t, "addr"), rapid.SampledFrom([]int{0, 8, 23, 24, 28, 30, 32}).Draw(t, "bits"))
	})
	named  = rapid.MapOf(names, ports)
	ranges = rapid.Custom(func(t *rapid.T) policy.Ports {
		a, b := ports.Draw(t, "from"), ports.Draw(t, "to")
		return policy.Ports{Proto: protos.Draw(t, "proto"), First: min(a, b), Last: max(a, b)}
	})
	blocks = rapid.Custom(func(t *rapid.T) policy.Block {
		return policy.Block{CIDR: nets.Draw(t, "cidr"), Except: rapid.SliceOfN(nets, 0, 2).Draw(t, "except")}
	})
	hosts = rapid.Custom(func(t *rapid.T) policy.Host {
		return policy.Host{Addr: addrs.Draw(t, "host"), Ports: named.Draw(t, "ports")}
	})
	rules = rapid.Custom(func(t *rapid.T) policy.Rule {
		r := policy.Rule{Anyone: rapid.IntRange(0, 5).Draw(t, "anyone") == 0, AnyPort: rapid.IntRange(0, 3).Draw(t, "any port") == 0,
			Blocks: rapid.SliceOfN(blocks, 0, 2).Draw(t, "blocks"), Hosts: rapid.SliceOfNDistinct(hosts, 0, 3, func(h policy.Host) netip.Addr { return h.Addr }).Draw(t, "hosts")}
		if !r.AnyPort {
			r.Ports, r.Named = rapid.SliceOfN(ranges, 0, 2).Draw(t, "ranges"), rapid.SliceOfNDistinct(names, 0, 1, rapid.ID).Draw(t, "names")
		}
		return r
	})
	policies = rapid.Custom(func(t *rapid.T) []policy.Policy {
		var out []policy.Policy
		for i := range rapid.IntRange(0, 3).Draw(t, "policies") {
			p := policy.Policy{Namespace: "default", Name: fmt.Sprint("p", i), Version: fmt.Sprint(rand.Int()), Selector: labels.Everything()}
			if rapid.Bool().Draw(t, "by label") {
				p.Selector = labels.SelectorFromSet(labels.Set{"app": rapid.SampledFrom([]string{"a", "b"}).Draw(t, "app")})
			}
			if rapid.Bool().Draw(t, "ingress") {
				r := policy.Rules(rapid.SliceOfN(rules, 0, 3).Draw(t, "in"))
				p.Ingress = &r
			}
			if rapid.Bool().Draw(t, "egress") {
				r := policy.Rules(rapid.SliceOfN(rules, 0, 3).Draw(t, "out"))
				p.Egress = &r
			}
			out = append(out, p)
		}
		return out
	})
	pods = rapid.Custom(func(t *rapid.T) []policy.Pod {
		var out []policy.Pod
		for i := range rapid.IntRange(1, 3).Draw(t, "pods") {
			out = append(out, policy.Pod{Link: uint32(10 + i), Namespace: rapid.SampledFrom([]string{"default", "default", "other"}).Draw(t, "namespace"),
				Labels: map[string]string{"app": rapid.SampledFrom([]string{"a", "b"}).Draw(t, "label")}, Ports: named.Draw(t, "own")})
		}
		return out
	})
)

// TestRowsSayWhatPoliciesSay: whatever the policies, and whatever was in force before, each packet is judged by the rows as
// by the rules themselves.
func TestRowsSayWhatPoliciesSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		book := policy.Adopt(policy.NewRows())
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			all, of := policies.Draw(t, "all"), pods.Draw(t, "pods")
			w := book.Diff(policy.Compile(all, of), func(uint32) bool { return false })
			book.Done(w)
			for range 60 {
				p := packet{rapid.Bool().Draw(t, "egress"), addrs.Draw(t, "peer"), protos.Draw(t, "proto"), ports.Draw(t, "port")}
				pod := of[rapid.IntRange(0, len(of)-1).Draw(t, "pod")]
				if got, want := judged(book.Rows(), pod.Link, p), allowed(all, pod, p); got != want {
					t.Fatalf("%+v at %+v: %v, want %v", p, pod, got, want)
				}
			}
		}
	})
}

// TestPeersThatComeAreOneRow: a pod more among the peers is one row more, and a rule that becomes another is other rows: a
// port is never shown with the peers of another rule.
func TestPeersThatComeAreOneRow(t *testing.T) {
	host := func(i int) policy.Host { return policy.Host{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})} }
	with := func(version string, port uint16, peers ...policy.Host) []policy.Policy {
		return []policy.Policy{{Namespace: "default", Name: "web", Version: version, Selector: labels.Everything(),
			Ingress: &policy.Rules{{Hosts: peers, Ports: []policy.Ports{{Proto: policy.TCP, First: port, Last: port}}}}}}
	}
	book := policy.Adopt(policy.NewRows())
	pod := []policy.Pod{{Link: 7, Namespace: "default"}}
	step := func(all []policy.Policy) policy.Writes {
		w := book.Diff(policy.Compile(all, pod), func(uint32) bool { return true })
		book.Done(w)
		return w
	}
	step(with("1", 80, host(1), host(2)))
	w := step(with("1", 80, host(1), host(2), host(3)))
	if len(w.PutPeers) != 1 || len(w.DropPeers)+len(w.PutPorts)+len(w.DropPorts)+len(w.PutPods) != 0 {
		t.Errorf("one more: %+v", w)
	}
	before := book.Rows().Pods[7]
	w = step(with("2", 81, host(4)))
	if book.Rows().Pods[7] == before || len(w.PutPorts) != 1 || len(w.PutPeers) != 1 || len(w.DropPeers) != 3 {
		t.Errorf("another rule: %+v", w)
	}
	if w = step(nil); len(w.DropPods) != 1 || len(book.Rows().Ports)+len(book.Rows().Peers) != 0 {
		t.Errorf("no policy: %+v, left %+v", w, book.Rows())
	}
}

// TestRowsOfAnEarlierProcess: a pod of which nobody has told yet stays isolated as it was; when all is told, nothing is left
// of what nobody needs.
func TestRowsOfAnEarlierProcess(t *testing.T) {
	nobody := []policy.Policy{{Namespace: "default", Name: "none", Version: "1", Selector: labels.Everything(), Ingress: &policy.Rules{}}}
	known, unknown := policy.Pod{Link: 1, Namespace: "default"}, policy.Pod{Link: 2, Namespace: "default"}
	first := policy.Adopt(policy.NewRows())
	first.Done(first.Diff(policy.Compile(nobody, []policy.Pod{known, unknown}), func(uint32) bool { return true }))

	book := policy.Adopt(first.Rows())
	book.Done(book.Diff(policy.Compile(nil, []policy.Pod{known}), func(uint32) bool { return true }))
	p := packet{peer: netip.MustParseAddr("10.0.0.9"), proto: policy.TCP, port: 80}
	if !judged(book.Rows(), 1, p) || judged(book.Rows(), 2, p) {
		t.Errorf("who is known %v, who is not %v", judged(book.Rows(), 1, p), judged(book.Rows(), 2, p))
	}
	book.Done(book.Diff(policy.Compile(nil, []policy.Pod{known}), func(link uint32) bool { return link != 2 }))
	if r := book.Rows(); len(r.Pods)+len(r.Ports)+len(r.Peers) != 0 {
		t.Errorf("left: %+v", r)
	}
}
