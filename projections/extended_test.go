package projections_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// Usages of resources that have only a name add up as those of cpu do, whatever there is of them.
func TestExtendedAddUp(t *testing.T) {
	names := []string{"a.com/x", "a.com/y", "b.com/x"}
	draw := func(t *rapid.T) (projections.Usage, map[string]int64) {
		has := rapid.MapOf(rapid.SampledFrom(names), rapid.Int64Range(1, 3)).Draw(t, "has")
		var pairs []string
		for _, n := range slices.Sorted(maps.Keys(has)) {
			pairs = append(pairs, n+"="+strconv.FormatInt(has[n], 10))
		}
		return projections.Usage{Extended: projections.Extended(strings.Join(pairs, ","))}, has
	}
	rapid.Check(t, func(t *rapid.T) {
		a, inA := draw(t)
		b, inB := draw(t)
		sum, larger := a.Add(b, +1), a.Larger(b)
		for _, n := range names {
			if got := sum.Extended.Of(n); got != inA[n]+inB[n] {
				t.Errorf("%q + %q has %d of %s", a.Extended, b.Extended, got, n)
			}
			if got := larger.Extended.Of(n); got != max(inA[n], inB[n]) {
				t.Errorf("of %q and %q the larger has %d of %s", a.Extended, b.Extended, got, n)
			}
		}
		if back := sum.Add(b, -1); back != a {
			t.Errorf("%q + %q - %q is %q", a.Extended, b.Extended, b.Extended, back.Extended)
		}
	})
}

// What a client writes into a node's capacity is there for pods until it takes it back; what the agent says of the node
// meanwhile changes nothing about it, nor does a restart.
func TestNodesHaveWhatClientsWrite(t *testing.T) {
	l := foldtest.New()
	facts := events.NodeFacts{Capacity: map[string]string{"cpu": "2", "pods": "9"}, Allocatable: map[string]string{"cpu": "1", "pods": "9"}}
	l.Node("n1", facts)
	key := foldtest.Key(events.Nodes, "n1")
	const gpu = corev1.ResourceName("example.com/gpu")
	check := func(when string, want int64) {
		t.Helper()
		for what, s := range map[string]projections.State{"folded": l.State, "restored": restored(t, kept(t, l.State))} {
			n, _ := s.Node("n1")
			o, _ := s.Object(key, l.Now)
			st := o.(*corev1.Node).Status
			shown, has := st.Allocatable[gpu]
			if n.Has.Extended.Of(string(gpu)) != want || n.Has.CPU != 1000 || shown.Value() != want || has != (want > 0) {
				t.Errorf("%s, %s: it has %+v and shows %v of %v", when, what, n.Has, st.Allocatable, st.Capacity)
			}
		}
	}
	check("at first", 0)
	written(l, key, `{"capacity":{"cpu":"2","pods":"9","example.com/gpu":"5"},"allocatable":{"cpu":"1","pods":"9"}}`)
	check("written", 5)
	facts.Kernel = "newer"
	l.Flush("n1", events.Seen{Node: &facts})
	check("said more", 5)
	written(l, key, `{"capacity":{"cpu":"2","pods":"9"},"allocatable":{"cpu":"1","pods":"9","example.com/gpu":"5"}}`)
	check("taken back", 0)
}
