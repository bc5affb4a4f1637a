package projections

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A tree does what a map does, in order, and a snapshot stays what it was.
func TestTreeIsAnOrderedMapWithSnapshots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var now tree[int]
		want := map[string]int{}
		type snapshot struct {
			tree tree[int]
			want map[string]int
		}
		var kept []snapshot
		key := rapid.StringMatching(`[ab\x00]{0,6}`)
		for i := range rapid.IntRange(0, 60).Draw(t, "steps") {
			k := key.Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				now = now.without(k)
				delete(want, k)
			case 1:
				kept = append(kept, snapshot{now, maps.Clone(want)})
			default:
				now = now.with(k, i)
				want[k] = i
			}
		}
		for _, s := range append(kept, snapshot{now, want}) {
			same(t, s.tree, s.want, key.Draw(t, "prefix"), key.Draw(t, "rest"))
		}
	})
}

func same(t *rapid.T, got tree[int], want map[string]int, prefix, rest string) {
	if got.len() != len(want) || !maps.Equal(maps.Collect(got.all()), want) {
		t.Fatalf("holds %v, want %v", maps.Collect(got.all()), want)
	}
	var keys []string
	var below, after []int
	for k := range got.all() {
		keys = append(keys, k)
		if v, ok := got.get(k); !ok || v != want[k] {
			t.Fatalf("%q is %d, %v", k, v, ok)
		}
		if strings.HasPrefix(k, prefix) {
			below = append(below, want[k])
			if k > prefix+rest {
				after = append(after, want[k])
			}
		}
	}
	if !slices.IsSorted(keys) || !slices.Equal(slices.Collect(got.below(prefix)), below) {
		t.Fatalf("keys %q; below %q: %v, want %v", keys, prefix, slices.Collect(got.below(prefix)), below)
	}
	if found := slices.Collect(got.after(prefix, prefix+rest)); !slices.Equal(found, after) {
		t.Fatalf("keys %q; below %q after %q: %v, want %v", keys, prefix, prefix+rest, found, after)
	}
	if _, ok := got.get(prefix); ok != slices.Contains(keys, prefix) {
		t.Fatalf("%q found %v among %q", prefix, ok, keys)
	}
	for range got.after(prefix, prefix+rest) {
		break // a walk may be left
	}
	for range got.below("") {
		return
	}
}

func BenchmarkTree(b *testing.B) {
	keys := make([]string, 100_000)
	var t tree[*Pod]
	for i := range keys {
		keys[i] = fmt.Sprintf("pods\x00default\x00web-7d9f8c6b5-%05d", i*7919%len(keys))
		t = t.with(keys[i], nil)
	}
	p := &Pod{}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		t = t.with(keys[i%len(keys)], p)
	}
}

// A tree of nothing but keys says them all, without the beginning that was asked for.
func TestEndings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOf(rapid.StringMatching(`[ab\x00]{0,6}`)).Draw(t, "keys")
		prefix := rapid.StringMatching(`[ab\x00]{0,4}`).Draw(t, "prefix")
		var set tree[struct{}]
		var want []string
		for _, k := range keys {
			set = set.with(k, struct{}{})
			if rest, ok := strings.CutPrefix(k, prefix); ok {
				want = append(want, rest)
			}
		}
		slices.Sort(want)
		want = slices.Compact(want)
		for _, s := range []tree[struct{}]{set, keyTree(keys)} {
			if got := slices.Collect(s.endings(prefix, "")); !slices.Equal(got, want) {
				t.Fatalf("below %q in %q: %q, want %q", prefix, keys, got, want)
			}
		}
	})
}
