package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// backends come from a small pool so that sets often overlap.
func drawBackends(t *rapid.T, label string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, n := range rapid.SliceOfN(rapid.IntRange(0, 11), 0, 9).Draw(t, label) {
		out = append(out, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(n)}), 8080))
	}
	return out
}

// drawServices draws services without conflicts; ClusterIPs and node ports move
// between services from one draw to the next.
func drawServices(t *rapid.T) []Service {
	ips := rapid.Permutation([]byte{1, 2, 3, 4, 5, 6}).Draw(t, "ips")
	nodePorts := rapid.Permutation([]uint16{0, 0, 30000, 30001, 30002, 0}).Draw(t, "nodePorts")
	var out []Service
	for i := range rapid.IntRange(0, 6).Draw(t, "services") {
		s := Service{Key: fmt.Sprintf("ns/s%d", i), AffinitySeconds: rapid.SampledFrom([]uint32{0, 0, 10}).Draw(t, "affinity")}
		if rapid.IntRange(0, 4).Draw(t, "headless") > 0 {
			s.ClusterIP = netip.AddrFrom4([4]byte{10, 96, 0, ips[i]})
		}
		if rapid.IntRange(0, 3).Draw(t, "balanced") == 0 {
			s.Outer = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, ips[i]})}
		}
		s.InternalLocal, s.ExternalLocal = rapid.Bool().Draw(t, "internal"), rapid.Bool().Draw(t, "external")
		s.Ports = []Port{{Name: "a", Proto: TCP, Port: 80, NodePort: nodePorts[i], Endpoints: drawBackends(t, "a"), Local: drawBackends(t, "a here")}}
		if rapid.Bool().Draw(t, "second port") {
			s.Ports = append(s.Ports, Port{Name: "b", Proto: UDP, Port: 80, NodePort: nodePorts[i], Endpoints: drawBackends(t, "b"), Local: drawBackends(t, "b here")})
		}
		out = append(out, s)
	}
	return out
}

// TestDiffWritesTheWantedLookup is the package's promise: after all writes the tables
// are the wanted function, and after each single one nothing is torn.
func TestDiffWritesTheWantedLookup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, w, now := newKernel(), New(), start
		before := wantedFunction(nil)
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, Quarantine / 2, 2 * Quarantine}).Draw(t, "pause"))
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				w = Adopt(k.rows())
				now = now.Add(Quarantine) // a restart takes longer than any running program
			}
			want := drawServices(t)
			writes, err := Diff(want, w, now)
			if err != nil {
				t.Fatal(err)
			}
			after := wantedFunction(want)
			if rapid.Bool().Draw(t, "late") {
				writes = late(writes)
			}
			for _, x := range writes {
				if err := k.apply(x, now); err != nil {
					t.Fatalf("%v\nin %v", err, writes)
				}
				checkBetween(t, k, before, after, x)
			}
			if err := sameFunction(k.function(), after); err != nil {
				t.Fatalf("tables against wanted: %v\nafter %v", err, writes)
			}
			checkModel(t, w, k)
			checkShed(t, before, after, writes)
			if again, _ := Diff(want, w, now); len(again) != 0 {
				t.Fatalf("the same services again wrote %v", again)
			}
			before = after
		}
	})
}

// late puts new frontends off as far as it is allowed.
func late(writes []Write) []Write {
	var out, waiting []Write
	for _, x := range writes {
		bind, isBind := x.(Bind)
		if isBind && bind.New {
			waiting = append(waiting, x)
			continue
		}
		if _, isSet := x.(SetBackends); !isSet {
			out, waiting = append(out, waiting...), nil
		}
		out = append(out, x)
	}
	return append(out, waiting...)
}

// checkBetween holds for every moment of a change: each frontend answers with its old
// or its new backends, whole, and never with none when both have some.
func checkBetween(t *rapid.T, k *kernel, before, after map[Frontend][]netip.AddrPort, x Write) {
	now := k.function()
	for f, got := range now {
		old, had := before[f]
		next, has := after[f]
		if !(had && fmt.Sprint(got) == fmt.Sprint(old)) && !(has && fmt.Sprint(got) == fmt.Sprint(next)) {
			t.Fatalf("after %s: %s leads to %v, neither the old %v nor the new %v", x, f, got, old, next)
		}
	}
	for f := range before {
		if _, stays := after[f]; stays {
			if _, ok := now[f]; !ok {
				t.Fatalf("after %s: %s is unbound for a moment", x, f)
			}
		}
	}
}

// checkShed: each UDP frontend that lost a backend, and no other, sheds its sockets, once.
func checkShed(t *rapid.T, before, after map[Frontend][]netip.AddrPort, writes []Write) {
	shed := map[Frontend]int{}
	for _, x := range writes {
		if s, ok := x.(Shed); ok {
			shed[s.Frontend]++
		}
	}
	for f, had := range before {
		want := 0
		if f.Proto == UDP && !f.Outside && slices.ContainsFunc(had, func(b netip.AddrPort) bool { return !slices.Contains(after[f], b) }) {
			want = 1
		}
		if shed[f] != want {
			t.Fatalf("%s went from %v to %v and was shed %d times", f, had, after[f], shed[f])
		}
		delete(shed, f)
	}
	if len(shed) > 0 {
		t.Fatalf("shed what was not there: %v", shed)
	}
}

