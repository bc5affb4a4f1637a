package admit

import (
	"fmt"
	"net/netip"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// Nodes of any sizes come and go: no address belongs to two, and each has enough.
func TestPartsOfThePodCIDR(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newTown(t)
		have := map[string]netip.Prefix{}
		for i := range rapid.IntRange(1, 40).Draw(rt, "steps") {
			if gone := fmt.Sprint("n", rapid.IntRange(0, 40).Draw(rt, "gone")); have[gone].IsValid() {
				w.delete(NodeKey(gone), nil)
				delete(have, gone)
			}
			pods := rapid.IntRange(1, 5000).Draw(rt, "pods")
			name := fmt.Sprint("n", i)
			drafts, st := Join(w.v, wire.JoinRequest{Node: name, Facts: events.NodeFacts{Capacity: map[string]string{"pods": strconv.Itoa(pods)}}})
			if st != nil {
				continue // full
			}
			w.fold("join "+name, drafts)
			o, _ := w.v.Get(NodeKey(name))
			part := netip.MustParsePrefix(projections.As[*corev1.Node](o).Spec.PodCIDR)
			if room := 1<<(32-part.Bits()) - 3; room < pods || !netip.MustParsePrefix("10.244.0.0/16").Contains(part.Addr()) || part != part.Masked() {
				rt.Fatalf("%s for %d pods", part, pods)
			}
			for other, p := range have {
				if p.Overlaps(part) {
					rt.Fatalf("%s has %s, %s is given %s", other, p, name, part)
				}
			}
			have[name] = part
		}
	})
}