func checkModel(t *rapid.T, w *Written, k *kernel) {
	model := map[Frontend][]netip.AddrPort{}
	for _, f := range w.Frontends() {
		model[f], _ = w.Lookup(f)
	}
	if err := sameFunction(model, k.function()); err != nil {
		t.Fatalf("model against tables: %v", err)
	}
}

// TestFullTables: in tables that are far too small nothing is ever torn, nothing that works
// is taken away, each service that is not whole is named, and when there is room again all
// are whole without being given anew.
func TestFullTables(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, w, now := newKernel(), New(), start
		w.slots, w.ids = newArena(5), newArena(3)
		w.slots.spare = 8
		make := func(writes []Write) {
			t.Helper()
			for _, x := range writes {
				if err := k.apply(x, now); err != nil {
					t.Fatalf("%v\nin %v", err, writes)
				}
			}
			checkModel(t, w, k)
		}
		var want []Service
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, Quarantine / 2, 2 * Quarantine}).Draw(t, "pause"))
			before := k.function()
			want = drawServices(t)
			writes, err := Diff(want, w, now)
			make(writes)
			for f, after := range wantedFunction(want) {
				got, there := k.function()[f]
				if _, had := before[f]; had && !there {
					t.Fatalf("%s was taken away: %v", f, err)
				}
				if err == nil && fmt.Sprint(got) != fmt.Sprint(after) {
					t.Fatalf("%s leads to %v in place of %v, and nobody says so", f, got, after)
				}
			}
		}
		var few []Service
		for _, s := range want[:min(3, len(want))] {
			s.Ports = slices.Clone(s.Ports) // the model holds the others
			for j := range s.Ports {
				s.Ports[j].Endpoints = s.Ports[j].Endpoints[:min(1, len(s.Ports[j].Endpoints))]
				s.Ports[j].Local, s.InternalLocal, s.ExternalLocal = nil, false, false
			}
			few = append(few, s)
		}
		want = few
		writes, err := Diff(want, w, now)
		make(writes)
		for i := 0; err != nil; i++ {
			if i > 5 {
				t.Fatalf("there is room, and still: %v", err)
			}
			now = now.Add(Quarantine)
			writes, err = w.Retry(now)
			make(writes)
		}
		if err := sameFunction(k.function(), wantedFunction(want)); err != nil {
			t.Fatal(err)
		}
	})
}

// TestChangeEqualsDiff: single changes lead to the same tables as a whole comparison.
func TestChangeEqualsDiff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, all := New(), New()
		first, second := drawServices(t), drawServices(t)
		for _, w := range []*Written{one, all} {
			if _, err := Diff(first, w, start); err != nil {
				t.Fatal(err)
			}
		}
		var drop []string
		for i := len(second); i < len(first); i++ {
			drop = append(drop, first[i].Key)
		}
		if _, err := one.Change(second, drop, start); err != nil {
			t.Fatal(err)
		}
		if _, err := Diff(second, all, start); err != nil {
			t.Fatal(err)
		}
		for _, f := range append(one.Frontends(), all.Frontends()...) {
			a, aok := one.Lookup(f)
			b, bok := all.Lookup(f)
			if aok != bok || fmt.Sprint(a) != fmt.Sprint(b) {
				t.Fatalf("%s: Change %v %v, Diff %v %v", f, a, aok, b, bok)
			}
		}
	})
}

// TestArenaNeverOverlaps: blocks handed out are disjoint, and when all have come back
// the range is whole again.
func TestArenaNeverOverlaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const top = 6
		a, now := newArena(top), start
		type block struct {
			base  uint32
			order uint8
		}
		var live []block
		used := map[uint32]bool{}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			if len(live) > 0 && rapid.Bool().Draw(t, "free") {
				i := rapid.IntRange(0, len(live)-1).Draw(t, "which")
				b := live[i]
				live = append(live[:i], live[i+1:]...)
				a.rest(b.base, b.order, now)
				for n := range uint32(1) << b.order {
					delete(used, b.base+n)
				}
				now = now.Add(Quarantine)
				continue
			}
			order := uint8(rapid.IntRange(0, 4).Draw(t, "order"))
			base, ok := a.alloc(order, 0, now)
			if !ok {
				continue
			}
			for n := range uint32(1) << order {
				if used[base+n] {
					t.Fatalf("%d handed out twice", base+n)
				}
				used[base+n] = true
			}
			live = append(live, block{base, order})
		}
		reserved := newArena(top)
		for _, b := range live {
			if !reserved.reserve(b.base, b.order) {
				t.Fatalf("can't reserve %v again after a restart", b)
			}
			if reserved.reserve(b.base, b.order) {
				t.Fatalf("%v reserved twice", b)
			}
			a.rest(b.base, b.order, now)
		}
		if _, ok := a.alloc(top, 0, now.Add(Quarantine)); !ok {
			t.Fatal("the range did not grow together again")
		}
	})
}
